// One row through XGBoost's C API: XGBoosterPredictFromDense takes its row as a JSON text that holds the address.
#include <cstdint>
#include <cstdio>
#include <limits>

namespace {

using Predict = int (*)(void* booster, const char* values, const char* config, void* proxy, const std::uint64_t** shape,
                        std::uint64_t* dimensions, const float** result);

Predict predict;
void* booster;
unsigned features;

constexpr char config[] =
    R"({"type": 1, "iteration_begin": 0, "iteration_end": 0, "strict_shape": false, "missing": NaN, "cache_id": 0})";

}  // namespace

extern "C" void setup(void* function, void* handle, unsigned feature_count) {
    predict = reinterpret_cast<Predict>(function);
    booster = handle;
    features = feature_count;
}

extern "C" double one_row(const void* row) {
    char values[160];
    std::snprintf(values, sizeof values, R"({"data": [%llu, true], "shape": [1, %u], "typestr": "<f4", "version": 3})",
                  static_cast<unsigned long long>(reinterpret_cast<std::uintptr_t>(row)), features);
    const std::uint64_t* shape;
    std::uint64_t dimensions;
    const float* result;
    if (predict(booster, values, config, nullptr, &shape, &dimensions, &result) != 0) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    return result[0];
}

// One row through the C API of Treelite's GTIL.
#include <cstdint>
#include <limits>

namespace {

using Predict = int (*)(void* model, const void* rows, const char* type, std::uint64_t count, void* out, void* config);

Predict predict;
void* model;
void* config;
bool doubles;

}  // namespace

extern "C" void setup(void* function, void* handle, unsigned) {
    predict = reinterpret_cast<Predict>(function);
    model = handle;
}

extern "C" void configure(void* handle, bool takes_doubles) {
    config = handle;
    doubles = takes_doubles;
}

extern "C" double one_row(const void* row) {
    union {
        float single_precision;
        double double_precision;
    } result;
    if (predict(model, row, doubles ? "float64" : "float32", 1, &result, config) != 0) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    return doubles ? result.double_precision : static_cast<double>(result.single_precision);
}

// One row through the C++ source that CatBoost exported, which takes a vector of floats.
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "model.cpp"

extern "C" double one_row(const void* row) {
    static std::vector<float> features(FEATURES);
    std::memcpy(features.data(), row, FEATURES * sizeof(float));
    return ApplyCatboostModel(features);
}

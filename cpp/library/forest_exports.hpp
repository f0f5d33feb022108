// What every emitted forest exports, whatever evaluates it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] forest {

// Rows one after the other: row r's feature f is rows[r * row_stride + f * feature_stride].
template <class Evaluator, class Input>
void each_row(const Evaluator& evaluator, const Input* rows, std::ptrdiff_t row_stride, std::ptrdiff_t feature_stride,
              std::uint64_t row_count, double* margins) {
    Input gathered[Evaluator::feature_count];
    for (std::uint64_t r = 0; r < row_count; ++r) {
        const Input* row = rows + static_cast<std::ptrdiff_t>(r) * row_stride;
        if (feature_stride != 1) {
            for (std::uint32_t f = 0; f < Evaluator::feature_count; ++f) gathered[f] = row[f * feature_stride];
            row = gathered;
        }
        evaluator.margins(row, margins + r * Evaluator::output_count);
    }
}

}  // namespace forest
}  // namespace quickthorn

// An emitted forest is a type with feature_count, output_count, margin(row), margins(row, margins), leaves(row, leaves)
// and batch(rows, row_stride, feature_stride, row_count, margins), each for rows of double and of float.
#define QUICKTHORN_EXPORT extern "C" [[gnu::visibility("default")]]
#define QUICKTHORN_EXPORT_FOREST(Evaluator)                                                                            \
    QUICKTHORN_EXPORT double quickthorn_forest_margin(const double* row) { return Evaluator().margin(row); }           \
    QUICKTHORN_EXPORT void quickthorn_forest_margins(const double* row, double* margins) {                             \
        Evaluator().margins(row, margins);                                                                             \
    }                                                                                                                  \
    QUICKTHORN_EXPORT void quickthorn_forest_margins_f32(const float* row, double* margins) {                          \
        Evaluator().margins(row, margins);                                                                             \
    }                                                                                                                  \
    QUICKTHORN_EXPORT void quickthorn_forest_leaves(const double* row, std::int32_t* leaves) {                         \
        Evaluator().leaves(row, leaves);                                                                               \
    }                                                                                                                  \
    QUICKTHORN_EXPORT void quickthorn_forest_batch(const double* rows, std::ptrdiff_t row_stride,                      \
                                                   std::ptrdiff_t feature_stride, std::uint64_t row_count,             \
                                                   double* margins) {                                                  \
        Evaluator().batch(rows, row_stride, feature_stride, row_count, margins);                                       \
    }                                                                                                                  \
    QUICKTHORN_EXPORT void quickthorn_forest_batch_f32(const float* rows, std::ptrdiff_t row_stride,                   \
                                                       std::ptrdiff_t feature_stride, std::uint64_t row_count,         \
                                                       double* margins) {                                              \
        Evaluator().batch(rows, row_stride, feature_stride, row_count, margins);                                       \
    }

// A compiled forest and its link: feature vectors in, margins, scores and leaves out. It holds no state of its own, so
// any number of threads may call it at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "quickthorn/calibration.hpp"
#include "quickthorn/library_abi.h"

namespace quickthorn {

// Rows in memory: row r's feature f is first[r * row_stride + f * feature_stride].
template <class Value>
struct Rows {
    const Value* first = nullptr;
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t feature_stride = 1;
    std::size_t count = 0;
};

class Forest {
public:
    Forest(const quickthorn_forest& forest, const Calibration& calibration)
        : forest_(&forest),
          margin_(forest.margin),
          calibration_(calibration) {}

    std::uint32_t feature_count() const { return forest_->feature_count; }
    std::uint32_t tree_count() const { return forest_->tree_count; }
    std::uint32_t output_count() const { return forest_->output_count; }

    // The first output's margin, and what the link makes of it.
    double margin(const double* row) const { return margin_(row); }
    double score_of(double margin) const { return calibration_.score(margin); }

    // output_count values each.
    void margins(const double* row, double* values) const { forest_->margins(row, values); }
    void margins(const float* row, double* values) const { forest_->margins_f32(row, values); }
    void apply_link(double* margins) const { calibration_.apply(margins, forest_->output_count); }

    // tree_count values.
    void leaves(const double* row, std::int32_t* values) const { forest_->leaves(row, values); }

    // For each output, feature_count contributions and the expected margin; only where the forest has them.
    bool has_contributions() const { return forest_->contributions != nullptr; }
    std::size_t contribution_count() const { return std::size_t{output_count()} * (feature_count() + 1); }
    void contributions(const double* row, double* values) const { forest_->contributions(row, values); }
    // rows.count × contribution_count() values; the rows are gathered, and widened, one by one.
    void contributions(const Rows<double>& rows, double* values) const { explain_each(rows, values); }
    void contributions(const Rows<float>& rows, double* values) const { explain_each(rows, values); }

    // rows.count × output_count values.
    void margins(const Rows<double>& rows, double* values) const {
        forest_->batch(rows.first, rows.row_stride, rows.feature_stride, rows.count, values);
    }
    void margins(const Rows<float>& rows, double* values) const {
        forest_->batch_f32(rows.first, rows.row_stride, rows.feature_stride, rows.count, values);
    }

private:
    template <class Value>
    void explain_each(const Rows<Value>& rows, double* values) const;

    const quickthorn_forest* forest_;
    quickthorn_margin_function margin_;
    Calibration calibration_;
};

// Feature vectors, and what the library that trained the model makes of them, row by row; contributions of the first
// rows only, and none where the forest was compiled without.
struct GoldenVectors {
    std::span<const double> vectors;
    std::span<const double> margins;
    std::span<const double> scores;
    std::span<const std::int32_t> leaves;
    std::span<const double> contributions = {};
};

// The first row whose leaves, margins, scores or contributions differ from the golden ones, as a sentence; empty where
// none does. Margins must agree in every bit, contributions in 1e-5 of the span of the margins.
std::string first_disagreement(const Forest& forest, const GoldenVectors& golden);

}  // namespace quickthorn

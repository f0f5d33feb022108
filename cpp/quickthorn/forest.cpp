#include "quickthorn/forest.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

namespace quickthorn {
namespace {

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", value);
    return text;
}

// The source library rounds its own link to float32 and through a float32 exponential.
bool scores_agree(double native, double source) {
    return native == source || std::fabs(native - source) <= 4e-6 * std::fabs(source) + 1e-12;
}

// What contributions may differ by: the source library rounds its own to float32, its base margin too.
double tolerance(double span, double wanted) { return 1e-5 * span + 1e-6 * std::fabs(wanted); }

// How far the golden margins of an output reach.
double span_of(std::span<const double> margins, std::size_t outputs, std::size_t output) {
    double least = margins[output];
    double most = least;
    for (std::size_t i = output; i < margins.size(); i += outputs) {
        least = std::min(least, margins[i]);
        most = std::max(most, margins[i]);
    }
    return most - least;
}

std::string contributions_disagreement(const Forest& forest, const GoldenVectors& golden) {
    if (forest.has_contributions() == golden.contributions.empty()) {
        return golden.contributions.empty() ? "the library has contributions, but there are no golden ones"
                                            : "there are golden contributions, but the library has none";
    }
    const std::size_t outputs = forest.output_count();
    const std::size_t width = forest.feature_count() + std::size_t{1};
    const std::size_t rows = golden.contributions.size() / (outputs * width);
    if (golden.contributions.size() != rows * outputs * width || rows > golden.margins.size() / outputs) {
        return "golden contributions are not of the forest's shape";
    }
    std::vector<double> found(outputs * width);
    for (std::size_t row = 0; row < rows; ++row) {
        forest.contributions(golden.vectors.data() + row * forest.feature_count(), found.data());
        for (std::size_t j = 0; j < outputs; ++j) {
            const std::string where =
                "golden row " + std::to_string(row) + (outputs == 1 ? "" : ", output " + std::to_string(j));
            const double span = span_of(golden.margins, outputs, j);
            double sum = 0;
            for (std::size_t i = 0; i < width; ++i) {
                const double value = found[j * width + i];
                const double wanted = golden.contributions[(row * outputs + j) * width + i];
                sum += value;
                if (std::fabs(value - wanted) <= tolerance(span, wanted)) continue;
                const std::string what =
                    i + 1 == width ? "expected margin" : "contribution of feature " + std::to_string(i);
                return where + ", " + what + ": expected " + number(wanted) + ", found " + number(value);
            }
            const double margin = golden.margins[row * outputs + j];
            if (std::fabs(sum - margin) > tolerance(span, margin)) {
                return where + ": expected contributions that add up to the margin " + number(margin) +
                       ", found ones that add up to " + number(sum);
            }
        }
    }
    return "";
}

}  // namespace

template <class Value>
void Forest::explain_each(const Rows<Value>& rows, double* values) const {
    std::vector<double> row(feature_count());
    for (std::size_t r = 0; r < rows.count; ++r, values += contribution_count()) {
        const Value* from = rows.first + static_cast<std::ptrdiff_t>(r) * rows.row_stride;
        for (std::size_t f = 0; f < row.size(); ++f)
            row[f] = from[static_cast<std::ptrdiff_t>(f) * rows.feature_stride];
        contributions(row.data(), values);
    }
}
template void Forest::explain_each(const Rows<double>& rows, double* values) const;
template void Forest::explain_each(const Rows<float>& rows, double* values) const;

std::string first_disagreement(const Forest& forest, const GoldenVectors& golden) {
    const std::size_t outputs = forest.output_count();
    const std::size_t trees = forest.tree_count();
    const std::size_t rows = golden.margins.size() / outputs;
    if (golden.margins.size() != rows * outputs || golden.scores.size() != rows * outputs ||
        golden.vectors.size() != rows * forest.feature_count() || golden.leaves.size() != rows * trees) {
        return "golden vectors are not of the forest's shape";
    }
    std::vector<std::int32_t> leaves(trees);
    std::vector<double> found(outputs);
    for (std::size_t row = 0; row < rows; ++row) {
        const std::string where = "golden row " + std::to_string(row);
        const double* vector = golden.vectors.data() + row * forest.feature_count();
        forest.leaves(vector, leaves.data());
        for (std::size_t tree = 0; tree < trees; ++tree) {
            const std::int32_t wanted = golden.leaves[row * trees + tree];
            if (leaves[tree] == wanted) continue;
            return where + ", tree " + std::to_string(tree) + ": expected leaf " + std::to_string(wanted) + ", found " +
                   std::to_string(leaves[tree]);
        }
        const auto output = [&](std::size_t j) { return outputs == 1 ? "" : ", output " + std::to_string(j); };
        forest.margins(vector, found.data());
        const double* margins = golden.margins.data() + row * outputs;
        for (std::size_t j = 0; j < outputs; ++j) {
            if (std::memcmp(&found[j], &margins[j], sizeof found[j]) == 0) continue;
            return where + output(j) + ": expected margin " + number(margins[j]) + ", found " + number(found[j]);
        }
        // What decides is the margin alone, by a function of its own.
        const double margin = forest.margin(vector);
        if (std::memcmp(&margin, margins, sizeof margin) != 0) {
            return where + ": expected margin " + number(margins[0]) + ", found " + number(margin);
        }
        forest.apply_link(found.data());
        for (std::size_t j = 0; j < outputs; ++j) {
            const double wanted = golden.scores[row * outputs + j];
            if (scores_agree(found[j], wanted)) continue;
            return where + output(j) + ": expected score " + number(wanted) + ", found " + number(found[j]);
        }
    }
    return contributions_disagreement(forest, golden);
}

}  // namespace quickthorn

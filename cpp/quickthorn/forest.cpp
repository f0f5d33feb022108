#include "quickthorn/forest.hpp"

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

}  // namespace

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
    return "";
}

}  // namespace quickthorn

// A row's contributions: what every feature adds to each margin, exactly as path-dependent TreeSHAP has it.
//
// engine/quickthorn/forest/explanation.py derives the method, explanation_emission.py builds the tables.
#pragma once

#include <cstddef>
#include <cstdint>

#include "forest_contribution_walk.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] contributions {

// What the code generator knows about the forest. Offsets are in bytes from the start of the tables.
struct Shape {
    std::uint32_t feature_count;
    std::uint32_t output_count;
    bool vector_leaves;         // every tree adds to every output
    std::uint32_t level_count;  // of the deepest walked tree: the most splits that a row passes in it
    std::uint32_t walked_count;
    std::uint64_t walked;    // WalkedTree
    std::uint64_t splits;    // Split
    std::uint64_t leaves;    // of Leaf, output_count to a leaf where they are vectors
    std::uint64_t factors;   // double per output: what a leaf's value is multiplied by
    std::uint64_t expected;  // double per output: the margin of which nothing is known
};

// Writes feature_count + 1 values for every output: its contributions, then its expected margin.
template <class Leaf, Shape shape, class Tests>
void explain(const unsigned char* tables, const Tests& tests, double* out) {
    constexpr std::size_t width = shape.feature_count + 1;
    constexpr std::size_t stride = shape.vector_leaves ? shape.output_count : 1;
    const auto* factors = reinterpret_cast<const double*>(tables + shape.factors);
    const auto* expected = reinterpret_cast<const double*>(tables + shape.expected);
    const auto* trees = reinterpret_cast<const WalkedTree*>(tables + shape.walked);
    const auto* splits = reinterpret_cast<const Split*>(tables + shape.splits);
    const auto* leaves = reinterpret_cast<const Leaf*>(tables + shape.leaves);
    for (std::size_t output = 0; output < shape.output_count; ++output) {
        for (std::size_t feature = 0; feature < shape.feature_count; ++feature) out[output * width + feature] = 0;
        out[output * width + shape.feature_count] = expected[output];
    }
    for (std::size_t output = 0; output < (shape.vector_leaves ? shape.output_count : 1); ++output) {
        for (std::size_t tree = 0; tree < shape.walked_count; ++tree) {
            const std::size_t to = shape.vector_leaves ? output : trees[tree].output;
            Walk<Tests, Leaf, shape.level_count>(tests, splits, leaves + output, stride, out + to * width)
                .add(tables, trees[tree], factors[to]);
        }
    }
}

}  // namespace contributions
}  // namespace quickthorn

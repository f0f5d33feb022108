// A row's contributions: what every feature adds to each margin, exactly as path-dependent TreeSHAP has it.
//
// engine/quickthorn/forest/explanation.py derives the method, explanation_emission.py builds the tables.
#pragma once

#include <cstddef>
#include <cstdint>

#include "forest_contribution_blocks.hpp"
#include "forest_contribution_walk.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] contributions {

// What the code generator knows about the forest. Offsets are in bytes from the start of the tables.
struct Shape {
    std::uint32_t feature_count;
    std::uint32_t output_count;
    bool vector_leaves;           // every tree adds to every output
    std::uint64_t factors;        // double per output: what a leaf's value is multiplied by
    std::uint64_t block_factors;  // the same, in blocks
    std::uint64_t expected;       // double per output: the margin of which nothing is known
    std::uint32_t group_count;
    BlockSizes sizes;
    std::uint64_t groups;       // BlockGroup
    std::uint64_t features;     // u32 for each that splits of blocks are on
    std::uint32_t level_count;  // of the deepest walked tree: the most splits that a row passes in it
    std::uint32_t walked_count;
    std::uint64_t walked;  // WalkedTree
    std::uint64_t splits;  // Split, of walked trees
    std::uint64_t leaves;  // of Leaf, of walked trees; output_count to a leaf where they are vectors
};

// Writes feature_count + 1 values for every output: its contributions, then its expected margin.
template <class Leaf, Shape shape, class Tests>
class Explainer {
public:
    Explainer(const unsigned char* tables, const Tests& tests) : tables_{tables}, tests_{tests} {}

    void explain(double* out) const {
        for (std::size_t output = 0; output < shape.output_count; ++output) {
            for (std::size_t feature = 0; feature < shape.feature_count; ++feature) out[output * width + feature] = 0;
            out[output * width + shape.feature_count] = table<double>(shape.expected)[output];
        }
        if constexpr (shape.group_count != 0) add_blocks(out);
        if constexpr (shape.walked_count != 0) add_walked(out);
    }

private:
    static constexpr std::size_t width = shape.feature_count + 1;
    // How many outputs a tree adds to.
    static constexpr std::size_t per_tree = shape.vector_leaves ? shape.output_count : 1;

    template <class Item>
    const Item* table(std::uint64_t offset) const {
        return reinterpret_cast<const Item*>(tables_ + offset);
    }

    void add_blocks(double* out) const {
        Blocks<Tests, shape.sizes> blocks(tables_, tests_);
        const auto* groups = table<BlockGroup>(shape.groups);
        for (std::uint32_t i = 0; i < shape.group_count; ++i) {
            const auto* block = table<Block>(groups[i].blocks);
            for (std::size_t of_tree = 0; of_tree < per_tree; ++of_tree) {
                const std::size_t output = shape.vector_leaves ? of_tree : block->output;
                blocks.clear();
                for (std::uint32_t j = 0; j < groups[i].block_count; ++j) {
                    blocks.ask(block[j]);
                    blocks.add(groups[i], block[j], of_tree);
                }
                blocks.finish(table<std::uint32_t>(shape.features), table<double>(shape.block_factors)[output],
                              out + output * width);
            }
        }
    }

    void add_walked(double* out) const {
        const auto* trees = table<WalkedTree>(shape.walked);
        for (std::size_t of_tree = 0; of_tree < per_tree; ++of_tree) {
            const Leaf* leaves = table<Leaf>(shape.leaves) + of_tree;
            for (std::size_t tree = 0; tree < shape.walked_count; ++tree) {
                const std::size_t output = shape.vector_leaves ? of_tree : trees[tree].output;
                Walk<Tests, Leaf, shape.level_count>(tests_, table<Split>(shape.splits), leaves, per_tree,
                                                     out + output * width)
                    .add(tables_, trees[tree], table<double>(shape.factors)[output]);
            }
        }
    }

    const unsigned char* tables_;
    const Tests& tests_;
};

}  // namespace contributions
}  // namespace quickthorn

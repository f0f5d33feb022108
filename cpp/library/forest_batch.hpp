// Evaluating many rows through a forest, for the shared library that a bundle carries.
//
// A tile of rows is quantised feature by feature, so that the ranks of one entry lie side by side, a byte a row: a
// line. Then tree by tree: a node's test is a comparison of its line with its code, and a row's place in the tree is a
// byte, the number of a leaf. No row waits for another, and nothing depends on where rows go.
// engine/quickthorn/forest/batch_tables.py builds the tables and says what they hold.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "forest_batch_lanes.hpp"
#include "forest_batch_leaves.hpp"
#include "forest_batch_ranks.hpp"
#include "forest_exports.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] batch {

// A test: a row goes left where `bound` is above its rank, in the line that begins at `line`. In a tree of any shape,
// rows at leaf `at` go to the leaf that is `step` further where they go right.
struct Node {
    std::uint32_t line;
    std::int8_t bound;
    std::uint8_t at;
    std::uint8_t step;
    std::uint8_t unused;
};
static_assert(sizeof(Node) == 8);

enum class Kind : std::uint8_t { any, perfect, oblivious };

struct Tree {
    std::uint32_t first_node;
    std::uint32_t leaves;  // the first, in blocks of 64
    std::uint32_t output;
    std::uint8_t size;  // nodes of a tree of any shape, levels of others
    Kind kind;
    std::uint8_t leaf_blocks;  // 1, 2 or 4
    std::uint8_t unused;
};
static_assert(sizeof(Tree) == 16);

// Consecutive trees that share a set of lines. Offsets are in bytes from the start of the tables.
struct Group {
    std::uint32_t tree_count;
    std::uint32_t tile_count;
    std::uint64_t tiles;
    std::uint64_t entries;  // what the processor's Ranking takes besides
    std::uint64_t trees;
    std::uint64_t nodes;
    std::uint64_t leaves;
};

// What an output starts from or ends with, and how many trees add to it.
template <class Leaf>
struct Output {
    Leaf base_margin;
    Leaf tree_count;
};

// What the code generator knows about the forest.
struct Shape {
    bool strict;
    bool base_last;
    bool average;
    double zero_threshold;
    double scale;
    std::uint32_t kinds;  // bit 0: some tree has any shape; 1 to 6: is perfect and has so many levels; 7: is oblivious
    std::uint32_t tile_rows;
    std::uint32_t line_count;
    std::uint32_t output_count;
    std::uint32_t fewest_rows;  // a tile of fewer is evaluated row by row
    std::uint64_t thresholds;
    std::uint64_t outputs;
};

template <class Value, class Leaf, Shape shape>
class Forest {
public:
    explicit Forest(const unsigned char* tables) : tables_{tables} {}

    template <class Evaluator, std::size_t group_count, class Input>
    void run(const Evaluator& evaluator, const Group (&groups)[group_count], const Input* rows,
             std::ptrdiff_t row_stride, std::ptrdiff_t feature_stride, std::uint64_t row_count, double* margins) const {
        while (row_count >= shape.fewest_rows) {
            const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(row_count, shape.tile_rows));
            tile(groups, Rows<Input>{rows, row_stride, feature_stride, count}, margins);
            rows += static_cast<std::ptrdiff_t>(count) * row_stride;
            margins += std::size_t{count} * shape.output_count;
            row_count -= count;
        }
        forest::each_row(evaluator, rows, row_stride, feature_stride, row_count, margins);
    }

private:
    static constexpr std::uint32_t tile_rows = shape.tile_rows;
    static constexpr std::uint32_t node_strips = 4;  // vectors that a node is read for at once
    static constexpr std::uint32_t strip = node_strips * lanes;
    static_assert(tile_rows % strip == 0);

    template <class Item>
    const Item* table(std::uint64_t offset) const {
        return reinterpret_cast<const Item*>(tables_ + offset);
    }

    template <std::size_t group_count, class Input>
    [[gnu::noinline]] void tile(const Group (&groups)[group_count], Rows<Input> rows, double* margins) const {
        alignas(64) Leaf sums[shape.output_count][tile_rows];
        const Output<Leaf>* outputs = table<Output<Leaf>>(shape.outputs);
        for (std::uint32_t output = 0; output < shape.output_count; ++output) {
            std::fill_n(sums[output], tile_rows, shape.base_last ? Leaf{0} : outputs[output].base_margin);
        }
        const std::uint32_t strips = (rows.count + strip - 1) / strip;
        alignas(64) std::int8_t lines[shape.line_count * tile_rows];
        for (const Group& group : groups) {
            const Ranking<Value, shape.strict> ranking(table<Value>(shape.thresholds), tables_ + group.entries,
                                                       shape.zero_threshold);
            ranking.template rank<tile_rows>(table<EntryTile<Value>>(group.tiles), group.tile_count, rows,
                                             strips * strip, lines);
            add(group, lines, strips, sums);
        }
        for (std::uint32_t row = 0; row < rows.count; ++row) {
            for (std::uint32_t output = 0; output < shape.output_count; ++output) {
                const Leaf sum = sums[output][place_of_sum<Leaf>(row)];
                margins[row * shape.output_count + output] = static_cast<double>(finished(sum, outputs[output]));
            }
        }
    }

    static Leaf finished(Leaf sum, Output<Leaf> output) {
        if constexpr (shape.average) sum /= output.tree_count;
        if constexpr (shape.scale != 1) sum *= static_cast<Leaf>(shape.scale);
        if constexpr (shape.base_last) sum += output.base_margin;
        return sum;
    }

    // (Lines are not const here because GCC 12 would then want them to be written even where a group has none.)
    [[gnu::noinline]] void add(const Group& group, std::int8_t* lines, std::uint32_t strips,
                               Leaf (*sums)[tile_rows]) const {
        const Tree* trees = table<Tree>(group.trees);
        const Node* nodes = table<Node>(group.nodes);
        // A tree's leaves are added when the next tree has been walked: what was written in small vectors cannot be
        // read back at once in large ones.
        alignas(64) std::uint8_t leaf[2][tile_rows];
        for (std::uint32_t t = 0; t <= group.tree_count; ++t) {
            if (t != group.tree_count) find_leaves(trees[t], nodes + trees[t].first_node, lines, strips, leaf[t % 2]);
            if (t == 0) continue;
            const Tree& tree = trees[t - 1];
            const std::uint64_t first = group.leaves + std::uint64_t{tree.leaves} * leaves_per_block * sizeof(Leaf);
            add_leaves(table<Leaf>(first), tree.leaf_blocks, leaf[(t - 1) % 2], strips * strip, sums[tree.output]);
        }
    }

    static void find_leaves(const Tree& tree, const Node* nodes, const std::int8_t* lines, std::uint32_t strips,
                            std::uint8_t* leaf) {
        // What no tree needs is not compiled.
        if constexpr ((shape.kinds >> 1) == 0) return any(nodes, tree.size, lines, strips, leaf);
        if constexpr (shape.kinds == 1U << 7) return oblivious(nodes, tree.size, lines, strips, leaf);
        switch (tree.kind == Kind::perfect ? tree.size : tree.kind == Kind::any ? 0U : 7U) {
            case 1: return perfect<1>(nodes, lines, strips, leaf);
            case 2: return perfect<2>(nodes, lines, strips, leaf);
            case 3: return perfect<3>(nodes, lines, strips, leaf);
            case 4: return perfect<4>(nodes, lines, strips, leaf);
            case 5: return perfect<5>(nodes, lines, strips, leaf);
            case 6: return perfect<6>(nodes, lines, strips, leaf);
            case 7: return oblivious(nodes, tree.size, lines, strips, leaf);
            default: return any(nodes, tree.size, lines, strips, leaf);
        }
    }

    static void any(const Node* nodes, std::uint32_t count, const std::int8_t* lines, std::uint32_t strips,
                    std::uint8_t* leaf) {
        constexpr std::uint32_t wide = 2 * node_strips;
        std::uint32_t s = 0;
        for (; s + 2 <= strips; s += 2) walk<wide>(nodes, count, lines + s * strip, leaf + s * strip);
        if (s < strips) walk<node_strips>(nodes, count, lines + s * strip, leaf + s * strip);
    }

    template <std::uint32_t vectors>
    static void walk(const Node* nodes, std::uint32_t count, const std::int8_t* lines, std::uint8_t* leaf) {
        Bytes now[vectors];
        for (auto& bytes : now) bytes = all(0);
        for (std::uint32_t n = 0; n < count; ++n) {
            const std::int8_t* line = lines + nodes[n].line;
            const Bytes bound = all(nodes[n].bound);
            const Bytes at = all(static_cast<std::int8_t>(nodes[n].at));
            const Bytes step = all(static_cast<std::int8_t>(nodes[n].step));
#pragma GCC unroll 8
            for (std::uint32_t v = 0; v < vectors; ++v) {
                now[v] = sum(now[v], where(equal(now[v], at), above(bound, line + v * lanes), step));
            }
        }
        for (std::uint32_t v = 0; v < vectors; ++v) store(leaf + v * lanes, now[v]);
    }

    // Leaves are numbered from 2^levels - 1 down: a test that holds is -1.
    static void oblivious(const Node* nodes, std::uint32_t levels, const std::int8_t* lines, std::uint32_t strips,
                          std::uint8_t* leaf) {
        for (std::uint32_t s = 0; s < strips; ++s) {
            Bytes now[node_strips];
            for (auto& bytes : now) bytes = all(0);
            for (std::uint32_t level = 0; level < levels; ++level) {
                const std::int8_t* line = lines + nodes[level].line + s * strip;
                const Bytes bound = all(nodes[level].bound);
#pragma GCC unroll 8
                for (std::uint32_t v = 0; v < node_strips; ++v) {
                    const Mask left = above(bound, line + v * lanes);
                    now[v] = sum(sum(now[v], now[v]), left);
                }
            }
            const Bytes last = all(static_cast<std::int8_t>((1U << levels) - 1));
            for (std::uint32_t v = 0; v < node_strips; ++v) store(leaf + s * strip + v * lanes, sum(now[v], last));
        }
    }

    template <unsigned levels>
    static void perfect(const Node* nodes, const std::int8_t* lines, std::uint32_t strips, std::uint8_t* leaf) {
        if constexpr ((shape.kinds >> levels & 1U) == 0)
            return;
        else
            for (std::uint32_t s = 0; s < strips; ++s) {
                Bytes now[node_strips];
                subtree<levels, 0, 0>(nodes, lines + s * strip, now);
                for (std::uint32_t v = 0; v < node_strips; ++v) store(leaf + s * strip + v * lanes, now[v]);
            }
    }

    // The leaf that each row reaches below the node at that place of the heap.
    template <unsigned levels, unsigned place, unsigned first_leaf>
    [[gnu::always_inline]] static void subtree(const Node* nodes, const std::int8_t* lines, Bytes* leaf) {
        if constexpr (levels == 1) {
            const Bytes bound = all(nodes[place].bound);
            const std::int8_t* line = lines + nodes[place].line;
            const Bytes right = all(first_leaf + 1);
            for (std::uint32_t v = 0; v < node_strips; ++v) leaf[v] = sum(right, above(bound, line + v * lanes));
        } else {
            Bytes right[node_strips];
            subtree<levels - 1, 2 * place + 1, first_leaf>(nodes, lines, leaf);
            subtree<levels - 1, 2 * place + 2, first_leaf + (1U << (levels - 1))>(nodes, lines, right);
            const Bytes bound = all(nodes[place].bound);
            const std::int8_t* line = lines + nodes[place].line;
            for (std::uint32_t v = 0; v < node_strips; ++v) {
                leaf[v] = choose(above(bound, line + v * lanes), leaf[v], right[v]);
            }
        }
    }

    const unsigned char* tables_;
};

}  // namespace batch
}  // namespace quickthorn

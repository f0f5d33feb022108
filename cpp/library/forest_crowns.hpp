// Evaluating one row through a forest with AVX2, SSE 4.1 or NEON, for the shared library that a bundle carries.
//
// The row is quantised once (forest_ranks.hpp): from then on a split is two bytes, slot and code, and goes right where
// `rank > code`. The first levels of all trees, their crowns, lie side by side: a level is one test for as many trees
// as a vector has bytes, of the node that the tests before chose. What a tree has below its crown, a branch, lies on a
// cache line of its own and is walked node by node without a jump; sums are made in the shadow of the next trees'
// walks. engine/quickthorn/forest/crowns.py builds the tables.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "forest_byte_vectors.hpp"
#include "forest_ranks.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] treelets {

inline constexpr std::uint32_t trees_per_crown = 32;
inline constexpr std::uint32_t tiles_at_once = most_entries / 16;

// What the code generator knows about the forest. Offsets are in bytes from the start of the tables, which begin with
// the thresholds.
struct CrownShape {
    double zero_threshold;
    bool strict;  // a value equal to a threshold goes right (XGBoost's <), else left (<=)
    bool even;    // every branch has branch_levels levels and then leaves
    std::uint32_t tree_count;
    std::uint32_t tile_count;
    std::uint32_t crown_levels;   // 0 where slots are of 16 bits
    std::uint32_t branch_levels;  // of an even forest
    std::uint64_t tiles;
    std::uint64_t crowns;
    std::uint64_t branches;
    std::uint64_t values;  // by leaf number; an even forest's leaves lie in its branches
    std::uint64_t ids;     // by leaf number
};

// A node of 32 crowns. Codes have their highest bit turned over, as RankTables's ranks have.
struct alignas(64) CrownNode {
    std::uint8_t slot[trees_per_crown];
    std::uint8_t code[trees_per_crown];
};

// A branch of a forest whose trees are equally deep. Nodes are breadth first from 1: node n goes to 2n or 2n + 1.
template <class Leaf, std::uint32_t levels>
struct alignas(std::bit_ceil((2 + sizeof(Leaf)) << levels)) EvenBranch {
    std::uint8_t slot[1U << levels];
    std::uint8_t code[1U << levels];
    Leaf leaf[1U << levels];
};

// Three levels of any tree. An exit leads to base[0] + onward, another branch, or where bit 7 of onward is set, to
// base[1] + onward, the number of a leaf with bit 31 set.
template <class Slot>
struct alignas(32 * sizeof(Slot)) Branch {
    Slot slot[8];
    std::uint8_t code[8];
    std::uint32_t base[2];
    std::uint8_t onward[8];
};
static_assert(sizeof(Branch<std::uint8_t>) == 32);
static_assert(sizeof(Branch<std::uint16_t>) == 64);

// `Value` is what inputs and thresholds are compared in, `Leaf` what leaves are summed in.
template <class Value, class Leaf, CrownShape shape>
class CrownForest {
public:
    explicit CrownForest(const unsigned char* tables) : tables_{tables} {}

    // Adds the leaves of all trees to the sum, one by one in tree order.
    template <class Input>
    Leaf add(const Input* row, Leaf sum) const {
        const Leaf* values = table<Leaf>(shape.values);
        if constexpr (shape.even) {
            each_even(row, [&](std::size_t, const Even& branch, std::size_t exit) { sum += branch.leaf[exit]; });
        } else {
            each_uneven(row, [&](std::uint32_t, std::uint32_t leaf) { sum += values[leaf]; });
        }
        return sum;
    }

    // Each tree's leaf, numbered as the source library numbers it.
    template <class Input>
    void leaves(const Input* row, std::int32_t* out) const {
        const std::int32_t* ids = table<std::int32_t>(shape.ids);
        if constexpr (shape.even) {
            each_even(row, [&](std::size_t tree, const Even& branch, std::size_t exit) {
                const std::ptrdiff_t number = &branch - table<Even>(shape.branches);
                out[tree] = ids[(static_cast<std::size_t>(number) << shape.branch_levels) + exit];
            });
        } else {
            each_uneven(row, [&](std::uint32_t tree, std::uint32_t leaf) { out[tree] = ids[leaf]; });
        }
    }

private:
    static constexpr bool narrow = shape.tile_count <= tiles_at_once;
    static constexpr std::uint32_t entries = narrow ? 128 : 16 * shape.tile_count;
    static constexpr std::uint32_t trees_per_list = 1024;
    // Measured: more would not stay in registers, and fewer wait for each other.
    static constexpr std::size_t trees_at_once = shape.even ? 4 : 8;
    static constexpr std::uint32_t leaf_flag = 1U << 31;
    using Even = EvenBranch<Leaf, shape.branch_levels>;
    using Slot = std::conditional_t<narrow, std::uint8_t, std::uint16_t>;

    template <class Item>
    const Item* table(std::uint64_t offset) const {
        return reinterpret_cast<const Item*>(tables_ + offset);
    }

    // The row's ranks: `ranks` has 2 * entries bytes, for the ranks as they are, then less one.
    template <class Input>
    [[gnu::noinline]] void rank(const Input* row, std::uint8_t* ranks) const {
        const Quantiser<Value, shape.strict> quantiser(table<Value>(0), shape.zero_threshold);
        const Tile<Value>* tiles = table<Tile<Value>>(shape.tiles);
        for (std::uint32_t tile = 0; tile < shape.tile_count; tile += tiles_at_once) {
            quantiser.rank(tiles + tile, std::min(shape.tile_count - tile, tiles_at_once), row, ranks + 16 * tile);
        }
        for (std::uint32_t i = 0; i < 16 * shape.tile_count; ++i) {
            ranks[entries + i] = static_cast<std::uint8_t>(ranks[i] - 1U);
        }
    }

    // Where each tree leaves its crown.
    void crowns(const std::uint8_t* ranks, std::uint32_t first, std::uint32_t trees, std::uint8_t* ends) const {
        if constexpr (shape.crown_levels == 0) {
            std::fill_n(ends, trees, std::uint8_t{0});
        } else {
            constexpr std::uint32_t nodes = (1U << shape.crown_levels) - 1;
            const RankTables<std::min(shape.tile_count, tiles_at_once)> tables(ranks);
            const CrownNode* crown = table<CrownNode>(shape.crowns) + first / trees_per_crown * nodes;
            for (std::uint32_t tree = 0; tree < trees; tree += trees_per_crown, crown += nodes) {
                for (std::uint32_t lane = 0; lane < trees_per_crown; lane += byte_lanes) {
                    Bytes masks[shape.crown_levels];
                    store_bytes(ends + tree + lane, descend<0>(crown, lane, tables, masks, same_bytes(0)));
                }
            }
        }
    }

    template <std::uint32_t level, class Tables>
    static Bytes descend(const CrownNode* crown, std::uint32_t lane, const Tables& tables, Bytes* masks, Bytes ends) {
        if constexpr (level == shape.crown_levels) {
            return ends;
        } else {
            constexpr std::uint32_t before = (1U << level) - 1;
            const auto slot = [&](std::uint32_t node) { return load_bytes(crown[before + node].slot + lane); };
            const auto code = [&](std::uint32_t node) { return load_bytes(crown[before + node].code + lane); };
            masks[level] = above(tables[pick<level, level>(masks, slot)], pick<level, level>(masks, code));
            // A mask is minus one where the tree goes right.
            ends = subtract(treelets::add(ends, ends), masks[level]);
            return descend<level + 1>(crown, lane, tables, masks, ends);
        }
    }

    // Of a level's nodes, the one that the levels above lead to. The first level's choice is made first: the last
    // one's is not known for long.
    template <std::uint32_t level, std::uint32_t choices, std::uint32_t node = 0, class Load>
    static Bytes pick(const Bytes* masks, Load load) {
        if constexpr (choices == 0) {
            return load(node);
        } else {
            constexpr std::uint32_t right = node + (1U << (level - choices));
            return choose(masks[choices - 1], pick<level, choices - 1, right>(masks, load),
                          pick<level, choices - 1, node>(masks, load));
        }
    }

    static std::size_t child(std::size_t node, const std::uint8_t& code, std::uint8_t rank) {
#if defined(__x86_64__)
        // The borrow of the comparison is the bit to add, which compilers take two more steps to find.
        asm("cmpb %b[rank], %[code]\n\tadcq %[node], %[node]"
            : [node] "+r"(node)
            : [code] "m"(code), [rank] "q"(rank)
            : "cc");
        return node;
#else
        return node + node + static_cast<std::size_t>(rank > code);
#endif
    }

    // The places below the last of these levels where the row leaves some branches. A level is done in all of them
    // before the next: a processor holds few of the steps that wait for others.
    template <std::uint32_t levels, std::size_t count, class Nodes>
    static void walk(const std::array<const Nodes*, count>& branches, const std::uint8_t* ranks,
                     std::array<std::size_t, count>& node) {
        node.fill(1);
#pragma GCC unroll 8
        for (std::uint32_t level = 0; level < levels; ++level) {
#pragma GCC unroll 8
            for (std::size_t i = 0; i < count; ++i) {
                node[i] = child(node[i], branches[i]->code[node[i]], ranks[branches[i]->slot[node[i]]]);
            }
        }
    }

    // Calls some(first, count) until all trees have been worked on, the count being a constant.
    template <class Some>
    [[gnu::always_inline]] static void in_turns(std::size_t trees, Some some) {
        std::size_t tree = 0;
        for (; tree + trees_at_once <= trees; tree += trees_at_once) {
            some(tree, std::integral_constant<std::size_t, trees_at_once>());
        }
        for (; tree < trees; ++tree) some(tree, std::integral_constant<std::size_t, 1>());
    }

    // Calls visit(tree, branch, exit) for every tree, in tree order.
    template <class Input, class Visit>
    [[gnu::always_inline]] void each_even(const Input* row, Visit visit) const {
        alignas(64) std::uint8_t ranks[2 * entries];
        rank(row, ranks);
        for (std::uint32_t first = 0; first < shape.tree_count; first += trees_per_list) {
            const std::uint32_t trees = std::min(shape.tree_count - first, trees_per_list);
            alignas(32) std::uint8_t ends[trees_per_list];
            crowns(ranks, first, trees, ends);
            const Even* branches = table<Even>(shape.branches) + (std::size_t{first} << shape.crown_levels);
            in_turns(trees, [&](std::size_t tree, auto count) __attribute__((always_inline)) {
                std::array<const Even*, count> at;
                for (std::size_t i = 0; i < count; ++i) {
                    at[i] = branches + ((tree + i) << shape.crown_levels) + ends[tree + i];
                }
                std::array<std::size_t, count> node;
                walk<shape.branch_levels>(at, ranks, node);
                for (std::size_t i = 0; i < count; ++i) {
                    visit(first + tree + i, *at[i], node[i] - (std::size_t{1} << shape.branch_levels));
                }
            });
        }
    }

    // Calls visit(tree, leaf number) for every tree, in tree order.
    template <class Input, class Visit>
    [[gnu::always_inline]] void each_uneven(const Input* row, Visit visit) const {
        alignas(64) std::uint8_t ranks[2 * entries];
        rank(row, ranks);
        for (std::uint32_t first = 0; first < shape.tree_count; first += trees_per_list) {
            const std::uint32_t trees = std::min(shape.tree_count - first, trees_per_list);
            std::uint32_t at[trees_per_list];
            follow(ranks, first, trees, at);
            for (std::uint32_t tree = 0; tree < trees; ++tree) visit(first + tree, at[tree] & ~leaf_flag);
        }
    }

    // The leaf that each tree of a list ends at, with the flag. The trees that have further to go stay on the list,
    // until it is empty.
    void follow(const std::uint8_t* ranks, std::uint32_t first, std::uint32_t trees, std::uint32_t* at) const {
        alignas(32) std::uint8_t ends[trees_per_list];
        crowns(ranks, first, trees, ends);
        std::uint16_t open[trees_per_list];
        std::size_t left = 0;
        const auto go_on = [&](std::uint16_t tree, std::uint32_t to) {
            at[tree] = to;
            open[left] = tree;
            left += to < leaf_flag;
        };
        in_turns(trees, [&](std::size_t tree, auto count) __attribute__((always_inline)) {
            std::array<std::uint32_t, count> from;
            for (std::size_t i = 0; i < count; ++i) {
                from[i] = static_cast<std::uint32_t>(((first + tree + i) << shape.crown_levels) + ends[tree + i]);
            }
            step(from, ranks);
            for (std::size_t i = 0; i < count; ++i) go_on(static_cast<std::uint16_t>(tree + i), from[i]);
        });
        while (left != 0) {
            const std::size_t open_count = left;
            left = 0;
            in_turns(open_count, [&](std::size_t place, auto count) __attribute__((always_inline)) {
                std::array<std::uint16_t, count> tree;
                std::array<std::uint32_t, count> from;
                for (std::size_t i = 0; i < count; ++i) {
                    tree[i] = open[place + i];
                    from[i] = at[tree[i]];
                }
                step(from, ranks);
                for (std::size_t i = 0; i < count; ++i) go_on(tree[i], from[i]);
            });
        }
    }

    // From some branches to what their exits lead to.
    template <std::size_t count>
    [[gnu::always_inline]] void step(std::array<std::uint32_t, count>& at, const std::uint8_t* ranks) const {
        std::array<const Branch<Slot>*, count> branches;
        for (std::size_t i = 0; i < count; ++i) branches[i] = table<Branch<Slot>>(shape.branches) + at[i];
        std::array<std::size_t, count> node;
        walk<3>(branches, ranks, node);
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t onward = branches[i]->onward[node[i] - 8];
            at[i] = branches[i]->base[onward >> 7] + onward;
        }
    }

    const unsigned char* tables_;
};

}  // namespace treelets
}  // namespace quickthorn

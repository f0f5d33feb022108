// Depth-limited trees with AVX-512: the tops of 64 trees side by side, then eight treelets at a time.
//
// All trees are as deep as the deepest, shallow branches being repeated, so that a split is found by arithmetic. In the
// top levels a row's way through 64 trees is a mask a level: the slots and codes of the next level are chosen by masks,
// and its tests made at once. The levels below are treelets of three levels, as in forest_treelets.hpp, the last on a
// cache line of its own with the leaves. engine/quickthorn/forest/stacked.py builds the tables.
#pragma once

#include "forest_treelets.hpp"

#if QUICKTHORN_BYTE_PERMUTES

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] treelets {

inline constexpr std::uint32_t most_top_levels = 5;
inline constexpr std::uint32_t most_head_levels = 4;

// A place in the tops of 64 trees; a level has one after the other from left to right.
struct TopPlace {
    std::uint8_t slot[64];
    std::uint8_t code[64];
};

// Consecutive trees that share a set of ranks. Offsets are in bytes from the start of the tables.
struct StackedGroup {
    std::uint32_t tree_count;
    std::uint32_t head_levels;  // treelet levels between the top and the lines
    Tiles tiles;
    std::uint64_t tops;  // level by level, for each 64 trees
    std::uint64_t heads[most_head_levels];
    std::uint64_t lines;
    std::uint64_t values;  // float64 leaves by exit number; unused for float32
    std::uint64_t ids;     // leaf ids by exit number
};

template <class Value, class Leaf, bool strict, std::uint32_t top_levels>
class StackedForest {
public:
    StackedForest(const unsigned char* tables, Thresholds thresholds, double zero_threshold)
        : tables_{tables},
          thresholds_{thresholds},
          zero_threshold_{zero_threshold} {}

    // Adds the leaves of the group's trees to the sum, one by one in tree order.
    template <class Input>
    Leaf add(const StackedGroup& group, const Input* row, Leaf sum) const {
        if constexpr (std::is_same_v<Leaf, float>) {
            const unsigned char* exits = table<unsigned char>(group.lines + offsetof(Line, exit));
            each_end(group, row, [&](std::uint32_t, std::uint32_t end) {
                float leaf;
                std::memcpy(&leaf, exits + end, sizeof leaf);
                sum += leaf;
            });
        } else {
            const Leaf* values = table<Leaf>(group.values);
            each_end(group, row, [&](std::uint32_t, std::uint32_t end) { sum += values[exit_number(end)]; });
        }
        return sum;
    }

    // Each tree's leaf, numbered as the source library numbers it.
    template <class Input>
    void leaves(const StackedGroup& group, const Input* row, std::int32_t* out) const {
        const std::int32_t* ids = table<std::int32_t>(group.ids);
        each_end(group, row, [&](std::uint32_t tree, std::uint32_t end) { out[tree] = ids[exit_number(end)]; });
    }

private:
    template <class Item>
    const Item* table(std::uint64_t offset) const {
        return reinterpret_cast<const Item*>(tables_ + offset);
    }

    // An end says which exit of which line a tree's walk ended at, as a place in bytes among the lines' exits: where a
    // float32 leaf lies.
    static constexpr std::uint32_t line_shift = 6;
    static constexpr std::uint32_t exit_shift = 2;
    static constexpr std::uint32_t head_shift = 4;
    static constexpr std::uint32_t trees_per_pass = 1024;
    static constexpr std::uint32_t trees_behind = 32;
    static constexpr std::uint32_t tops_at_once = 64;
    static constexpr std::uint32_t places_per_top = (1U << top_levels) - 1;

    static std::uint32_t exit_number(std::uint32_t end) {
        return (end >> line_shift) * 8 + ((end & (sizeof(Line) - 1)) >> exit_shift);
    }

    // Calls visit(tree, end) for every tree, in tree order. A pass over many trees writes what the next one reads,
    // because reading a wide store back at once stalls; and a sum, whose additions wait for each other, is made in the
    // shadow of other work, some trees behind.
    template <class Input, class Visit>
    [[gnu::always_inline]] void each_end(const StackedGroup& group, const Input* row, Visit visit) const {
        alignas(64) std::uint8_t bytes[most_entries] = {};
        rank_row<Value, strict>(tables_, thresholds_, zero_threshold_, group.tiles, row, bytes);
        const Ranks ranks(bytes);
        alignas(64) std::uint32_t at[trees_per_pass];
        std::uint32_t ends[trees_per_pass + trees_behind];
        for (std::uint32_t first = 0; first < group.tree_count; first += trees_per_pass) {
            const std::uint32_t trees = std::min(group.tree_count - first, trees_per_pass);
            const std::uint32_t item_shift = group.head_levels == 0 ? line_shift : head_shift;
            for (std::uint32_t i = 0; i < trees; i += tops_at_once) {
                const std::uint32_t chunk = (first + i) / tops_at_once;
                const TopPlace* places = table<TopPlace>(group.tops) + chunk * places_per_top;
                pass_tops(places, ranks, first + i, item_shift, at + i);
            }
            for (std::uint32_t level = 0; level < group.head_levels; ++level) {
                const auto* heads = table<unsigned char>(group.heads[level]);
                const std::uint32_t below_shift = level + 1 == group.head_levels ? line_shift : head_shift;
                for (std::uint32_t i = 0; i < trees; i += 8) {
                    const Eight below = (load(at + i) >> head_shift << 3) + ranks.exits_at(heads, at + i);
                    store(at + i, below << below_shift);
                }
            }
            // An end is written `trees_behind` places further on, so that a visit reads where it would be written.
            const auto* lines = table<unsigned char>(group.lines);
            const std::size_t passed = (trees + 7) / 8 * 8;
            const auto pass = [&](std::size_t i) {
                store(ends + trees_behind + i, load(at + i) + (ranks.exits_at(lines, at + i) << exit_shift));
            };
            const std::size_t alone = std::min<std::size_t>(passed, trees_behind);
            for (std::size_t i = 0; i < alone; i += 8) pass(i);
            for (std::size_t i = alone; i < passed; i += 8) {
                pass(i);
#pragma GCC unroll 8
                for (std::size_t j = 0; j < 8; ++j) visit(first + i - alone + j, ends[i + j]);
            }
            for (std::size_t i = passed - alone; i < trees; ++i) visit(first + i, ends[trees_behind + i]);
        }
    }

    // Where the treelets lie, in bytes, that a row arrives at below the tops of 64 trees.
    static void pass_tops(const TopPlace* places, const Ranks& ranks, std::uint32_t first, std::uint32_t item_shift,
                          std::uint32_t* at) {
        __mmask64 right[most_top_levels + 1];
        __m512i arrived = _mm512_setzero_si512();
        descend<0>(places, ranks, right, arrived);
        const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        const __m128i sixteen[4] = {_mm512_extracti32x4_epi32(arrived, 0), _mm512_extracti32x4_epi32(arrived, 1),
                                    _mm512_extracti32x4_epi32(arrived, 2), _mm512_extracti32x4_epi32(arrived, 3)};
        for (std::uint32_t part = 0; part < 4; ++part) {
            const __m512i trees = _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(first + 16 * part)));
            const __m512i number =
                _mm512_add_epi32(_mm512_slli_epi32(trees, top_levels), _mm512_cvtepu8_epi32(sixteen[part]));
            const __m512i offset = _mm512_sll_epi32(number, _mm_cvtsi32_si128(static_cast<int>(item_shift)));
            // In halves: reading a number back from a whole stored register stalls.
            _mm256_store_si256(reinterpret_cast<__m256i*>(at + 16 * part), _mm512_castsi512_si256(offset));
            _mm256_store_si256(reinterpret_cast<__m256i*>(at + 16 * part + 8), _mm512_extracti64x4_epi64(offset, 1));
        }
    }

    template <std::uint32_t level>
    static void descend(const TopPlace* places, const Ranks& ranks, __mmask64* right, __m512i& arrived) {
        if constexpr (level < top_levels) {
            right[level] = ranks.above(chosen<level>(places[0].slot, right), chosen<level>(places[0].code, right));
            const __m512i bit = _mm512_set1_epi8(1 << (top_levels - 1 - level));
            arrived = _mm512_mask_add_epi8(arrived, right[level], arrived, bit);
            descend<level + 1>(places + (1U << level), ranks, right, arrived);
        }
    }

    // Of the 2^count places in a row, the one that the masks lead to, for each tree.
    template <std::uint32_t count>
    static __m512i chosen(const std::uint8_t* places, const __mmask64* right) {
        if constexpr (count == 0) {
            return _mm512_load_si512(places);
        } else {
            const __m512i left = chosen<count - 1>(places, right + 1);
            const std::uint8_t* half = places + sizeof(TopPlace) * (1U << (count - 1));
            if constexpr (count == 1) {
                return _mm512_mask_loadu_epi8(left, right[0], half);
            } else {
                return _mm512_mask_blend_epi8(right[0], left, chosen<count - 1>(half, right + 1));
            }
        }
    }

    const unsigned char* tables_;
    Thresholds thresholds_;
    double zero_threshold_;
};

}  // namespace treelets
}  // namespace quickthorn

#endif

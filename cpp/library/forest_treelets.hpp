// Evaluating one row through a forest without a branch per node, for the shared library that a bundle carries.
//
// The row is quantised once: per feature, a value becomes its rank among the forest's thresholds, one byte a slot. All
// exactness lives there: from then on a node is two bytes, slot and code, and its test is `rank > code`. Trees are cut
// into treelets of three levels, seven nodes and eight exits, and where the processor can permute bytes across a whole
// register file (AVX-512 with VBMI), the 56 tests of eight treelets are two permutes, a blend and one comparison.
// engine/quickthorn/forest/treelets.py builds the tables and says what they hold.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "forest_ranks.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] treelets {

inline constexpr std::uint32_t trees_per_chunk = 64;   // of a stacked group
inline constexpr std::uint32_t trees_per_list = 1024;  // of a linked group
inline constexpr std::uint32_t most_levels = 6;

// A treelet's tests, breadth first: node i goes right, to node 2i + 2, when its rank is above code[i], else to 2i + 1.
// Its rank is that of entry slot[i] & 127, less one where bit 7 is set: so NaN, whose rank is 0, is below everything
// or, wrapped around to 255, above everything. Places without a node never go right. slot[7] has no node; in a linked
// treelet it says which exits are leaves.
struct Head {
    std::uint8_t slot[8];
    std::uint8_t code[8];
};
static_assert(sizeof(Head) == 16);

// A treelet on a cache line of its own: where each exit leads. A linked treelet's exit leads to another treelet, or is
// a leaf; float32 leaves lie here, float64 leaves in the group's values.
struct alignas(64) Line {
    Head head;
    std::int32_t exit[8];
    std::uint8_t unused[16];
};
static_assert(sizeof(Line) == 64);

// Consecutive trees that share a set of slots. Offsets are in bytes from the start of the tables.
//
// A stacked group has the same number of treelet levels in every tree: a treelet's children are found by arithmetic,
// level by level in heads[], and the last level lies in lines. A linked group's treelets name their children.
struct Group {
    std::uint32_t tree_count;
    Tiles tiles;
    std::uint32_t levels;      // of a stacked group; 0 in a linked one
    std::uint32_t root_shift;  // exits of a stacked root are 0, 2, 4, 6 (shift 1) or 0, 4 (shift 2) if it is low
    std::uint64_t heads[most_levels];
    std::uint64_t lines;
    std::uint64_t values;  // float64 leaves by exit number; unused for float32
    std::uint64_t ids;     // leaf ids by exit number
};

// Eight numbers that are worked on together, whatever the processor makes of them.
using Eight [[gnu::vector_size(32)]] = std::uint32_t;
inline constexpr Eight zero_to_seven = {0, 1, 2, 3, 4, 5, 6, 7};

inline Eight load(const std::uint32_t* numbers) {
    Eight eight;
    std::memcpy(&eight, numbers, sizeof eight);
    return eight;
}

inline void store(std::uint32_t* numbers, Eight eight) { std::memcpy(numbers, &eight, sizeof eight); }

// The exit that seven test results lead to: bit i is node i's, set when it goes right.
inline constexpr std::array<std::uint8_t, 128> exit_of_results = [] {
    std::array<std::uint8_t, 128> table{};
    for (unsigned results = 0; results < 128; ++results) {
        unsigned node = 0;
        for (int level = 0; level < 3; ++level) node = 2 * node + 1 + (results >> node & 1U);
        table[results] = static_cast<std::uint8_t>(node - 7);
    }
    return table;
}();

// The ranks of a row, and the exits of eight treelets at a time.
#if QUICKTHORN_BYTE_PERMUTES

class Ranks {
public:
    explicit Ranks(const std::uint8_t* ranks)
        : ranks_{_mm512_load_si512(ranks), _mm512_load_si512(ranks + 64)},
          exits_{_mm512_loadu_si512(exit_of_results.data()), _mm512_loadu_si512(exit_of_results.data() + 64)} {}

    // Of 64 tests: a bit for each that sends the row right.
    __mmask64 above(__m512i slots, __m512i codes) const {
        const __m512i found = _mm512_permutex2var_epi8(ranks_[0], slots, ranks_[1]);
        const __m512i ranks = _mm512_mask_sub_epi8(found, _mm512_movepi8_mask(slots), found, _mm512_set1_epi8(1));
        return _mm512_cmpgt_epu8_mask(ranks, codes);
    }

    // Of eight heads side by side.
    Eight exits(const Head* heads) const {
        return of_vectors(_mm512_loadu_si512(heads), _mm512_loadu_si512(heads + 4));
    }

    // Of eight items of an array, each of which begins with a head.
    template <class Item>
    Eight exits(const Item* items, const std::uint32_t* numbers) const {
        return of_vectors(four(items, numbers), four(items, numbers + 4));
    }

    // Of eight items that lie so many bytes from `items`, each of which begins with a head.
    Eight exits_at(const unsigned char* items, const std::uint32_t* offsets) const {
        return of_vectors(four(items, offsets), four(items, offsets + 4));
    }

    // Where eight linked treelets lead: the places of the links found, and a bit for each that leads to a treelet.
    struct Followed {
        __m256i links;
        unsigned going;
    };

    // Of the lines that lie so many bytes from `lines`.
    Followed follow(const unsigned char* lines, const std::uint32_t* offsets) const {
        const __m512i low = four(lines, offsets);
        const __m512i high = four(lines, offsets + 4);
        const __m512i slots = _mm512_permutex2var_epi64(low, _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0), high);
        const __m512i exits = wide_exits(low, high, slots);
        // The eighth slot says which exits are leaves.
        const __m512i leaf = _mm512_srlv_epi64(slots, _mm512_add_epi64(exits, _mm512_set1_epi64(56)));
        const __mmask8 going = _mm512_testn_epi64_mask(leaf, _mm512_set1_epi64(1));
        const __m256i line = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(offsets));
        const __m256i link = _mm256_slli_epi32(_mm512_cvtepi64_epi32(exits), 2);
        const __m256i first = _mm256_set1_epi32(offsetof(Line, exit));
        return {_mm256_add_epi32(_mm256_add_epi32(line, first), link), going};
    }

private:
    // Exits as eight 64-bit numbers.
    __m512i wide_exits(__m512i low, __m512i high, __m512i slots) const {
        const __m512i codes = _mm512_permutex2var_epi64(low, _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1), high);
        const auto results = static_cast<long long>(above(slots, codes));
        const __m512i by_treelet = _mm512_castsi128_si512(_mm_cvtsi64_si128(results));
        const __m512i exits = _mm512_permutex2var_epi8(exits_[0], by_treelet, exits_[1]);
        return _mm512_cvtepu8_epi64(_mm512_castsi512_si128(exits));
    }

    template <class Item>
    static __m512i four(const Item* items, const std::uint32_t* numbers) {
        const auto head = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(items + numbers[i])); };
        __m512i heads = _mm512_castsi128_si512(head(0));
        heads = _mm512_inserti64x2(heads, head(1), 1);
        heads = _mm512_inserti64x2(heads, head(2), 2);
        return _mm512_inserti64x2(heads, head(3), 3);
    }

    Eight of_vectors(__m512i low, __m512i high) const {
        const __m512i even = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
        const __m512i odd = _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1);
        const __m512i slots = _mm512_permutex2var_epi64(low, even, high);
        const __m512i codes = _mm512_permutex2var_epi64(low, odd, high);
        const auto results = static_cast<long long>(above(slots, codes));
        const __m512i by_treelet = _mm512_castsi128_si512(_mm_cvtsi64_si128(results));
        const __m512i exits = _mm512_permutex2var_epi8(exits_[0], by_treelet, exits_[1]);
        return reinterpret_cast<Eight>(_mm256_cvtepu8_epi32(_mm512_castsi512_si128(exits)));
    }

    __m512i ranks_[2];
    __m512i exits_[2];
};

#else

class Ranks {
public:
    explicit Ranks(const std::uint8_t* ranks) {
        for (std::uint32_t i = 0; i < most_entries; ++i) {
            ranks_[i] = ranks[i];
            ranks_[most_entries + i] = static_cast<std::uint8_t>(ranks[i] - 1U);
        }
    }

    Eight exits(const Head* heads) const {
        Eight exits;
        for (unsigned i = 0; i < 8; ++i) exits[i] = exit(heads[i]);
        return exits;
    }

    template <class Item>
    Eight exits(const Item* items, const std::uint32_t* numbers) const {
        Eight exits;
        for (unsigned i = 0; i < 8; ++i) exits[i] = exit(*reinterpret_cast<const Head*>(items + numbers[i]));
        return exits;
    }

private:
    std::uint32_t exit(const Head& head) const {
        std::uint32_t node = 0;
        for (int level = 0; level < 3; ++level) node = 2 * node + 1 + (ranks_[head.slot[node]] > head.code[node]);
        return node - 7;
    }

    std::uint8_t ranks_[2 * most_entries];  // as they are, then less one
};

#endif

// `Value` is what inputs and thresholds are compared in, `Leaf` what leaves are summed in; `strict` says that a value
// equal to a threshold goes right (XGBoost's <), else left (<=).
template <class Value, class Leaf, bool strict>
class Forest {
public:
    Forest(const unsigned char* tables, Thresholds thresholds, double zero_threshold)
        : tables_{tables},
          thresholds_{thresholds},
          zero_threshold_{zero_threshold} {}

    // Adds the leaves of the group's trees to the sum, one by one in tree order.
    template <class Input>
    Leaf add(const Group& group, const Input* row, Leaf sum) const {
        each_end(group, row, [&](std::uint32_t, std::uint32_t end) { sum += leaf(group, end); });
        return sum;
    }

    // Each tree's leaf, numbered as the source library numbers it.
    template <class Input>
    void leaves(const Group& group, const Input* row, std::int32_t* out) const {
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

    static std::uint32_t exit_number(std::uint32_t end) {
        return (end >> line_shift) * 8 + ((end & (sizeof(Line) - 1)) >> exit_shift);
    }

    Leaf leaf(const Group& group, std::uint32_t end) const {
        if constexpr (std::is_same_v<Leaf, float>) {
            return *table<float>(group.lines + offsetof(Line, exit) + end);
        } else {
            return table<Leaf>(group.values)[exit_number(end)];
        }
    }

    // Calls visit(tree, end) for every tree, in tree order.
    template <class Input, class Visit>
    void each_end(const Group& group, const Input* row, Visit visit) const {
        alignas(64) std::uint8_t bytes[most_entries] = {};
        rank_row<Value, strict>(tables_, thresholds_, zero_threshold_, group.tiles, row, bytes);
        const Ranks ranks(bytes);
        if (group.levels != 0) {
            stacked(group, ranks, visit);
        } else {
            for (std::uint32_t first = 0; first < group.tree_count; first += trees_per_list) {
                linked(group, ranks, first, std::min(group.tree_count - first, trees_per_list), visit);
            }
        }
    }

    // Level by level over a chunk of trees: a pass writes what the next one reads, because reading a wide store back at
    // once stalls. The visits of a chunk are made during the last pass of the next, so that a sum, whose additions wait
    // for each other, is made in the shadow of other work.
    template <class Visit>
    void stacked(const Group& group, const Ranks& ranks, Visit visit) const {
        std::uint32_t ends[2][trees_per_chunk];
        std::uint32_t visited = 0;
        for (std::uint32_t first = 0; first < group.tree_count; first += trees_per_chunk) {
            const std::uint32_t trees = std::min(group.tree_count - first, trees_per_chunk);
            std::uint32_t* now = ends[first / trees_per_chunk % 2];
            const std::uint32_t* before = ends[first / trees_per_chunk % 2 ^ 1];
            descend(group, ranks, first, trees, now);
            const Line* lines = table<Line>(group.lines);
            for (std::uint32_t i = 0; i < trees; i += 8) {
                const Eight exits = ranks.exits(lines, now + i);
                store(now + i, (load(now + i) << line_shift) + (exits << exit_shift));
                if (first == 0) continue;
                for (std::uint32_t j = i; j < i + 8; ++j) visit(visited + j, before[j]);
            }
            for (std::uint32_t j = (trees + 7) / 8 * 8; first != 0 && j < trees_per_chunk; ++j) {
                visit(visited + j, before[j]);
            }
            visited = first;
        }
        const std::uint32_t* last = ends[visited / trees_per_chunk % 2];
        for (std::uint32_t tree = visited; tree < group.tree_count; ++tree) visit(tree, last[tree - visited]);
    }

    // The lines that a chunk of trees arrives at: all levels but the last.
    void descend(const Group& group, const Ranks& ranks, std::uint32_t first, std::uint32_t trees,
                 std::uint32_t* at) const {
        if (group.levels == 1) {
            for (std::uint32_t i = 0; i < trees; i += 8) store(at + i, zero_to_seven + (first + i));
            return;
        }
        const Head* roots = table<Head>(group.heads[0]) + first;
        for (std::uint32_t i = 0; i < trees; i += 8) {
            const Eight tree = zero_to_seven + (first + i);
            store(at + i, (tree << (3 - group.root_shift)) + (ranks.exits(roots + i) >> group.root_shift));
        }
        for (std::uint32_t level = 1; level + 1 < group.levels; ++level) {
            const Head* heads = table<Head>(group.heads[level]);
            for (std::uint32_t i = 0; i < trees; i += 8) {
                store(at + i, (load(at + i) << 3) + ranks.exits(heads, at + i));
            }
        }
    }

    // The trees that have further to go stay on a list, until it is empty.
    template <class Visit>
    void linked(const Group& group, const Ranks& ranks, std::uint32_t first, std::uint32_t trees, Visit visit) const {
        const Line* lines = table<Line>(group.lines);
        std::uint32_t ends[trees_per_list + 1];
        std::uint32_t number[2][trees_per_list + 8];
        std::uint16_t place[2][trees_per_list + 8];
        for (std::uint32_t i = 0; i < trees; ++i) {
            number[0][i] = first + i;
            place[0][i] = static_cast<std::uint16_t>(i);
        }
        std::uint32_t count = trees;
        for (unsigned from = 0; count != 0; from ^= 1) {
            std::uint32_t* numbers = number[from];
            // The last eight may reach past the list: there a treelet is looked at whose end nobody asks for.
            for (std::uint32_t i = count; i % 8 != 0; ++i) {
                numbers[i] = first;
                place[from][i] = trees_per_list;
            }
            std::uint32_t open = 0;
            for (std::uint32_t batch = 0; batch < count; batch += 8) {
                std::uint32_t exits[8];
                store(exits, ranks.exits(lines, numbers + batch));
                for (std::uint32_t i = 0; i < 8; ++i) {
                    const std::uint32_t here = numbers[batch + i];
                    const std::uint16_t tree = place[from][batch + i];
                    ends[tree] = (here << line_shift) + (exits[i] << exit_shift);
                    number[from ^ 1][open] = static_cast<std::uint32_t>(lines[here].exit[exits[i]]);
                    place[from ^ 1][open] = tree;
                    const unsigned leaf = lines[here].head.slot[7] >> exits[i] & 1U;
                    open += (leaf ^ 1U) & static_cast<unsigned>(tree != trees_per_list);
                }
            }
            count = open;
        }
        for (std::uint32_t i = 0; i < trees; ++i) visit(first + i, ends[i]);
    }

    const unsigned char* tables_;
    Thresholds thresholds_;
    double zero_threshold_;
};

}  // namespace treelets
}  // namespace quickthorn

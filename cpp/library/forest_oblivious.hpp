// Evaluating oblivious trees, whose levels share one test each: a tree of six levels is six comparisons and a look-up.
//
// The row is quantised as for treelets (forest_ranks.hpp). Then 64 trees at a time, level by level, every tree's rank
// is looked up and compared, and the results become the bits of the trees' leaf numbers. What remains is one load a
// tree, and adding the leaves in tree order.
// engine/quickthorn/forest/oblivious.py builds the tables and says what they hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "forest_ranks.hpp"

#if !QUICKTHORN_BYTE_PERMUTES && defined(__SSSE3__)
#include <immintrin.h>
#endif

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] oblivious {

inline constexpr std::uint32_t trees_at_once = 64;

// One level of 64 trees: tree i goes right when its rank is above code[i]. Its rank is that of entry slot[i] & 127,
// less one where bit 7 is set (see forest_treelets.hpp). Trees without such a level, and places without a tree, never
// go right.
struct alignas(64) Level {
    std::uint8_t slot[trees_at_once];
    std::uint8_t code[trees_at_once];
};
static_assert(sizeof(Level) == 128);

// Consecutive trees that share a set of slots. Offsets are in bytes from the start of the tables.
struct Group {
    std::uint32_t tree_count;
    std::uint32_t tile_count;
    std::uint64_t tiles;
    std::uint32_t level_count;  // 8 at most
    bool any_less_one;          // whether any slot has bit 7 set
    std::uint64_t levels;       // of every 64 trees, the root's level first
    std::uint64_t values;       // by leaf: tree i's begin at i << level_count
    std::uint64_t ids;          // likewise
};

// The ranks of a row, and the leaf numbers of 64 trees.
#if QUICKTHORN_BYTE_PERMUTES

class Ranks {
public:
    explicit Ranks(const std::uint8_t* ranks) : ranks_{_mm512_load_si512(ranks), _mm512_load_si512(ranks + 64)} {}

    template <bool less_one>
    void leaf_numbers(const Level* levels, std::uint32_t level_count, std::uint8_t* numbers) const {
        __m512i number = _mm512_setzero_si512();
        for (std::uint32_t level = 0; level < level_count; ++level) {
            const __m512i slots = _mm512_load_si512(levels[level].slot);
            __m512i ranks = _mm512_permutex2var_epi8(ranks_[0], slots, ranks_[1]);
            if (less_one) {
                ranks = _mm512_mask_sub_epi8(ranks, _mm512_movepi8_mask(slots), ranks, _mm512_set1_epi8(1));
            }
            const __mmask64 right = _mm512_cmpgt_epu8_mask(ranks, _mm512_load_si512(levels[level].code));
            number = _mm512_add_epi8(number, number);
            number = _mm512_mask_sub_epi8(number, right, number, _mm512_set1_epi8(-1));
        }
        _mm512_store_si512(numbers, number);
    }

private:
    __m512i ranks_[2];
};

#elif defined(__SSSE3__)

#if defined(__AVX2__)

using Bytes = __m256i;
inline Bytes load(const std::uint8_t* bytes) { return _mm256_load_si256(reinterpret_cast<const Bytes*>(bytes)); }
inline Bytes load_sixteen(const std::uint8_t* bytes) {
    return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(bytes)));
}
inline void store(std::uint8_t* bytes, Bytes from) { _mm256_store_si256(reinterpret_cast<Bytes*>(bytes), from); }
inline Bytes all(char byte) { return _mm256_set1_epi8(byte); }
inline Bytes pick(Bytes table, Bytes places) { return _mm256_shuffle_epi8(table, places); }
inline Bytes add(Bytes a, Bytes b) { return _mm256_add_epi8(a, b); }
inline Bytes minus_or_zero(Bytes a, Bytes b) { return _mm256_subs_epu8(a, b); }
inline Bytes smaller(Bytes a, Bytes b) { return _mm256_min_epu8(a, b); }
inline Bytes sign(Bytes a) { return _mm256_cmpgt_epi8(_mm256_setzero_si256(), a); }
inline Bytes without_sign(Bytes a) { return _mm256_and_si256(a, all(0x7F)); }
template <int bits>
Bytes shifted(Bytes a) {
    return _mm256_slli_epi16(a, bits);
}
inline Bytes choose(Bytes where_clear, Bytes where_set, Bytes sign_bits) {
    return _mm256_blendv_epi8(where_clear, where_set, sign_bits);
}

#else

using Bytes = __m128i;
inline Bytes load(const std::uint8_t* bytes) { return _mm_load_si128(reinterpret_cast<const Bytes*>(bytes)); }
inline Bytes load_sixteen(const std::uint8_t* bytes) { return load(bytes); }
inline void store(std::uint8_t* bytes, Bytes from) { _mm_store_si128(reinterpret_cast<Bytes*>(bytes), from); }
inline Bytes all(char byte) { return _mm_set1_epi8(byte); }
inline Bytes pick(Bytes table, Bytes places) { return _mm_shuffle_epi8(table, places); }
inline Bytes add(Bytes a, Bytes b) { return _mm_add_epi8(a, b); }
inline Bytes minus_or_zero(Bytes a, Bytes b) { return _mm_subs_epu8(a, b); }
inline Bytes smaller(Bytes a, Bytes b) { return _mm_min_epu8(a, b); }
inline Bytes sign(Bytes a) { return _mm_cmpgt_epi8(_mm_setzero_si128(), a); }
inline Bytes without_sign(Bytes a) { return _mm_and_si128(a, all(0x7F)); }
template <int bits>
Bytes shifted(Bytes a) {
    return _mm_slli_epi16(a, bits);
}
inline Bytes choose(Bytes where_clear, Bytes where_set, Bytes sign_bits) {
#if defined(__SSE4_1__)
    return _mm_blendv_epi8(where_clear, where_set, sign_bits);
#else
    const Bytes set = sign(sign_bits);
    return _mm_or_si128(_mm_and_si128(set, where_set), _mm_andnot_si128(set, where_clear));
#endif
}

#endif

// Sixteen ranks to a table: every table is asked, and bits 4 to 6 of the slot choose between the answers.
class Ranks {
public:
    explicit Ranks(const std::uint8_t* ranks) {
        for (unsigned i = 0; i < 8; ++i) tables_[i] = load_sixteen(ranks + 16 * i);
    }

    template <bool less_one>
    void leaf_numbers(const Level* levels, std::uint32_t level_count, std::uint8_t* numbers) const {
        for (std::uint32_t first = 0; first < trees_at_once; first += sizeof(Bytes)) {
            Bytes number = all(0);
            for (std::uint32_t level = 0; level < level_count; ++level) {
                const Bytes slots = load(levels[level].slot + first);
                Bytes ranks = found(less_one ? without_sign(slots) : slots);
                if (less_one) ranks = add(ranks, sign(slots));
                const Bytes right = smaller(minus_or_zero(ranks, load(levels[level].code + first)), all(1));
                number = add(add(number, number), right);
            }
            store(numbers + first, number);
        }
    }

private:
    Bytes found(Bytes slots) const {
        const Bytes bit4 = shifted<3>(slots);
        const Bytes bit5 = shifted<2>(slots);
        const auto pair = [&](int i) { return choose(pick(tables_[i], slots), pick(tables_[i + 1], slots), bit4); };
        const auto four = [&](int i) { return choose(pair(i), pair(i + 2), bit5); };
        return choose(four(0), four(4), shifted<1>(slots));
    }

    Bytes tables_[8];
};

#else

class Ranks {
public:
    explicit Ranks(const std::uint8_t* ranks) {
        for (std::uint32_t i = 0; i < treelets::most_entries; ++i) {
            ranks_[i] = ranks[i];
            ranks_[treelets::most_entries + i] = static_cast<std::uint8_t>(ranks[i] - 1U);
        }
    }

    template <bool less_one>
    void leaf_numbers(const Level* levels, std::uint32_t level_count, std::uint8_t* numbers) const {
        for (std::uint32_t i = 0; i < trees_at_once; ++i) {
            unsigned number = 0;
            for (std::uint32_t level = 0; level < level_count; ++level) {
                number = 2 * number + (ranks_[levels[level].slot[i]] > levels[level].code[i]);
            }
            numbers[i] = static_cast<std::uint8_t>(number);
        }
    }

private:
    std::uint8_t ranks_[2 * treelets::most_entries];  // as they are, then less one
};

#endif

// `Value` is what inputs and thresholds are compared in, `Leaf` what leaves are summed in; `strict` says that a value
// equal to a threshold goes right (<), else left (<=).
template <class Value, class Leaf, bool strict>
class Forest {
public:
    Forest(const unsigned char* tables, double zero_threshold) : tables_{tables}, zero_threshold_{zero_threshold} {}

    // Adds the leaves of the group's trees to the sum, one by one in tree order.
    template <class Input>
    Leaf add(const Group& group, const Input* row, Leaf sum) const {
        const Leaf* values = table<Leaf>(group.values);
        each_chunk(group, row, [&](std::uint32_t first, auto trees, const std::uint8_t* numbers) {
            const Leaf* of_tree = values + (std::size_t{first} << group.level_count);
            // Each addition waits for the one before; meanwhile the processor looks ahead for leaves.
            // The sum is kept in a variable of this function, because the compiler may keep the other in memory.
            Leaf so_far = sum;
            for (std::uint32_t i = 0; i < trees; ++i) {
                so_far += of_tree[numbers[i]];
                of_tree += std::size_t{1} << group.level_count;
            }
            sum = so_far;
        });
        return sum;
    }

    // Adds the leaves' vectors to as many sums.
    template <std::uint32_t outputs, class Input>
    void add(const Group& group, const Input* row, Leaf* sums) const {
        const Leaf* values = table<Leaf>(group.values);
        each_chunk(group, row, [&](std::uint32_t first, std::uint32_t trees, const std::uint8_t* numbers) {
            for (std::uint32_t i = 0; i < trees; ++i) {
                const std::size_t leaf = (std::size_t{first + i} << group.level_count) + numbers[i];
                const Leaf* vector = values + leaf * outputs;
                for (std::uint32_t output = 0; output < outputs; ++output) sums[output] += vector[output];
            }
        });
    }

    // Each tree's leaf, numbered as the source library numbers it.
    template <class Input>
    void leaves(const Group& group, const Input* row, std::int32_t* out) const {
        const std::int32_t* ids = table<std::int32_t>(group.ids);
        each_chunk(group, row, [&](std::uint32_t first, std::uint32_t trees, const std::uint8_t* numbers) {
            for (std::uint32_t i = 0; i < trees; ++i) {
                out[first + i] = ids[(std::size_t{first + i} << group.level_count) + numbers[i]];
            }
        });
    }

private:
    template <class Item>
    const Item* table(std::uint64_t offset) const {
        return reinterpret_cast<const Item*>(tables_ + offset);
    }

    // Calls visit(first, trees, numbers) for every 64 trees: tree first + i ends at its leaf numbers[i]. A chunk is
    // visited when the next one's numbers are known, so that the visits, which wait for each other, need not wait for
    // those too.
    template <class Input, class Visit>
    void each_chunk(const Group& group, const Input* row, Visit visit) const {
        alignas(64) std::uint8_t bytes[treelets::most_entries] = {};
        const treelets::Quantiser<Value, strict> quantiser(table<Value>(0), zero_threshold_);
        quantiser.rank(table<treelets::Tile<Value>>(group.tiles), group.tile_count, row, bytes);
        const Ranks ranks(bytes);
        alignas(64) std::uint8_t numbers[2][trees_at_once];
        find(group, ranks, 0, numbers[0]);
        std::uint32_t first = 0;
        for (; first + trees_at_once < group.tree_count; first += trees_at_once) {
            const std::uint32_t now = first / trees_at_once % 2;
            find(group, ranks, first + trees_at_once, numbers[now ^ 1]);
            visit(first, std::integral_constant<std::uint32_t, trees_at_once>(), numbers[now]);
        }
        visit(first, group.tree_count - first, numbers[first / trees_at_once % 2]);
    }

    void find(const Group& group, const Ranks& ranks, std::uint32_t first, std::uint8_t* numbers) const {
        const Level* levels = table<Level>(group.levels) + first / trees_at_once * group.level_count;
        if (group.any_less_one) {
            ranks.template leaf_numbers<true>(levels, group.level_count, numbers);
        } else {
            ranks.template leaf_numbers<false>(levels, group.level_count, numbers);
        }
    }

    const unsigned char* tables_;
    double zero_threshold_;
};

}  // namespace oblivious
}  // namespace quickthorn

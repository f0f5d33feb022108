// What every split of a forest makes of one row, asked one by one or many at once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "forest_byte_vectors.hpp"
#include "forest_ranks.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] contributions {

// The tests as comparisons of ranks (forest_ranks.hpp): a test is a slot of 16 bits, and above it a code, and goes
// right where the slot's rank is above the code. Offsets are in bytes from the start of the tables.
template <class Value, bool strict, std::uint32_t tile_count>
class RankedTests {
public:
    static constexpr std::uint32_t entries = 16 * tile_count;
    // Whether all ranks are looked up at once: then tests side by side are slots of 8 bits, and after them the codes.
    static constexpr bool narrow = entries <= treelets::most_entries;

    template <class Input>
    RankedTests(const unsigned char* tables, std::uint64_t thresholds, std::uint64_t tiles, double zero_threshold,
                const Input* row) {
        constexpr std::uint32_t at_once = treelets::most_entries / 16;
        const treelets::Quantiser<Value, strict> quantiser(reinterpret_cast<const Value*>(tables + thresholds),
                                                           zero_threshold);
        const auto* tile = reinterpret_cast<const treelets::Tile<Value>*>(tables + tiles);
        for (std::uint32_t first = 0; first < tile_count; first += at_once) {
            quantiser.rank(tile + first, std::min(tile_count - first, at_once), row, ranks_ + 16 * first);
        }
        for (std::uint32_t entry = 0; entry < entries; ++entry) {
            ranks_[second + entry] = static_cast<std::uint8_t>(ranks_[entry] - 1U);
        }
    }

    bool right(std::uint32_t test) const { return ranks_[test & 0xFFFFU] > test >> 16; }

    // Of so many tests side by side: minus one where one goes right, else 0. Writes up to 63 beyond.
    void right(const unsigned char* tests, std::uint32_t count, std::int8_t* answers) const {
        if constexpr (narrow) {
            const std::uint8_t* slots = tests;
            const std::uint8_t* codes = tests + (count + 63) / 64 * 64;
            look_up(slots, codes, count, reinterpret_cast<std::uint8_t*>(answers));
        } else {
            const auto* numbers = reinterpret_cast<const std::uint32_t*>(tests);
            for (std::uint32_t i = 0; i < count; ++i) answers[i] = static_cast<std::int8_t>(-right(numbers[i]));
        }
    }

private:
    // Where the ranks less one begin: where a slot of 8 bits has its highest bit set, or behind all others.
    static constexpr std::uint32_t second = narrow ? treelets::most_entries : entries;

#if QUICKTHORN_BYTE_PERMUTES
    void look_up(const std::uint8_t* slots, const std::uint8_t* codes, std::uint32_t count, std::uint8_t* to) const {
        const __m512i low = _mm512_load_si512(ranks_);
        const __m512i high = _mm512_load_si512(ranks_ + 64);
        for (std::uint32_t i = 0; i < count; i += 64) {
            const __m512i slot = _mm512_load_si512(slots + i);
            const __m512i found = _mm512_permutex2var_epi8(low, slot, high);
            const __m512i rank = _mm512_mask_sub_epi8(found, _mm512_movepi8_mask(slot), found, _mm512_set1_epi8(1));
            const __mmask64 right = _mm512_cmpgt_epu8_mask(rank, _mm512_load_si512(codes + i));
            _mm512_store_si512(to + i, _mm512_movm_epi8(right));
        }
    }
#else
    void look_up(const std::uint8_t* slots, const std::uint8_t* codes, std::uint32_t count, std::uint8_t* to) const {
        using namespace treelets;
        const RankTables<tile_count <= 8 ? tile_count : 8> ranks(ranks_);
        for (std::uint32_t i = 0; i < count; i += byte_lanes) {
            store_bytes(to + i, above(ranks[load_bytes(slots + i)], flip(load_bytes(codes + i), same_bytes(0x80))));
        }
    }
#endif

    // As they are, then less one.
    alignas(64) std::uint8_t ranks_[second + entries];
};

// The tests as trees of one split each, which a Walk (forest_walk.hpp) follows to leaf 0 or 1; a test is a tree's
// number.
template <std::uint32_t count>
class WalkedTests {
public:
    template <class Walk, class Input>
    WalkedTests(const Walk& walk, const Input* row) {
        walk.each_leaf(row, [&](const auto*, std::uint32_t test, std::uint32_t leaf) {
            right_[test / 64] |= std::uint64_t{leaf} << (test % 64);
        });
    }

    bool right(std::uint32_t test) const { return (right_[test / 64] >> (test % 64) & 1U) != 0; }

    void right(const unsigned char* tests, std::uint32_t asked, std::int8_t* answers) const {
        const auto* numbers = reinterpret_cast<const std::uint32_t*>(tests);
        for (std::uint32_t i = 0; i < asked; ++i) answers[i] = static_cast<std::int8_t>(-right(numbers[i]));
    }

private:
    std::uint64_t right_[(count + 63) / 64] = {};
};

}  // namespace contributions
}  // namespace quickthorn

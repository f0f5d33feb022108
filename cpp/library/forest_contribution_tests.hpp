// What every split of a forest makes of one row, asked by the split's test.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "forest_ranks.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] contributions {

// The tests as comparisons of ranks (forest_ranks.hpp): a test is a slot of 16 bits, and above it a code, and goes
// right where the slot's rank is above the code. Offsets are in bytes from the start of the tables.
template <class Value, bool strict, std::uint32_t tile_count>
class RankedTests {
public:
    static constexpr std::uint32_t entries = 16 * tile_count;

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
            ranks_[entries + entry] = static_cast<std::uint8_t>(ranks_[entry] - 1U);
        }
    }

    bool right(std::uint32_t test) const { return ranks_[test & 0xFFFFU] > test >> 16; }

private:
    // As they are, then less one.
    alignas(64) std::uint8_t ranks_[2 * entries];
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

private:
    std::uint64_t right_[(count + 63) / 64] = {};
};

}  // namespace contributions
}  // namespace quickthorn

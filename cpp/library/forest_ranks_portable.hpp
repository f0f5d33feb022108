// Quantising a row without AVX-512: the compiler's vectors of 16 or 32 bytes, whatever the processor.
//
// forest_ranks.hpp, which includes this file, says what is computed.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "forest_intrinsics.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] treelets {

// As many values as the processor compares at once.
#if defined(__AVX2__)
inline constexpr unsigned vector_bytes = 32;
#else
inline constexpr unsigned vector_bytes = 16;
#endif
using FloatLanes [[gnu::vector_size(vector_bytes)]] = float;
using DoubleLanes [[gnu::vector_size(vector_bytes)]] = double;
using FloatMask [[gnu::vector_size(vector_bytes)]] = std::int32_t;
using DoubleMask [[gnu::vector_size(vector_bytes)]] = std::int64_t;

// `Value` and `strict` as in forest_ranks.hpp.
template <class Value, bool strict>
class Quantiser {
public:
    Quantiser(const Value* thresholds, double zero_threshold)
        : thresholds_{thresholds},
          zero_threshold_{zero_threshold} {}

    // `ranks` has 128 bytes; entry e of the tiles ranks in ranks[e].
    //
    // Passes over all tiles: what one writes piece by piece has left the store queue when the next reads it.
    template <class Input>
    void rank(const Tile<Value>* tiles, std::uint32_t tile_count, const Input* row, std::uint8_t* ranks) const {
        alignas(64) Value values[most_entries];
        alignas(64) Count blocks[most_entries];  // the first rank in each value's block, or 0 for NaN
        alignas(64) Count starts[most_entries];
        for (std::uint32_t t = 0; t < tile_count; ++t) read(tiles[t], row, values + 16 * t);
        for (std::uint32_t t = 0; t < tile_count; ++t) {
            find_blocks(tiles[t], values + 16 * t, blocks + 16 * t, starts + 16 * t);
        }
        for (std::uint32_t i = 0; i < 16 * tile_count; ++i) {
            ranks[i] = static_cast<std::uint8_t>(blocks[i] + beyond(thresholds_ + starts[i], values[i]));
        }
    }

private:
    static constexpr unsigned lanes = vector_bytes / sizeof(Value);
    static constexpr unsigned vectors = 16 / lanes;  // that hold a tile's values, or a block's thresholds
    using Lanes = std::conditional_t<std::is_same_v<Value, float>, FloatLanes, DoubleLanes>;
    using Mask = std::conditional_t<std::is_same_v<Value, float>, FloatMask, DoubleMask>;
    using Count = std::conditional_t<std::is_same_v<Value, float>, std::int32_t, std::int64_t>;

    template <class Input>
    static void read(const Tile<Value>& tile, const Input* row, Value* values) {
        if (tile.consecutive != 0 && tile.entry_count == 16) {
            const Input* first = row + tile.feature[0];
            for (unsigned i = 0; i < 16; i += lanes) convert(first + i, values + i);
        } else {
            for (int i = 0; i < 16; ++i) values[i] = static_cast<Value>(row[tile.feature[i]]);
        }
    }

    static void convert(const Value* from, Value* to) { std::memcpy(to, from, vector_bytes); }

    template <class Input>
    static void convert(const Input* from, Value* to) {
        for (unsigned i = 0; i < lanes; i += vector_bytes / 8) {
            using Converted [[gnu::vector_size(vector_bytes / 8 * sizeof(Value))]] = Value;
            using Given [[gnu::vector_size(vector_bytes / 8 * sizeof(Input))]] = Input;
            Given given;
            std::memcpy(&given, from + i, sizeof given);
            const Converted converted = __builtin_convertvector(given, Converted);
            std::memcpy(to + i, &converted, sizeof converted);
        }
    }

    // What the library makes of the inputs before it compares them.
    Lanes prepare(const Tile<Value>& tile, unsigned vector, Lanes value) const {
        if constexpr (std::is_same_v<Value, double>) value = unless(absolute(value) <= zero_threshold_, value);
        if ((tile.nan_is_zero | tile.zero_is_nan) == 0) return value;
        value = unless(lanes_of(tile.nan_is_zero, vector) & (value != value), value);
        const Mask to_nan = lanes_of(tile.zero_is_nan, vector) & (value == 0);
        return (Lanes)((Mask)value | to_nan);  // all ones are NaN
    }

    static Lanes unless(Mask mask, Lanes value) { return (Lanes)(~mask & (Mask)value); }

    static Lanes absolute(Lanes value) { return (Lanes)((Mask)value & std::numeric_limits<Count>::max()); }

    // All ones in the lanes of a tile's vector whose bits are set.
    static Mask lanes_of(unsigned bits, unsigned vector) {
        Mask bit = {};
        for (unsigned lane = 0; lane < lanes; ++lane) bit[lane] = Count{1} << (lanes * vector + lane);
        return (bit & static_cast<Count>(bits)) != 0;
    }

    static Lanes load(const Value* values) {
        Lanes vector;
        std::memcpy(&vector, values, sizeof vector);
        return vector;
    }

    // All ones where the value is beyond the threshold.
    static Mask above(Lanes thresholds, Lanes values) {
        if constexpr (strict) {
            return values >= thresholds;
        } else {
            return values > thresholds;
        }
    }

    // Each value as it is compared, its block, and where that begins among the thresholds: as many blocks on as end
    // before the value.
    void find_blocks(const Tile<Value>& tile, Value* values, Count* blocks, Count* starts) const {
        Lanes value[vectors];
        Mask block[vectors] = {};
        for (unsigned v = 0; v < vectors; ++v) value[v] = prepare(tile, v, load(values + lanes * v));
        std::memcpy(values, value, sizeof value);
        for (unsigned end = 0; end < tile.end_count; ++end) {
            for (unsigned v = 0; v < vectors; ++v) block[v] -= above(load(tile.block_ends[end] + lanes * v), value[v]);
        }
        for (unsigned v = 0; v < vectors; ++v) {
            using Numbers [[gnu::vector_size(lanes * 4)]] = std::int32_t;
            Numbers first;
            std::memcpy(&first, tile.thresholds + lanes * v, sizeof first);
            const Mask start = __builtin_convertvector(first, Mask) + 16 * block[v];
            std::memcpy(starts + lanes * v, &start, sizeof start);
            const Mask rank = (16 * block[v] + 1) & (value[v] == value[v]);
            std::memcpy(blocks + lanes * v, &rank, sizeof rank);
        }
    }

    // How many thresholds of a block the value is beyond.
    static unsigned beyond(const Value* block, Value value) {
        const Lanes all = value - Lanes{};  // the value in every lane, NaN and its zeros unchanged for a comparison
        Mask masks[vectors];
        for (unsigned v = 0; v < vectors; ++v) masks[v] = above(load(block + lanes * v), all);
#if defined(__AVX2__)
        // Every comparison is two bytes of the last vector.
        __m256i packed = _mm256_packs_epi32((__m256i)masks[0], (__m256i)masks[1]);
        if constexpr (vectors == 4) {
            packed = _mm256_packs_epi16(packed, _mm256_packs_epi32((__m256i)masks[2], (__m256i)masks[3]));
        }
        return static_cast<unsigned>(std::popcount(static_cast<unsigned>(_mm256_movemask_epi8(packed)))) / 2;
#elif defined(__SSE4_2__)
        const auto pack = [&](unsigned v) { return _mm_packs_epi32((__m128i)masks[v], (__m128i)masks[v + 1]); };
        __m128i packed = _mm_packs_epi16(pack(0), pack(2));
        if constexpr (vectors == 8) packed = _mm_packs_epi16(packed, _mm_packs_epi16(pack(4), pack(6)));
        return static_cast<unsigned>(std::popcount(static_cast<unsigned>(_mm_movemask_epi8(packed))));
#else
        Mask sum = masks[0];
        for (unsigned v = 1; v < vectors; ++v) sum += masks[v];
        Count count = 0;
        for (unsigned lane = 0; lane < lanes; ++lane) count -= sum[lane];
        return static_cast<unsigned>(count);
#endif
    }

    const Value* thresholds_;
    double zero_threshold_;
};

}  // namespace treelets
}  // namespace quickthorn

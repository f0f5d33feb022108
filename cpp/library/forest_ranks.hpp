// Quantising a row: per feature, a value becomes its rank among the forest's thresholds, one byte an entry.
//
// engine/quickthorn/forest/ranking.py builds the tables and says what they hold.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "forest_intrinsics.hpp"

#if defined(__AVX512VBMI__) && defined(__AVX512BITALG__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define QUICKTHORN_BYTE_PERMUTES 1
#else
#define QUICKTHORN_BYTE_PERMUTES 0
#endif

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] treelets {

inline constexpr std::uint32_t most_entries = 128;

// Sixteen entries side by side. An entry is a feature's thresholds, or up to 254 of them, in blocks of 16; it ranks a
// value from 1 up, and NaN as 0.
template <class Value>
struct alignas(64) Tile {
    std::uint32_t feature[16];
    std::uint32_t thresholds[16];  // of the first, among the table's thresholds
    std::uint16_t nan_is_zero;     // a bit an entry: Missing.NONE
    std::uint16_t zero_is_nan;     // Missing.ZERO
    std::uint16_t entry_count;     // entries that rank something; they come first
    std::uint8_t end_count;        // rows of block_ends that hold anything
    std::uint8_t consecutive;      // 1 where the entries' features follow each other in the row
    std::uint8_t unused[56];
    Value block_ends[16][16];  // by block, then by entry: the last threshold of every block but the last, else NaN
};
static_assert(sizeof(Tile<float>) == 192 + 1024);
static_assert(sizeof(Tile<double>) == 192 + 2048);

// Turns a row into ranks. The first look, at the ends of the blocks, finds a value's block, for the entries of a tile
// side by side; the second finds its place in the block. Whether a value equal to a threshold counts as beyond it is
// `strict`. NaN is beyond nothing, and places without a threshold hold NaN.
#if QUICKTHORN_BYTE_PERMUTES
template <class Value, bool strict>
class Quantiser {
public:
    Quantiser(const Value* thresholds, double zero_threshold)
        : thresholds_{thresholds},
          zero_threshold_{zero_threshold} {
        // The largest float32 that is not above it: bit patterns of positive numbers are ordered as they are.
        const float nearest = static_cast<float>(zero_threshold);
        const bool above = static_cast<double>(nearest) > zero_threshold;
        tiny_ = _mm512_set1_ps(std::bit_cast<float>(std::bit_cast<std::uint32_t>(nearest) - (above ? 1U : 0U)));
    }

    // `ranks` has 128 bytes; entry e of the tiles ranks in ranks[e].
    // Whether every input that the tiles rank is NaN or a float32.
    static bool narrow(const Tile<Value>* tiles, std::uint32_t tile_count, const double* row) {
        unsigned wide = 0;
        for (std::uint32_t t = 0; t < tile_count; ++t) {
            const Eights given = both_halves(tiles[t], row);
            const __m512d low = _mm512_cvtps_pd(_mm512_cvtpd_ps(given.low));
            const __m512d high = _mm512_cvtps_pd(_mm512_cvtpd_ps(given.high));
            wide |= _mm512_cmp_pd_mask(low, given.low, _CMP_NEQ_OQ);
            wide |= _mm512_cmp_pd_mask(high, given.high, _CMP_NEQ_OQ);
        }
        return wide == 0;
    }
    static bool narrow(const Tile<Value>*, std::uint32_t, const float*) { return true; }

    template <class Input>
    void rank(const Tile<Value>* tiles, std::uint32_t tile_count, const Input* row, std::uint8_t* ranks) const {
        // Three passes over all tiles: what one writes piece by piece has left the store queue when the next reads it.
        alignas(64) Value values[most_entries];
        alignas(64) std::uint32_t starts[most_entries];  // in bytes
        __m512i blocks[most_entries / 16];
        std::uint16_t beyond[most_entries] = {};
        constexpr int value_shift = sizeof(Value) == 4 ? 2 : 3;
        for (std::uint32_t t = 0; t < tile_count; ++t) {
            blocks[t] = find_blocks(tiles[t], row, values + 16 * t);
            const __m512i first = _mm512_loadu_si512(tiles[t].thresholds);
            const __m512i start = _mm512_add_epi32(first, _mm512_slli_epi32(blocks[t], 4));
            _mm512_store_si512(starts + 16 * t, _mm512_slli_epi32(start, value_shift));
        }
        // Entries that only fill a tile are left out, or have a block of their own, which nothing is beyond.
        const auto* base = reinterpret_cast<const unsigned char*>(thresholds_);
        for (std::uint32_t t = 0; t < tile_count; ++t) {
            const std::uint32_t used = (tiles[t].entry_count + 3U) / 4 * 4;
#pragma GCC unroll 4
            for (std::uint32_t i = 16 * t; i < 16 * t + used; ++i) {
                beyond[i] = compare(reinterpret_cast<const Value*>(base + starts[i]), values[i]);
            }
        }
        for (std::uint32_t t = 0; t < tile_count; ++t) {
            const __m256i places = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(beyond + 16 * t));
            const __m512i place = _mm512_cvtepu16_epi32(_mm256_popcnt_epi16(places));
            const __m512i from_zero = _mm512_add_epi32(place, _mm512_slli_epi32(blocks[t], 4));
            const auto present = static_cast<__mmask16>(~nan_of(values + 16 * t));
            const __m512i from_one = _mm512_maskz_add_epi32(present, from_zero, _mm512_set1_epi32(1));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(ranks + 16 * t), _mm512_cvtepi32_epi8(from_one));
        }
    }

private:
    // Of a value and a threshold.
    static constexpr int is_beyond = strict ? _CMP_GE_OQ : _CMP_GT_OQ;

    // The inputs that a tile's entries rank: loaded where they follow each other, else gathered.
    static __m512 inputs(const Tile<float>& tile, const float* row) {
        const auto wanted = static_cast<__mmask16>((1U << tile.entry_count) - 1);
        if (tile.consecutive != 0) return _mm512_maskz_loadu_ps(wanted, row + tile.feature[0]);
        return _mm512_i32gather_ps(_mm512_loadu_si512(tile.feature), row, 4);
    }

    static __m512 inputs(const Tile<float>& tile, const double* row) {
        const Eights eights = both_halves(tile, row);
        return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(eights.low)), _mm512_cvtpd_ps(eights.high), 1);
    }

    struct Eights {
        __m512d low, high;
    };

    template <class AnyTile>
    static Eights both_halves(const AnyTile& tile, const double* row) {
        if (tile.consecutive != 0) {
            const std::uint32_t wanted = (1U << tile.entry_count) - 1;
            const double* first = row + tile.feature[0];
            return {_mm512_maskz_loadu_pd(static_cast<__mmask8>(wanted), first),
                    _mm512_maskz_loadu_pd(static_cast<__mmask8>(wanted >> 8), first + 8)};
        }
        const __m256i low_features = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile.feature));
        const __m256i high_features = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile.feature + 8));
        return {_mm512_i32gather_pd(low_features, row, 8), _mm512_i32gather_pd(high_features, row, 8)};
    }

    static Eights both_halves(const Tile<double>& tile, const float* row) {
        const auto wanted = static_cast<__mmask16>((1U << tile.entry_count) - 1);
        const __m512 all = tile.consecutive != 0 ? _mm512_maskz_loadu_ps(wanted, row + tile.feature[0])
                                                 : _mm512_i32gather_ps(_mm512_loadu_si512(tile.feature), row, 4);
        return {_mm512_cvtps_pd(_mm512_castps512_ps256(all)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(all, 1))};
    }

    // The values of a tile's features as they are compared, and each one's block.
    template <class Input>
    __m512i find_blocks(const Tile<Value>& tile, const Input* row, Value* values) const {
        __m512i block = _mm512_setzero_si512();
        if constexpr (std::is_same_v<Value, float>) {
            const __m512 given = inputs(tile, row);
            const __mmask16 nan = _mm512_cmp_ps_mask(given, given, _CMP_UNORD_Q);
            const __mmask16 tiny = _mm512_cmp_ps_mask(_mm512_abs_ps(given), tiny_, _CMP_LE_OQ);
            const auto to_zero = static_cast<__mmask16>(tiny | (nan & tile.nan_is_zero));
            __m512 value = _mm512_mask_mov_ps(given, to_zero, _mm512_setzero_ps());
            const __mmask16 zero = _mm512_cmp_ps_mask(value, _mm512_setzero_ps(), _CMP_EQ_OQ);
            value = _mm512_mask_mov_ps(value, zero & tile.zero_is_nan, _mm512_set1_ps(NAN));
            for (unsigned end = 0; end < tile.end_count; ++end) {
                const __mmask16 past = _mm512_cmp_ps_mask(value, _mm512_load_ps(tile.block_ends[end]), is_beyond);
                block = _mm512_sub_epi32(block, _mm512_movm_epi32(past));
            }
            _mm512_store_ps(values, value);
        } else {
            const Eights given = both_halves(tile, row);
            const __m512d prepared[2] = {prepare(given.low, tile.nan_is_zero, tile.zero_is_nan),
                                         prepare(given.high, tile.nan_is_zero >> 8, tile.zero_is_nan >> 8)};
            for (unsigned end = 0; end < tile.end_count; ++end) {
                const __m512d* ends = reinterpret_cast<const __m512d*>(tile.block_ends[end]);
                const __mmask8 first = _mm512_cmp_pd_mask(prepared[0], ends[0], is_beyond);
                const __mmask8 second = _mm512_cmp_pd_mask(prepared[1], ends[1], is_beyond);
                block = _mm512_sub_epi32(block, _mm512_movm_epi32(_mm512_kunpackb(second, first)));
            }
            _mm512_store_pd(values, prepared[0]);
            _mm512_store_pd(values + 8, prepared[1]);
        }
        return block;
    }

    __m512d prepare(__m512d value, int nan_is_zero, int zero_is_nan) const {
        const __m512d size = _mm512_abs_pd(value);
        const __mmask8 nan = _mm512_cmp_pd_mask(value, value, _CMP_UNORD_Q);
        const __mmask8 tiny = _mm512_cmp_pd_mask(size, _mm512_set1_pd(zero_threshold_), _CMP_LE_OQ);
        const auto to_zero = static_cast<__mmask8>(tiny | (nan & nan_is_zero));
        value = _mm512_mask_mov_pd(value, to_zero, _mm512_setzero_pd());
        const __mmask8 zero = _mm512_cmp_pd_mask(value, _mm512_setzero_pd(), _CMP_EQ_OQ);
        return _mm512_mask_mov_pd(value, static_cast<__mmask8>(zero & zero_is_nan), _mm512_set1_pd(NAN));
    }

    // A bit for every threshold of a block that the value is beyond.
    static std::uint16_t compare(const Value* block, Value value) {
        if constexpr (std::is_same_v<Value, float>) {
            return _mm512_cmp_ps_mask(_mm512_set1_ps(value), _mm512_load_ps(block), is_beyond);
        } else {
            const __m512d wanted = _mm512_set1_pd(value);
            const __mmask8 low = _mm512_cmp_pd_mask(wanted, _mm512_load_pd(block), is_beyond);
            const __mmask8 high = _mm512_cmp_pd_mask(wanted, _mm512_load_pd(block + 8), is_beyond);
            return _mm512_kunpackb(high, low);
        }
    }

    static __mmask16 nan_of(const Value* values) {
        if constexpr (std::is_same_v<Value, float>) {
            const __m512 all = _mm512_loadu_ps(values);
            return _mm512_cmp_ps_mask(all, all, _CMP_UNORD_Q);
        } else {
            const __m512d low = _mm512_loadu_pd(values);
            const __m512d high = _mm512_loadu_pd(values + 8);
            const unsigned first = _mm512_cmp_pd_mask(low, low, _CMP_UNORD_Q);
            const unsigned second = _mm512_cmp_pd_mask(high, high, _CMP_UNORD_Q);
            return static_cast<__mmask16>(first | second << 8);
        }
    }

    const Value* thresholds_;
    double zero_threshold_;
    __m512 tiny_;
};
#endif

}  // namespace treelets
}  // namespace quickthorn

#if !QUICKTHORN_BYTE_PERMUTES
#include "forest_ranks_portable.hpp"
#endif

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] treelets {

// The tables that a row is ranked by. Where a forest compares float64, its tiles and thresholds may be there a second
// time, rounded to float32 so that float32 inputs compare alike: ranking by them takes half the time, and most rows
// hold nothing else. Offsets are in bytes from the start of the tables; `narrow` is 0 where there are none.
struct Thresholds {
    std::uint64_t wide;
    std::uint64_t narrow;
};

struct Tiles {
    std::uint32_t count;
    std::uint64_t wide;
    std::uint64_t narrow;
};

template <class Value, bool strict, class Input>
void rank_row(const unsigned char* tables, const Thresholds& thresholds, double zero_threshold, const Tiles& tiles,
              const Input* row, std::uint8_t* ranks) {
    const auto* wide = reinterpret_cast<const Tile<Value>*>(tables + tiles.wide);
    using Full = Quantiser<Value, strict>;
#if QUICKTHORN_BYTE_PERMUTES
    if constexpr (std::is_same_v<Value, double>) {
        if (tiles.narrow != 0 && Full::narrow(wide, tiles.count, row)) {
            const auto* first = reinterpret_cast<const float*>(tables + thresholds.narrow);
            const auto* narrow = reinterpret_cast<const Tile<float>*>(tables + tiles.narrow);
            Quantiser<float, strict>(first, zero_threshold).rank(narrow, tiles.count, row, ranks);
            return;
        }
    }
#endif
    const auto* first = reinterpret_cast<const Value*>(tables + thresholds.wide);
    Full(first, zero_threshold).rank(wide, tiles.count, row, ranks);
}

}  // namespace treelets
}  // namespace quickthorn

// Quantising a row: per feature, a value becomes its rank among the forest's thresholds, one byte a slot.
//
// engine/quickthorn/forest/treelets.py builds the tables and says what they hold.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#if defined(__AVX512VBMI__) && defined(__AVX512BITALG__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define QUICKTHORN_BYTE_PERMUTES 1
// GCC 12 takes its own intrinsics' undefined registers for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#define QUICKTHORN_BYTE_PERMUTES 0
#endif

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] treelets {

inline constexpr std::uint32_t most_entries = 128;

// Sixteen entries side by side. An entry is a feature's thresholds, or up to 255 of them, in blocks of 16; entry e of
// the group ranks in slot e, with NaN ranking 0 for the nodes that send it left, and in slot 128 + e, with NaN ranking
// 255 for the others.
template <class Value>
struct alignas(64) Tile {
    std::uint32_t feature[16];
    std::uint32_t thresholds[16];  // of the first, among the table's thresholds
    std::uint16_t nan_is_zero;     // a bit an entry: Missing.NONE
    std::uint16_t zero_is_nan;     // Missing.ZERO
    std::uint8_t unused[60];
    Value block_ends[16][16];  // by block, then by entry: the last threshold of every block but the last, else NaN
};
static_assert(sizeof(Tile<float>) == 192 + 1024);
static_assert(sizeof(Tile<double>) == 192 + 2048);

// Turns a row into ranks. The first look, at the ends of the blocks, finds a value's block, for the entries of a tile
// side by side; the second finds its place in the block. Whether a value equal to a threshold counts as beyond it is
// `strict`. NaN is beyond nothing, and places without a threshold hold NaN.
template <class Value, bool strict>
class Quantiser {
public:
    Quantiser(const Value* thresholds, double zero_threshold)
        : thresholds_{thresholds},
          zero_threshold_{zero_threshold} {}

    // `ranks` has 2 × 128 bytes, all zero.
#if QUICKTHORN_BYTE_PERMUTES
    void rank(const Tile<Value>* tiles, std::uint32_t tile_count, const double* features, std::uint8_t* ranks) const {
        // Three passes over all tiles: what one writes piece by piece has left the store queue when the next reads it.
        Value values[most_entries];
        std::uint32_t starts[most_entries];
        __m512i blocks[most_entries / 16];
        std::uint16_t beyond[most_entries];
        for (std::uint32_t t = 0; t < tile_count; ++t) {
            blocks[t] = find_blocks(tiles[t], features, values + 16 * t);
            const __m512i first = _mm512_loadu_si512(tiles[t].thresholds);
            _mm512_storeu_si512(starts + 16 * t, _mm512_add_epi32(first, _mm512_slli_epi32(blocks[t], 4)));
        }
        for (std::uint32_t i = 0; i < 16 * tile_count; ++i) beyond[i] = compare(thresholds_ + starts[i], values[i]);
        for (std::uint32_t t = 0; t < tile_count; ++t) {
            const __m256i places = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(beyond + 16 * t));
            const __m512i place = _mm512_cvtepu16_epi32(_mm256_popcnt_epi16(places));
            const __m512i rank = _mm512_add_epi32(place, _mm512_slli_epi32(blocks[t], 4));
            const __m128i bytes = _mm512_cvtepi32_epi8(rank);
            const __m128i missing = _mm_movm_epi8(nan_of(values + 16 * t));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(ranks + 16 * t), bytes);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(ranks + most_entries + 16 * t), _mm_or_si128(bytes, missing));
        }
    }

private:
    static constexpr int beyond_or_not = strict ? _CMP_LE_OQ : _CMP_LT_OQ;

    // The values of a tile's features as they are compared, and each one's block.
    __m512i find_blocks(const Tile<Value>& tile, const double* features, Value* values) const {
        const __m256i low_features = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile.feature));
        const __m256i high_features = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile.feature + 8));
        const __m512d low = _mm512_i32gather_pd(low_features, features, 8);
        const __m512d high = _mm512_i32gather_pd(high_features, features, 8);
        __m512i block = _mm512_setzero_si512();
        const __m512i one = _mm512_set1_epi32(1);
        if constexpr (std::is_same_v<Value, float>) {
            const __m512 both =
                _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
            const __mmask16 nan = _mm512_cmp_ps_mask(both, both, _CMP_UNORD_Q);
            __m512 value = _mm512_mask_mov_ps(both, nan & tile.nan_is_zero, _mm512_setzero_ps());
            const __mmask16 zero = _mm512_cmp_ps_mask(value, _mm512_setzero_ps(), _CMP_EQ_OQ);
            value = _mm512_mask_mov_ps(value, zero & tile.zero_is_nan, _mm512_set1_ps(NAN));
            for (int end = 0; end < 16; ++end) {
                const __mmask16 past = _mm512_cmp_ps_mask(_mm512_load_ps(tile.block_ends[end]), value, beyond_or_not);
                block = _mm512_mask_add_epi32(block, past, block, one);
            }
            _mm512_storeu_ps(values, value);
        } else {
            const __m512d prepared[2] = {prepare(low, tile.nan_is_zero, tile.zero_is_nan),
                                         prepare(high, tile.nan_is_zero >> 8, tile.zero_is_nan >> 8)};
            for (int end = 0; end < 16; ++end) {
                const __m512d* ends = reinterpret_cast<const __m512d*>(tile.block_ends[end]);
                const unsigned first = _mm512_cmp_pd_mask(ends[0], prepared[0], beyond_or_not);
                const unsigned second = _mm512_cmp_pd_mask(ends[1], prepared[1], beyond_or_not);
                block = _mm512_mask_add_epi32(block, static_cast<__mmask16>(first | second << 8), block, one);
            }
            _mm512_storeu_pd(values, prepared[0]);
            _mm512_storeu_pd(values + 8, prepared[1]);
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
            return _mm512_cmp_ps_mask(_mm512_loadu_ps(block), _mm512_set1_ps(value), beyond_or_not);
        } else {
            const __m512d wanted = _mm512_set1_pd(value);
            const unsigned low = _mm512_cmp_pd_mask(_mm512_loadu_pd(block), wanted, beyond_or_not);
            const unsigned high = _mm512_cmp_pd_mask(_mm512_loadu_pd(block + 8), wanted, beyond_or_not);
            return static_cast<std::uint16_t>(low | high << 8);
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
#else
    void rank(const Tile<Value>* tiles, std::uint32_t tile_count, const double* features, std::uint8_t* ranks) const {
        for (std::uint32_t t = 0; t < tile_count; ++t) rank_tile(tiles[t], features, ranks + 16 * t);
    }

private:
    void rank_tile(const Tile<Value>& tile, const double* features, std::uint8_t* ranks) const {
        Value values[16];
        std::uint32_t blocks[16] = {};
        for (int i = 0; i < 16; ++i) {
            values[i] = prepare(features[tile.feature[i]], tile.nan_is_zero >> i & 1, tile.zero_is_nan >> i & 1);
        }
        for (const auto& ends : tile.block_ends) {
            for (int i = 0; i < 16; ++i) blocks[i] += beyond(ends[i], values[i]);
        }
        for (int i = 0; i < 16; ++i) {
            const Value* block = thresholds_ + tile.thresholds[i] + 16 * blocks[i];
            std::uint32_t place = 0;
            for (int j = 0; j < 16; ++j) place += beyond(block[j], values[i]);
            ranks[i] = static_cast<std::uint8_t>(16 * blocks[i] + place);
            // All ones where NaN: a branch would be guessed wrong as often as values are missing.
            const int missing = -static_cast<int>(values[i] != values[i]);
            ranks[most_entries + i] = static_cast<std::uint8_t>(ranks[i] | missing);
        }
    }

    static bool beyond(Value threshold, Value value) { return strict ? threshold <= value : threshold < value; }

    Value prepare(double feature, int nan_is_zero, int zero_is_nan) const {
        Value value = static_cast<Value>(feature);
        if constexpr (std::is_same_v<Value, double>) value = std::fabs(value) <= zero_threshold_ ? 0.0 : value;
        if (nan_is_zero != 0) return value != value ? Value{0} : value;
        if (zero_is_nan != 0) return value == 0 ? static_cast<Value>(NAN) : value;
        return value;
    }
#endif

    const Value* thresholds_;
    double zero_threshold_;
};

}  // namespace treelets
}  // namespace quickthorn

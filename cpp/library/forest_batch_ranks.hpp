// Quantising a tile of rows: the ranks of forest_ranks.hpp, entry by entry, as lines of one byte a row.
//
// A rank is stored less 128, so that signed bytes compare as ranks do. An entry has one line with its ranks, one with
// its ranks less one (of splits that send NaN to the right), or both.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "forest_batch_lanes.hpp"
#include "forest_batch_rows.hpp"
#include "forest_ranks.hpp"

#if !QUICKTHORN_BYTE_PERMUTES
#include "forest_batch_ranks_portable.hpp"
#endif

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] batch {

#if QUICKTHORN_BYTE_PERMUTES

// Up to 254 thresholds of a feature: a search tree of float32, and the thresholds themselves.
struct Entry {
    std::uint32_t search;      // the first, in the forest's searches; breadth first, from 1, in 2^levels places
    std::uint32_t thresholds;  // the first, in the forest's thresholds
    std::uint16_t threshold_count;
    std::uint8_t levels;  // 4 to 8
    std::uint8_t lines;   // which of the two it has
    std::uint32_t unused;
};
static_assert(sizeof(Entry) == 16);

// Sixteen entries, whose inputs are read together.
template <class>
struct alignas(64) EntryTile {
    std::uint32_t feature[16];
    Entry entries[16];
    std::uint16_t nan_is_zero;  // a bit an entry: Missing.NONE
    std::uint16_t zero_is_nan;  // Missing.ZERO
    std::uint16_t entry_count;
    std::uint16_t consecutive;  // 1 where the entries' features follow each other
    std::uint8_t unused[56];
};
static_assert(sizeof(EntryTile<float>) == 384);

// Values are searched as float32. Where thresholds are float64, both are rounded down: whichever is larger afterwards
// was larger before. A value that is equal to a threshold afterwards, and was not a float32 before, is searched again.
template <class Value, bool strict>
class Ranking {
public:
    static_assert(!strict || std::is_same_v<Value, float>);

    Ranking(const Value* thresholds, const unsigned char* searches, double zero_threshold)
        : thresholds_{thresholds},
          searches_{reinterpret_cast<const float*>(searches)},
          zero_threshold_{zero_threshold} {}

    // `row_count` is a multiple of 64; rows beyond the last are ranked as the last one is.
    template <std::uint32_t tile_rows, class Input>
    void rank(const EntryTile<Value>* tiles, std::uint32_t tile_count, const Rows<Input>& rows, std::uint32_t row_count,
              std::int8_t* lines) const {
        alignas(64) float columns[16][tile_rows];
        for (std::uint32_t t = 0; t < tile_count; ++t) {
            const EntryTile<Value>& tile = tiles[t];
            const std::uint32_t next = tiles[t + 1 == tile_count ? 0 : t + 1].feature[0];
            const unsigned inexact = read_columns<tile_rows>(tile, rows, row_count, next, columns);
            for (std::uint32_t e = 0; e < tile.entry_count; ++e) {
                const Entry& entry = tile.entries[e];
                alignas(64) std::int8_t ranks[tile_rows];
                alignas(64) std::uint16_t equal[tile_rows / 16];
                if (std::is_same_v<Value, float> || (inexact >> e & 1U) == 0) {
                    search<false>(entry, columns[e], row_count, ranks, equal);
                } else if constexpr (std::is_same_v<Value, double>) {
                    search<true>(entry, columns[e], row_count, ranks, equal);
                    for (std::uint32_t r = 0; r < row_count; r += 16) {
                        for (unsigned left = equal[r / 16]; left != 0; left &= left - 1) {
                            const std::uint32_t row = r + static_cast<std::uint32_t>(std::countr_zero(left));
                            const Input* values = rows.row(row);
                            ranks[row] = exact_rank(tile, e, values[tile.feature[e] * rows.feature_stride]);
                        }
                    }
                }
                lines = write_lines<tile_rows>(entry, ranks, row_count, lines);
            }
        }
    }

private:
    static constexpr int beyond_or_not = strict ? _CMP_LE_OQ : _CMP_LT_OQ;
    static constexpr int down = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;

    template <std::uint32_t tile_rows>
    static std::int8_t* write_lines(const Entry& entry, const std::int8_t* ranks, std::uint32_t row_count,
                                    std::int8_t* lines) {
        if ((entry.lines & plain_line) != 0) {
            for (std::uint32_t r = 0; r < row_count; r += 64) {
                _mm512_store_si512(lines + r, _mm512_load_si512(ranks + r));
            }
            lines += tile_rows;
        }
        if ((entry.lines & less_one_line) != 0) {
            for (std::uint32_t r = 0; r < row_count; r += 64) {
                const __m512i less = _mm512_sub_epi8(_mm512_load_si512(ranks + r), _mm512_set1_epi8(1));
                _mm512_store_si512(lines + r, less);
            }
            lines += tile_rows;
        }
        return lines;
    }

    // The inputs of a tile's entries, made ready to be compared, each entry's side by side; a bit for every entry of
    // which an input was no float32.
    template <std::uint32_t tile_rows, class Input>
    [[gnu::noinline]] unsigned read_columns(const EntryTile<Value>& tile, const Rows<Input>& rows,
                                            std::uint32_t row_count, std::uint32_t next_feature,
                                            float (*columns)[tile_rows]) const {
        unsigned inexact = 0;
        for (std::uint32_t r = 0; r < row_count; r += 16) {
            __m512 values[16];
#pragma GCC unroll 16
            for (std::uint32_t i = 0; i < 16; ++i) {
                const Input* row = rows.row(r + i);
                // Rows are far apart: nothing else fetches what the next entries read.
                const Input* next = row + static_cast<std::ptrdiff_t>(next_feature) * rows.feature_stride;
                __builtin_prefetch(next);
                __builtin_prefetch(next + 64 / sizeof(Input));
                if (rows.feature_stride == 1) {
                    values[i] = floats(tile, inputs(tile, row, tile.consecutive != 0), inexact);
                } else {
                    alignas(64) Input gathered[16] = {};
                    for (std::uint32_t e = 0; e < tile.entry_count; ++e) {
                        gathered[e] = row[static_cast<std::ptrdiff_t>(tile.feature[e]) * rows.feature_stride];
                    }
                    values[i] = floats(tile, loaded(gathered, 0xFFFF), inexact);
                }
            }
            transpose(values);
#pragma GCC unroll 16
            for (std::uint32_t e = 0; e < 16; ++e) _mm512_store_ps(columns[e] + r, values[e]);
        }
        return inexact;
    }

    struct Eights {
        __m512d low, high;
    };

    static __m512 loaded(const float* values, unsigned wanted) {
        return _mm512_maskz_loadu_ps(static_cast<__mmask16>(wanted), values);
    }

    static Eights loaded(const double* values, unsigned wanted) {
        return {_mm512_maskz_loadu_pd(static_cast<__mmask8>(wanted), values),
                _mm512_maskz_loadu_pd(static_cast<__mmask8>(wanted >> 8), values + 8)};
    }

    template <class Input>
    static auto inputs(const EntryTile<Value>& tile, const Input* row, bool consecutive) {
        if (consecutive) return loaded(row + tile.feature[0], (1U << tile.entry_count) - 1);
        alignas(64) Input gathered[16];
        for (std::uint32_t e = 0; e < 16; ++e) gathered[e] = row[tile.feature[e]];
        return loaded(gathered, 0xFFFF);
    }

    __m512 floats(const EntryTile<Value>& tile, __m512 given, unsigned&) const {
        if constexpr (std::is_same_v<Value, float>) {
            return prepared(tile, given);
        } else {
            unsigned inexact = 0;
            const Eights eights{_mm512_cvtps_pd(_mm512_castps512_ps256(given)),
                                _mm512_cvtps_pd(_mm512_extractf32x8_ps(given, 1))};
            return floats(tile, eights, inexact);
        }
    }

    __m512 floats(const EntryTile<Value>& tile, Eights given, unsigned& inexact) const {
        if constexpr (std::is_same_v<Value, float>) {
            return prepared(tile, joined(_mm512_cvtpd_ps(given.low), _mm512_cvtpd_ps(given.high)));
        } else {
            const __m512d low = prepared(given.low, tile.nan_is_zero, tile.zero_is_nan);
            const __m512d high = prepared(given.high, tile.nan_is_zero >> 8, tile.zero_is_nan >> 8);
            const __m256 low_floats = _mm512_cvt_roundpd_ps(low, down);
            const __m256 high_floats = _mm512_cvt_roundpd_ps(high, down);
            const unsigned low_changed = _mm512_cmp_pd_mask(_mm512_cvtps_pd(low_floats), low, _CMP_NEQ_OQ);
            const unsigned high_changed = _mm512_cmp_pd_mask(_mm512_cvtps_pd(high_floats), high, _CMP_NEQ_OQ);
            inexact |= low_changed | high_changed << 8;
            return joined(low_floats, high_floats);
        }
    }

    static __m512 joined(__m256 low, __m256 high) { return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1); }

    static __m512 prepared(const EntryTile<Value>& tile, __m512 value) {
        const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
        value = _mm512_mask_mov_ps(value, nan & tile.nan_is_zero, _mm512_setzero_ps());
        const __mmask16 zero = _mm512_cmp_ps_mask(value, _mm512_setzero_ps(), _CMP_EQ_OQ);
        return _mm512_mask_mov_ps(value, zero & tile.zero_is_nan, _mm512_set1_ps(NAN));
    }

    __m512d prepared(__m512d value, int nan_is_zero, int zero_is_nan) const {
        const __mmask8 nan = _mm512_cmp_pd_mask(value, value, _CMP_UNORD_Q);
        const __mmask8 tiny = _mm512_cmp_pd_mask(_mm512_abs_pd(value), _mm512_set1_pd(zero_threshold_), _CMP_LE_OQ);
        const auto to_zero = static_cast<__mmask8>(tiny | (nan & nan_is_zero));
        value = _mm512_mask_mov_pd(value, to_zero, _mm512_setzero_pd());
        const __mmask8 zero = _mm512_cmp_pd_mask(value, _mm512_setzero_pd(), _CMP_EQ_OQ);
        return _mm512_mask_mov_pd(value, static_cast<__mmask8>(zero & zero_is_nan), _mm512_set1_pd(NAN));
    }

    // Sixteen vectors of sixteen: what was at [i][j] is then at [j][i].
    static void transpose(__m512 (&values)[16]) {
        __m512 pairs[16];
#pragma GCC unroll 8
        for (int i = 0; i < 16; i += 2) {
            pairs[i] = _mm512_unpacklo_ps(values[i], values[i + 1]);
            pairs[i + 1] = _mm512_unpackhi_ps(values[i], values[i + 1]);
        }
        __m512 fours[16];  // [4q + c]: rows 4q to 4q + 3, columns c, c + 4, c + 8, c + 12
#pragma GCC unroll 4
        for (int q = 0; q < 16; q += 4) {
            for (int half = 0; half < 2; ++half) {
                const __m512d low = _mm512_castps_pd(pairs[q + half]);
                const __m512d high = _mm512_castps_pd(pairs[q + 2 + half]);
                fours[q + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
                fours[q + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
            }
        }
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) {
            const __m512 even[2] = {_mm512_shuffle_f32x4(fours[c], fours[4 + c], 0x88),
                                    _mm512_shuffle_f32x4(fours[8 + c], fours[12 + c], 0x88)};
            const __m512 odd[2] = {_mm512_shuffle_f32x4(fours[c], fours[4 + c], 0xDD),
                                   _mm512_shuffle_f32x4(fours[8 + c], fours[12 + c], 0xDD)};
            values[c] = _mm512_shuffle_f32x4(even[0], even[1], 0x88);
            values[c + 4] = _mm512_shuffle_f32x4(odd[0], odd[1], 0x88);
            values[c + 8] = _mm512_shuffle_f32x4(even[0], even[1], 0xDD);
            values[c + 12] = _mm512_shuffle_f32x4(odd[0], odd[1], 0xDD);
        }
    }

    template <bool note_equal>
    void search(const Entry& entry, const float* values, std::uint32_t row_count, std::int8_t* ranks,
                std::uint16_t* equal) const {
        const float* tree = searches_ + entry.search;
        switch (entry.levels) {
            case 4: return search<4, note_equal>(tree, values, row_count, ranks, equal);
            case 5: return search<5, note_equal>(tree, values, row_count, ranks, equal);
            case 6: return search<6, note_equal>(tree, values, row_count, ranks, equal);
            case 7: return search<7, note_equal>(tree, values, row_count, ranks, equal);
            default: return search<8, note_equal>(tree, values, row_count, ranks, equal);
        }
    }

    // The search tree lies in registers. At place h, the next is 2h, or 2h + 1 where the value is beyond the threshold.
    template <int levels, bool note_equal>
    [[gnu::noinline]] static void search(const float* tree, const float* values, std::uint32_t row_count,
                                         std::int8_t* ranks, std::uint16_t* equal) {
        __m512 places[1 << (levels - 4)];
#pragma GCC unroll 16
        for (int i = 0; i < 1 << (levels - 4); ++i) places[i] = _mm512_load_ps(tree + 16 * i);
        const __m512 root = _mm512_set1_ps(tree[1]);
        for (std::uint32_t r = 0; r < row_count; r += 64) {
            __m128i bytes[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i) {
                const __m512 value = _mm512_load_ps(values + r + 16 * i);
                __mmask16 other = 0xFFFF;  // than every threshold it met
                const __m512i at = descend<levels, note_equal>(places, root, value, other);
                const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
                bytes[i] = _mm512_cvtepi32_epi8(_mm512_mask_sub_epi32(at, nan, at, _mm512_set1_epi32(1)));
                if constexpr (note_equal) equal[r / 16 + static_cast<unsigned>(i)] = static_cast<std::uint16_t>(~other);
            }
            __m512i all = _mm512_inserti32x4(_mm512_castsi128_si512(bytes[0]), bytes[1], 1);
            all = _mm512_inserti32x4(_mm512_inserti32x4(all, bytes[2], 2), bytes[3], 3);
            // The last place is 2^levels more than the rank less one.
            const auto shift = static_cast<char>(1 - (1 << levels) - 128);
            _mm512_store_si512(ranks + r, _mm512_add_epi8(all, _mm512_set1_epi8(shift)));
        }
    }

    template <int levels, bool note_equal>
    [[gnu::always_inline]] static __m512i descend(const __m512* places, __m512 root, __m512 value, __mmask16& other) {
        __m512i at = _mm512_set1_epi32(1);
        __mmask16 first = 0;
        __mmask16 second = 0;
#pragma GCC unroll 8
        for (int level = 0; level < levels; ++level) {
            const __m512 threshold = level == 0 ? root : look_up(places, level, at, first, second);
            const __mmask16 beyond = _mm512_cmp_ps_mask(threshold, value, beyond_or_not);
            if constexpr (note_equal) other = _mm512_mask_cmp_ps_mask(other, threshold, value, _CMP_NEQ_UQ);
            if (level == 0) first = beyond;
            if (level == 1) second = beyond;
            const __m512i twice = _mm512_add_epi32(at, at);
            at = _mm512_mask_add_epi32(twice, beyond, twice, _mm512_set1_epi32(1));
        }
        return at;
    }

    // A permute looks at the lowest bits of a place; those above are the first decisions.
    [[gnu::always_inline]] static __m512 look_up(const __m512* places, int level, __m512i at, __mmask16 first,
                                                 __mmask16 second) {
        if (level < 4) return _mm512_permutexvar_ps(at, places[0]);
        if (level == 4) return _mm512_permutexvar_ps(at, places[1]);
        const auto of_32 = [&](int begin) { return _mm512_permutex2var_ps(places[begin], at, places[begin + 1]); };
        if (level == 5) return of_32(2);
        if (level == 6) return _mm512_mask_blend_ps(first, of_32(4), of_32(6));
        const __m512 low = _mm512_mask_blend_ps(second, of_32(8), of_32(10));
        const __m512 high = _mm512_mask_blend_ps(second, of_32(12), of_32(14));
        return _mm512_mask_blend_ps(first, low, high);
    }

    // Without rounding.
    template <class Input>
    std::int8_t exact_rank(const EntryTile<Value>& tile, std::uint32_t e, Input input) const {
        const Entry& entry = tile.entries[e];
        const Value* begin = thresholds_ + entry.thresholds;
        auto value = static_cast<Value>(input);
        // A missing value is equal to a threshold only where it counts as zero.
        if (!(std::fabs(value) > static_cast<Value>(zero_threshold_))) value = 0;
        const Value* end = std::lower_bound(begin, begin + entry.threshold_count, value);
        return static_cast<std::int8_t>(end - begin + 1 - 128);
    }

    const Value* thresholds_;
    const float* searches_;
    double zero_threshold_;
};

#endif

}  // namespace batch
}  // namespace quickthorn

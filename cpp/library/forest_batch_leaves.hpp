// Adding a tree's leaves to the sums of a tile's rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "forest_batch_lanes.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] batch {

inline constexpr std::uint32_t leaves_per_block = 64;

#if QUICKTHORN_BYTE_PERMUTES

// A tree's leaves lie byte by byte: first the lowest byte of every leaf, and so on. 64 rows' bytes are looked up in
// registers, and put together by interleaving within the four parts of a register; so the sums of 64 rows are not in
// their order.
template <class Leaf>
constexpr std::uint32_t place_of_sum(std::uint32_t row) {
    constexpr std::uint32_t in_part = 16 / sizeof(Leaf);
    const std::uint32_t part = row / 16 % 4;
    return row / 64 * 64 + row % 16 / in_part * (64 / sizeof(Leaf)) + part * in_part + row % in_part;
}

template <int blocks>
inline __m512i look_up(const unsigned char* bytes, __m512i leaf) {
    const __m512i first = _mm512_load_si512(bytes);
    if constexpr (blocks == 1) return _mm512_permutexvar_epi8(leaf, first);
    const __m512i low = _mm512_permutex2var_epi8(first, leaf, _mm512_load_si512(bytes + 64));
    if constexpr (blocks == 2) return low;
    const __m512i high = _mm512_permutex2var_epi8(_mm512_load_si512(bytes + 128), leaf, _mm512_load_si512(bytes + 192));
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(leaf), low, high);
}

// Four bytes of each of 64 leaves, as four vectors of 32-bit words.
template <int blocks>
inline void look_up_words(const unsigned char* bytes, __m512i leaf, __m512i (&words)[4]) {
    __m512i byte[4];
    for (int i = 0; i < 4; ++i) byte[i] = look_up<blocks>(bytes + i * blocks * 64, leaf);
    const __m512i low[2] = {_mm512_unpacklo_epi8(byte[0], byte[1]), _mm512_unpackhi_epi8(byte[0], byte[1])};
    const __m512i high[2] = {_mm512_unpacklo_epi8(byte[2], byte[3]), _mm512_unpackhi_epi8(byte[2], byte[3])};
    for (int i = 0; i < 2; ++i) {
        words[2 * i] = _mm512_unpacklo_epi16(low[i], high[i]);
        words[2 * i + 1] = _mm512_unpackhi_epi16(low[i], high[i]);
    }
}

template <int blocks, class Leaf>
inline void add_blocks(const unsigned char* bytes, const std::uint8_t* leaf, std::uint32_t rows, Leaf* sums) {
    for (std::uint32_t row = 0; row < rows; row += 64) {
        const __m512i at = _mm512_load_si512(leaf + row);
        __m512i low[4];
        look_up_words<blocks>(bytes, at, low);
        if constexpr (std::is_same_v<Leaf, float>) {
            for (int i = 0; i < 4; ++i) {
                float* sum = sums + row + 16 * i;
                _mm512_store_ps(sum, _mm512_add_ps(_mm512_load_ps(sum), _mm512_castsi512_ps(low[i])));
            }
        } else {
            __m512i high[4];
            look_up_words<blocks>(bytes + 4 * blocks * 64, at, high);
            for (int i = 0; i < 4; ++i) {
                double* sum = sums + row + 16 * i;
                const __m512d first = _mm512_castsi512_pd(_mm512_unpacklo_epi32(low[i], high[i]));
                const __m512d second = _mm512_castsi512_pd(_mm512_unpackhi_epi32(low[i], high[i]));
                _mm512_store_pd(sum, _mm512_add_pd(_mm512_load_pd(sum), first));
                _mm512_store_pd(sum + 8, _mm512_add_pd(_mm512_load_pd(sum + 8), second));
            }
        }
    }
}

template <class Leaf>
inline void add_leaves(const Leaf* leaves, std::uint32_t blocks, const std::uint8_t* leaf, std::uint32_t rows,
                       Leaf* sums) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(leaves);
    if (blocks == 1) return add_blocks<1>(bytes, leaf, rows, sums);
    if (blocks == 2) return add_blocks<2>(bytes, leaf, rows, sums);
    add_blocks<4>(bytes, leaf, rows, sums);
}

#else

template <class Leaf>
constexpr std::uint32_t place_of_sum(std::uint32_t row) {
    return row;
}

template <class Leaf>
inline void add_leaves(const Leaf* leaves, std::uint32_t, const std::uint8_t* leaf, std::uint32_t rows, Leaf* sums) {
    for (std::uint32_t row = 0; row < rows; ++row) sums[row] += leaves[leaf[row]];
}

#endif

}  // namespace batch
}  // namespace quickthorn

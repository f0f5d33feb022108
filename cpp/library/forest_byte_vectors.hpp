// Bytes side by side, and the ranks of a row as a table that is looked up for all of them at once: with AVX2, with
// SSE 4.1, with NEON, or one by one.
#pragma once

#include <cstdint>
#include <cstring>

#include "forest_intrinsics.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] treelets {

// `choose(by, yes, no)` asks bit 7 of each byte; `above` compares signed bytes and answers with 0xFF or 0; `look_up`
// takes the lowest four bits of each index, whose bit 7 has to be clear.
#if defined(__AVX2__)

using Bytes = __m256i;
using Sixteen = __m256i;  // the same sixteen in both halves, because a look-up does not cross them

inline Bytes load_bytes(const std::uint8_t* bytes) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
}
inline void store_bytes(std::uint8_t* bytes, Bytes all) { _mm256_store_si256(reinterpret_cast<__m256i*>(bytes), all); }
inline Bytes same_bytes(int byte) { return _mm256_set1_epi8(static_cast<char>(byte)); }
inline Bytes choose(Bytes by, Bytes yes, Bytes no) { return _mm256_blendv_epi8(no, yes, by); }
inline Bytes above(Bytes one, Bytes other) { return _mm256_cmpgt_epi8(one, other); }
inline Bytes add(Bytes one, Bytes other) { return _mm256_add_epi8(one, other); }
inline Bytes subtract(Bytes one, Bytes other) { return _mm256_sub_epi8(one, other); }
inline Bytes both(Bytes one, Bytes other) { return _mm256_and_si256(one, other); }
inline Bytes flip(Bytes one, Bytes other) { return _mm256_xor_si256(one, other); }
inline Sixteen load_sixteen(const std::uint8_t* bytes) {
    return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(bytes)));
}
inline Bytes look_up(Sixteen table, Bytes index) { return _mm256_shuffle_epi8(table, index); }

#elif defined(__SSE4_1__)

using Bytes = __m128i;
using Sixteen = __m128i;

inline Bytes load_bytes(const std::uint8_t* bytes) { return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes)); }
inline void store_bytes(std::uint8_t* bytes, Bytes all) { _mm_store_si128(reinterpret_cast<__m128i*>(bytes), all); }
inline Bytes same_bytes(int byte) { return _mm_set1_epi8(static_cast<char>(byte)); }
inline Bytes choose(Bytes by, Bytes yes, Bytes no) { return _mm_blendv_epi8(no, yes, by); }
inline Bytes above(Bytes one, Bytes other) { return _mm_cmpgt_epi8(one, other); }
inline Bytes add(Bytes one, Bytes other) { return _mm_add_epi8(one, other); }
inline Bytes subtract(Bytes one, Bytes other) { return _mm_sub_epi8(one, other); }
inline Bytes both(Bytes one, Bytes other) { return _mm_and_si128(one, other); }
inline Bytes flip(Bytes one, Bytes other) { return _mm_xor_si128(one, other); }
inline Sixteen load_sixteen(const std::uint8_t* bytes) { return load_bytes(bytes); }
inline Bytes look_up(Sixteen table, Bytes index) { return _mm_shuffle_epi8(table, index); }

#else

using Bytes [[gnu::vector_size(16)]] = std::uint8_t;
using Sixteen = Bytes;
using SignedBytes [[gnu::vector_size(16)]] = std::int8_t;

inline Bytes load_bytes(const std::uint8_t* bytes) {
    Bytes all;
    std::memcpy(&all, bytes, sizeof all);
    return all;
}
inline void store_bytes(std::uint8_t* bytes, Bytes all) { std::memcpy(bytes, &all, sizeof all); }
inline Bytes same_bytes(int byte) { return Bytes{} + static_cast<std::uint8_t>(byte); }
inline Bytes above(Bytes one, Bytes other) { return (Bytes)((SignedBytes)one > (SignedBytes)other); }
inline Bytes choose(Bytes by, Bytes yes, Bytes no) {
    const Bytes mask = above(Bytes{}, by);
    return (yes & mask) | (no & ~mask);
}
inline Bytes add(Bytes one, Bytes other) { return one + other; }
inline Bytes subtract(Bytes one, Bytes other) { return one - other; }
inline Bytes both(Bytes one, Bytes other) { return one & other; }
inline Bytes flip(Bytes one, Bytes other) { return one ^ other; }
inline Sixteen load_sixteen(const std::uint8_t* bytes) { return load_bytes(bytes); }
inline Bytes look_up(Sixteen table, Bytes index) {
#if defined(__aarch64__)
    return (Bytes)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)both(index, same_bytes(15)));
#else
    Bytes found;
    for (unsigned i = 0; i < sizeof found; ++i) found[i] = table[index[i] & 15U];
    return found;
#endif
}

#endif

inline constexpr std::uint32_t byte_lanes = sizeof(Bytes);

// The ranks of up to 128 entries in registers, sixteen to a table.
template <unsigned tables>
class RankTables {
public:
    explicit RankTables(const std::uint8_t* ranks) {
        for (unsigned t = 0; t < tables; ++t) {
            // With the highest bit turned over, signed comparisons order ranks as they are.
            tables_[t] = flip(load_sixteen(ranks + 16 * t), same_bytes(0x80));
        }
    }

    // Of entry slot & 127, less one where bit 7 of the slot is set.
    Bytes operator[](Bytes slots) const {
        const Bytes found = find<0, tables>(slots, both(slots, same_bytes(0x7F)));
        return add(found, above(same_bytes(0), slots));
    }

private:
    template <unsigned first, unsigned count>
    Bytes find(Bytes slots, Bytes index) const {
#if defined(__aarch64__)
        if constexpr (count == 8) return of_fours(index);
#endif
        if constexpr (count == 1) {
            return look_up(tables_[first], index);
        } else {
            constexpr unsigned low = count > 4 ? 4 : count > 2 ? 2 : 1;
            // The bit of the slot that tells the halves apart, where `choose` looks for it.
            Bytes by = add(slots, slots);
            if constexpr (low <= 2) by = add(by, by);
            if constexpr (low == 1) by = add(by, by);
            return choose(by, find<first + low, count - low>(slots, index), find<first, low>(slots, index));
        }
    }

#if defined(__aarch64__)
    Bytes of_fours(Bytes index) const {
        const auto four = [&](unsigned first) {
            return uint8x16x4_t{{(uint8x16_t)tables_[first], (uint8x16_t)tables_[first + 1],
                                 (uint8x16_t)tables_[first + 2], (uint8x16_t)tables_[first + 3]}};
        };
        const uint8x16_t low = vqtbl4q_u8(four(0), (uint8x16_t)index);
        return (Bytes)vqtbx4q_u8(low, four(4), vsubq_u8((uint8x16_t)index, vdupq_n_u8(64)));
    }
#endif

    Sixteen tables_[tables];
};

}  // namespace treelets
}  // namespace quickthorn

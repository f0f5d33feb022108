// Rows side by side, a byte each: the vectors that forest_batch.hpp evaluates trees in.
#pragma once

#include <cstdint>
#include <cstring>

#include "forest_ranks.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] batch {

#if defined(__AVX2__)
inline constexpr std::uint32_t lanes = 32;
#else
inline constexpr std::uint32_t lanes = 16;
#endif
using Bytes [[gnu::vector_size(lanes)]] = signed char;
using Mask = Bytes;  // all bits of a byte or none
using Unsigned [[gnu::vector_size(lanes)]] = unsigned char;

inline Bytes load(const std::int8_t* bytes) {
    Bytes value;
    std::memcpy(&value, __builtin_assume_aligned(bytes, lanes), sizeof value);
    return value;
}

inline void store(std::uint8_t* bytes, Bytes value) {
    std::memcpy(__builtin_assume_aligned(bytes, lanes), &value, sizeof value);
}

inline Bytes all(std::int8_t byte) { return Bytes{} + static_cast<signed char>(byte); }

// Sums of bytes wrap around.
inline Bytes sum(Bytes one, Bytes other) {
    return reinterpret_cast<Bytes>(reinterpret_cast<Unsigned>(one) + reinterpret_cast<Unsigned>(other));
}

#if QUICKTHORN_BYTE_PERMUTES

// Vectors of 32 bytes where 64 are to be had: their comparisons make vectors of four a cycle (Zen 4), those of 64 make
// mask registers of one a cycle. Written as assembly, because compilers prefer mask registers when there are any.
inline Mask above(Bytes bound, const std::int8_t* ranks) {
    Mask mask;
    asm("vpcmpgtb %2, %1, %0" : "=x"(mask) : "x"(bound), "m"(*reinterpret_cast<const Bytes*>(ranks)));
    return mask;
}

inline Mask equal(Bytes one, Bytes other) {
    Mask mask;
    asm("vpcmpeqb %2, %1, %0" : "=x"(mask) : "x"(one), "x"(other));
    return mask;
}

inline Bytes choose(Mask mask, Bytes yes, Bytes no) {
    return reinterpret_cast<Bytes>(_mm256_ternarylogic_epi64(
        reinterpret_cast<__m256i>(mask), reinterpret_cast<__m256i>(yes), reinterpret_cast<__m256i>(no), 0xCA));
}

inline Bytes where(Mask yes, Mask no, Bytes bytes) {
    return reinterpret_cast<Bytes>(_mm256_ternarylogic_epi64(
        reinterpret_cast<__m256i>(yes), reinterpret_cast<__m256i>(no), reinterpret_cast<__m256i>(bytes), 0x20));
}

#else

// Where the bound is above the rank.
inline Mask above(Bytes bound, const std::int8_t* ranks) { return bound > load(ranks); }
inline Mask equal(Bytes one, Bytes other) { return one == other; }
inline Bytes choose(Mask mask, Bytes yes, Bytes no) { return mask ? yes : no; }
// The bytes where `yes` and not `no`, zero elsewhere.
inline Bytes where(Mask yes, Mask no, Bytes bytes) { return yes & ~no & bytes; }

#endif

}  // namespace batch
}  // namespace quickthorn

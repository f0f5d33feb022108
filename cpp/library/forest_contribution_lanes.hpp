// Float32 values of splits side by side, as many as the processor's vectors hold, and how those of some lanes are put
// next to each other and back into their lanes: with AVX-512, with AVX2, or four at a time.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "forest_byte_vectors.hpp"
#include "forest_intrinsics.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] contributions {

#if defined(__AVX512F__)
inline constexpr std::uint32_t split_lanes = 16;
#elif defined(__AVX2__)
inline constexpr std::uint32_t split_lanes = 8;
#else
inline constexpr std::uint32_t split_lanes = 4;
#endif

using Floats [[gnu::vector_size(4 * split_lanes)]] = float;

[[gnu::always_inline]] inline Floats load(const float* values) {
    Floats all;
    std::memcpy(&all, values, sizeof all);
    return all;
}

[[gnu::always_inline]] inline void store(float* values, const Floats& all) { std::memcpy(values, &all, sizeof all); }

[[gnu::always_inline]] inline Floats reciprocal(const Floats& values) {
#if defined(__AVX512F__)
    // To 14 bits, then by a step of Newton's method to all of them: half as long as a division.
    const auto near = (Floats)_mm512_rcp14_ps((__m512)values);
    return near * (2.0F - values * near);
#else
    return 1.0F / values;
#endif
}

// 0 where an answer is minus one, and 1 where it is 0.
[[gnu::always_inline]] inline Floats passing(const std::int8_t* answers) {
    using Integers [[gnu::vector_size(4 * split_lanes)]] = std::int32_t;
    // What compilers make of a conversion of vectors goes through memory.
#if defined(__AVX512F__)
    const auto right = (Integers)_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(answers)));
#elif defined(__AVX2__)
    const auto right = (Integers)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(answers)));
#elif defined(__SSE4_1__)
    int four;
    std::memcpy(&four, answers, sizeof four);
    const auto right = (Integers)_mm_cvtepi8_epi32(_mm_cvtsi32_si128(four));
#else
    const Integers right = {answers[0], answers[1], answers[2], answers[3]};
#endif
    return __builtin_convertvector(right + 1, Floats);
}

// In which lanes a vector's splits have some kind of splits on their left and on their right: values of these lanes are
// put next to each other, those on the left first, and taken back.
struct Below {
    std::uint16_t mask[2];
    std::uint16_t place;  // where those next to each other begin
    std::uint16_t two;    // whether they are more than a vector has lanes
#if defined(__AVX512F__)
    // From which lanes, 16 and more being those on the right, values are taken; and from which of the first 16 values,
    // or on the right, if there are more than those, from which of its own.
    std::uint8_t packing[2][split_lanes];
    std::uint8_t spreading[2][split_lanes];
#endif
};

#if defined(__AVX512F__)

// Instructions that pack or spread by mask take a Zen 4 five cycles, and those that take from numbered lanes one.
inline __m512i lane_numbers(const std::uint8_t* numbers) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers)));
}

// Puts the values of some lanes next to each other. What is written behind the last one is of no meaning.
class Packing {
public:
    explicit Packing(const Below& below)
        : first_{lane_numbers(below.packing[0])},
          second_{lane_numbers(below.packing[1])},
          two_{below.two != 0} {}
    void operator()(const Floats& left, const Floats& right, float* to) const {
        store(to, (Floats)_mm512_permutex2var_ps((__m512)left, first_, (__m512)right));
        if (two_) store(to + split_lanes, (Floats)_mm512_permutex2var_ps((__m512)left, second_, (__m512)right));
    }

private:
    __m512i first_;
    __m512i second_;
    bool two_;
};

// Moves the first values to some lanes, in their order, and takes others' for the other lanes.
class Spreading {
public:
    Spreading(const Below& below, unsigned side)
        : mask_{static_cast<__mmask16>(below.mask[side])},
          from_{lane_numbers(below.spreading[side])} {}
    explicit Spreading(std::uint32_t mask)
        : mask_{static_cast<__mmask16>(mask)},
          from_{_mm512_maskz_expand_epi32(mask_,
                                          _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))} {}
    Floats operator()(const Floats& values, const Floats& others) const {
        return (Floats)_mm512_mask_permutexvar_ps((__m512)others, mask_, from_, (__m512)values);
    }

private:
    __mmask16 mask_;
    __m512i from_;
};

// Takes the values that were put next to each other back, and leaves the other lanes as they are.
class Unpacking {
public:
    explicit Unpacking(const Below& below)
        : left_{below, 0},
          right_{below, 1},
          two_{below.two != 0},
          on_left_{std::popcount(below.mask[0])} {}
    void operator()(const float* from, Floats& left, Floats& right) const {
        const Floats first = load(from);
        left = left_(first, left);
        right = right_(two_ ? load(from + on_left_) : first, right);
    }

private:
    Spreading left_;
    Spreading right_;
    bool two_;
    int on_left_;
};

#else

// From which lane each lane takes its value, by mask; `unit` bytes to a lane.
template <bool pack, unsigned unit>
constexpr auto lane_orders() {
    std::array<std::array<std::uint8_t, split_lanes * unit>, 1U << split_lanes> orders{};
    for (unsigned mask = 0; mask < orders.size(); ++mask) {
        unsigned next = 0;
        for (unsigned lane = 0; lane < split_lanes; ++lane) {
            if ((mask >> lane & 1U) == 0) continue;
            const unsigned to = pack ? next : lane;
            const unsigned from = pack ? lane : next;
            for (unsigned byte = 0; byte < unit; ++byte) {
                orders[mask][to * unit + byte] = static_cast<std::uint8_t>(from * unit + byte);
            }
            ++next;
        }
    }
    return orders;
}

#if defined(__AVX2__)

template <bool pack>
class Order {
public:
    explicit Order(std::uint32_t mask)
        : from_{_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(orders[mask].data())))} {}
    Floats operator()(const Floats& values) const { return (Floats)_mm256_permutevar8x32_ps((__m256)values, from_); }

private:
    alignas(64) static constexpr auto orders = lane_orders<pack, 1>();
    __m256i from_;
};

class Spreading {
public:
    explicit Spreading(std::uint32_t mask) : order_{mask} {
        const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        const __m256i all = _mm256_set1_epi32(static_cast<int>(mask));
        chosen_ = _mm256_cmpeq_epi32(_mm256_and_si256(all, bits), bits);
    }
    Floats operator()(const Floats& values, const Floats& others) const {
        return (Floats)_mm256_blendv_ps((__m256)others, (__m256)order_(values), (__m256)chosen_);
    }

private:
    Order<false> order_;
    __m256i chosen_;
};

#else

template <bool pack>
class Order {
public:
    explicit Order(std::uint32_t mask) : from_{treelets::load_bytes(orders[mask].data())} {}
    Floats operator()(const Floats& values) const {
        return (Floats)treelets::look_up((treelets::Sixteen)values, from_);
    }

private:
    alignas(64) static constexpr auto orders = lane_orders<pack, 4>();
    treelets::Bytes from_;
};

class Spreading {
public:
    explicit Spreading(std::uint32_t mask) : order_{mask} {
        using Words [[gnu::vector_size(16)]] = std::uint32_t;
        const Words bits = {1, 2, 4, 8};
        const Words all = Words{} + mask;
        chosen_ = (treelets::Bytes)((all & bits) == bits);
    }
    Floats operator()(const Floats& values, const Floats& others) const {
        return (Floats)treelets::choose(chosen_, (treelets::Bytes)order_(values), (treelets::Bytes)others);
    }

private:
    Order<false> order_;
    treelets::Bytes chosen_;
};

#endif

class Packing {
public:
    explicit Packing(const Below& below)
        : left_{below.mask[0]},
          right_{below.mask[1]},
          on_left_{std::popcount(below.mask[0])} {}
    void operator()(const Floats& left, const Floats& right, float* to) const {
        store(to, left_(left));
        store(to + on_left_, right_(right));
    }

private:
    Order<true> left_;
    Order<true> right_;
    int on_left_;
};

class Unpacking {
public:
    explicit Unpacking(const Below& below)
        : left_{below.mask[0]},
          right_{below.mask[1]},
          on_left_{std::popcount(below.mask[0])} {}
    void operator()(const float* from, Floats& left, Floats& right) const {
        left = left_(load(from), left);
        right = right_(load(from + on_left_), right);
    }

private:
    Spreading left_;
    Spreading right_;
    int on_left_;
};

#endif

}  // namespace contributions
}  // namespace quickthorn

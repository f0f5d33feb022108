// Treelets of three levels, seven tests and eight exits, looked up eight at a time with AVX-512.
//
// The row is quantised first: from then on a node is two bytes, slot and code, and its test is `rank > code`. The 56
// tests of eight treelets are a byte permute, a subtraction and a comparison; one more permute turns the results of
// seven tests into an exit. forest_stacked.hpp evaluates trees with them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "forest_ranks.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] treelets {

// A treelet's tests, breadth first: node i goes right, to node 2i + 2, when its rank is above code[i], else to 2i + 1.
// Its rank is that of entry slot[i] & 127, less one where bit 7 is set: so NaN, whose rank is 0, is below everything
// or, wrapped around to 255, above everything. Places without a node never go right; the last has none.
struct Head {
    std::uint8_t slot[8];
    std::uint8_t code[8];
};
static_assert(sizeof(Head) == 16);

// A treelet on a cache line of its own, with the float32 leaf at each exit.
struct alignas(64) Line {
    Head head;
    std::int32_t exit[8];
    std::uint8_t unused[16];
};
static_assert(sizeof(Line) == 64);

// Eight numbers that are worked on together, whatever the processor makes of them.
using Eight [[gnu::vector_size(32)]] = std::uint32_t;

inline Eight load(const std::uint32_t* numbers) {
    Eight eight;
    std::memcpy(&eight, numbers, sizeof eight);
    return eight;
}

inline void store(std::uint32_t* numbers, Eight eight) { std::memcpy(numbers, &eight, sizeof eight); }

// The exit that seven test results lead to: bit i is node i's, set when it goes right.
inline constexpr std::array<std::uint8_t, 128> exit_of_results = [] {
    std::array<std::uint8_t, 128> table{};
    for (unsigned results = 0; results < 128; ++results) {
        unsigned node = 0;
        for (int level = 0; level < 3; ++level) node = 2 * node + 1 + (results >> node & 1U);
        table[results] = static_cast<std::uint8_t>(node - 7);
    }
    return table;
}();

// The ranks of a row, and the exits of eight treelets at a time.
#if QUICKTHORN_BYTE_PERMUTES

class Ranks {
public:
    explicit Ranks(const std::uint8_t* ranks)
        : ranks_{_mm512_load_si512(ranks), _mm512_load_si512(ranks + 64)},
          exits_{_mm512_loadu_si512(exit_of_results.data()), _mm512_loadu_si512(exit_of_results.data() + 64)} {}

    // Of 64 tests: a bit for each that sends the row right.
    __mmask64 above(__m512i slots, __m512i codes) const {
        const __m512i found = _mm512_permutex2var_epi8(ranks_[0], slots, ranks_[1]);
        const __m512i ranks = _mm512_mask_sub_epi8(found, _mm512_movepi8_mask(slots), found, _mm512_set1_epi8(1));
        return _mm512_cmpgt_epu8_mask(ranks, codes);
    }

    // Of eight treelets that lie so many bytes from `treelets`.
    Eight exits_at(const unsigned char* treelets, const std::uint32_t* offsets) const {
        const Tests tests = tests_of(treelets, offsets);
        return reinterpret_cast<Eight>(_mm256_cvtepu8_epi32(exits(tests)));
    }

private:
    // Eight slots, and eight codes, of each of eight treelets.
    struct Tests {
        __m512i slots;
        __m512i codes;
    };

    static Tests tests_of(const unsigned char* treelets, const std::uint32_t* offsets) {
        const __m512i low = four(treelets, offsets);
        const __m512i high = four(treelets, offsets + 4);
        const __m512i even = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
        const __m512i odd = _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1);
        return {_mm512_permutex2var_epi64(low, even, high), _mm512_permutex2var_epi64(low, odd, high)};
    }

    static __m512i four(const unsigned char* treelets, const std::uint32_t* offsets) {
        const auto head = [&](int i) {
            return _mm_loadu_si128(reinterpret_cast<const __m128i*>(treelets + offsets[i]));
        };
        __m512i heads = _mm512_castsi128_si512(head(0));
        heads = _mm512_inserti64x2(heads, head(1), 1);
        heads = _mm512_inserti64x2(heads, head(2), 2);
        return _mm512_inserti64x2(heads, head(3), 3);
    }

    // The exits of eight treelets, as the first eight bytes.
    __m128i exits(const Tests& tests) const {
        const auto results = static_cast<long long>(above(tests.slots, tests.codes));
        const __m512i by_treelet = _mm512_castsi128_si512(_mm_cvtsi64_si128(results));
        return _mm512_castsi512_si128(_mm512_permutex2var_epi8(exits_[0], by_treelet, exits_[1]));
    }

    __m512i ranks_[2];
    __m512i exits_[2];
};

#endif

}  // namespace treelets
}  // namespace quickthorn

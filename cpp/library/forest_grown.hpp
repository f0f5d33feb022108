// Leaf-wise trees with AVX-512: the tops of 64 trees side by side, then a list of those that have further to go.
//
// A tree's top is up to 15 splits of any shape, grown where most rows pass. Its tests are made for 64 trees at once, a
// test that sends the row right kills the exits to its left, and the lowest exit left alive is where the row leaves
// (Lucchese et al., QuickScorer, SIGIR 2015). What lies below a top is cut into records of up to five splits, which are
// looked up eight at a time in the same way. Leaves lie in the records, so that a tree is one cache line where a row
// needs no second record. engine/quickthorn/forest/grown.py builds the tables and says what they hold.
#pragma once

#include <utility>

#include "forest_treelets.hpp"

#if QUICKTHORN_BYTE_PERMUTES

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] treelets {

inline constexpr std::uint32_t low_tests = 8;
inline constexpr std::uint32_t high_tests = 7;
inline constexpr std::uint32_t tops_at_once = 64;

// One test of 64 trees. Of a tree's 16 exits, numbered from left to right, `kills` has a bit for each one below the
// test's left child. Tests are from left to right too, so that the first eight kill none of the last eight exits.
template <std::uint32_t kill_bytes>
struct TopTest {
    std::uint8_t slot[64];
    std::uint8_t code[64];
    std::uint8_t kills[kill_bytes][64];
};

struct alignas(64) Tops {
    TopTest<1> low[low_tests];
    TopTest<2> high[high_tests];
    std::uint8_t leaves[2][64];   // a bit for each exit that is a leaf
    std::uint8_t leaf_units[64];  // what those leaves take, a multiple of eight
    std::uint32_t first[64];      // unit of the tree
};

// What a row reads below a top lies in units of eight bytes, from where each tree begins: the leaves that exits of its
// top lead to, then a record for each of the other exits, both from left to right, then further records.
inline constexpr std::uint32_t unit_bytes = 8;

// Up to five tests and six exits, as in tops: leaves, or units where other records begin.
struct alignas(64) Record {
    std::uint8_t slot[5];
    std::uint8_t code[5];
    std::uint8_t kills[5];
    std::uint8_t leaves;
    std::uint64_t exit[6];
};
static_assert(sizeof(Record) == 64);

// Consecutive trees that share a set of ranks. Offsets are in bytes from the start of the tables.
struct GrownGroup {
    std::uint32_t tree_count;
    Tiles tiles;
    std::uint64_t tops;
    std::uint64_t units;
    std::uint64_t ids;  // of the units that are leaves
};

template <class Value, class Leaf, bool strict>
class GrownForest {
public:
    GrownForest(const unsigned char* tables, Thresholds thresholds, double zero_threshold)
        : tables_{tables},
          thresholds_{thresholds},
          zero_threshold_{zero_threshold} {}

    // Adds the leaves of the group's trees to the sum, one by one in tree order.
    template <class Input>
    Leaf add(const GrownGroup& group, const Input* row, Leaf sum) const {
        const unsigned char* units = table<unsigned char>(group.units);
        each_end(group, row, [&](std::uint32_t, std::uint32_t end) {
            Leaf leaf;
            std::memcpy(&leaf, units + std::size_t{end} * unit_bytes, sizeof leaf);
            sum += leaf;
        });
        return sum;
    }

    // Each tree's leaf, numbered as the source library numbers it.
    template <class Input>
    void leaves(const GrownGroup& group, const Input* row, std::int32_t* out) const {
        const std::int32_t* ids = table<std::int32_t>(group.ids);
        each_end(group, row, [&](std::uint32_t tree, std::uint32_t end) { out[tree] = ids[end]; });
    }

private:
    // As many trees' ends are found together: fewer would be looked at in more rounds, and the sum of the last of them
    // has nothing left to hide behind.
    static constexpr std::uint32_t trees_per_list = 192;

    // Trees on their way: the units of their next records, and which of the list's trees they are.
    struct List {
        std::uint32_t count = 0;
        std::uint32_t unit[trees_per_list + 16];
        std::uint8_t tree[trees_per_list + 64];
    };

    template <class Item>
    const Item* table(std::uint64_t offset) const {
        return reinterpret_cast<const Item*>(tables_ + offset);
    }

    // Calls visit(tree, unit of its leaf) for every tree, in tree order. Inlined, so that a sum stays in its register.
    template <class Input, class Visit>
    [[gnu::always_inline]] void each_end(const GrownGroup& group, const Input* row, Visit visit) const {
        alignas(64) std::uint8_t bytes[most_entries] = {};
        rank_row<Value, strict>(tables_, thresholds_, zero_threshold_, group.tiles, row, bytes);
        const Ranks ranks(bytes);
        const unsigned char* units = table<unsigned char>(group.units);
        std::uint32_t ends[2][trees_per_list];
        std::uint32_t before = 0;  // trees of the list before, whose visits are made in the shadow of this one's tops
        for (std::uint32_t first = 0; first < group.tree_count; first += trees_per_list) {
            const std::uint32_t trees = std::min(group.tree_count - first, trees_per_list);
            std::uint32_t* now = ends[first / trees_per_list % 2];
            const std::uint32_t* last = ends[first / trees_per_list % 2 ^ 1];
            List open;
            for (std::uint32_t i = 0; i < trees; i += tops_at_once) {
                pass_tops(table<Tops>(group.tops)[(first + i) / tops_at_once], ranks, i, now, open,
                          [&](std::uint32_t part) {
                              if (first == 0) return;
                              constexpr std::uint32_t step = tops_at_once / (low_tests + high_tests + 1);
                              for (std::uint32_t j = i + step * part; j < i + step * part + step; ++j) {
                                  visit(first - before + j, last[j]);
                              }
                          });
            }
            if (first != 0) {
                for (std::uint32_t j = (trees + 63) / 64 * 64; j < before; ++j) visit(first - before + j, last[j]);
            }
            descend(units, ranks, open, now);
            before = trees;
        }
        const std::uint32_t first = group.tree_count - before;
        const std::uint32_t* last = ends[first / trees_per_list % 2];
#pragma GCC unroll 4
        for (std::uint32_t i = 0; i < before; ++i) visit(first + i, last[i]);
    }

    // Where 64 trees leave their tops, and a place on the list for each tree that does not end there. Calls
    // between(i) for every i up to the number of tests on the way.
    template <class Between>
    [[gnu::always_inline]] static void pass_tops(const Tops& tops, const Ranks& ranks, std::uint32_t place,
                                                 std::uint32_t* ends, List& open, Between between) {
        const auto right = [&](const auto& test) {
            return ranks.above(_mm512_load_si512(test.slot), _mm512_load_si512(test.code));
        };
        __m512i dead[2] = {};
        for (std::uint32_t i = 0; i < low_tests; ++i) {
            dead[0] = _mm512_or_si512(dead[0], _mm512_maskz_loadu_epi8(right(tops.low[i]), tops.low[i].kills[0]));
            between(i);
        }
        for (std::uint32_t i = 0; i < high_tests; ++i) {
            const __mmask64 kill = right(tops.high[i]);
            for (int k = 0; k < 2; ++k) {
                dead[k] = _mm512_or_si512(dead[k], _mm512_maskz_loadu_epi8(kill, tops.high[i].kills[k]));
            }
            between(low_tests + i);
        }
        // How many exits lie before the first alive, how many of them are leaves, and whether it is one.
        __m512i exits = _mm512_setzero_si512();
        __m512i leaves = _mm512_setzero_si512();
        __mmask64 ended = 0;
        __mmask64 searching = ~__mmask64{0};
        for (int k = 0; k < 2; ++k) {
            const __m512i leaf = _mm512_load_si512(tops.leaves[k]);
            const __m512i after = _mm512_add_epi8(dead[k], _mm512_set1_epi8(1));
            const __m512i below = _mm512_andnot_si512(after, dead[k]);
            const __m512i alive = _mm512_andnot_si512(dead[k], after);
            exits = _mm512_mask_add_epi8(exits, searching, exits, _mm512_popcnt_epi8(below));
            leaves = _mm512_mask_add_epi8(leaves, searching, leaves, _mm512_popcnt_epi8(_mm512_and_si512(below, leaf)));
            ended |= _mm512_mask_test_epi8_mask(searching, alive, leaf);
            searching = _mm512_cmpeq_epi8_mask(dead[k], _mm512_set1_epi8(-1));
        }
        // A record is eight units; none is beyond the byte.
        const __m512i records = _mm512_slli_epi16(_mm512_sub_epi8(exits, leaves), 3);
        const __m512i record = _mm512_add_epi8(records, _mm512_load_si512(tops.leaf_units));
        const __m512i units = _mm512_mask_mov_epi8(record, ended, leaves);
        std::uint64_t going = ~static_cast<std::uint64_t>(ended);
        const __m128i sixteen[4] = {_mm512_extracti32x4_epi32(units, 0), _mm512_extracti32x4_epi32(units, 1),
                                    _mm512_extracti32x4_epi32(units, 2), _mm512_extracti32x4_epi32(units, 3)};
        _mm512_storeu_si512(open.tree + open.count, _mm512_maskz_compress_epi8(going, trees_from(place)));
        for (int part = 0; part < 4; ++part, going >>= 16) {
            const __m512i unit =
                _mm512_add_epi32(_mm512_load_si512(tops.first + 16 * part), _mm512_cvtepu8_epi32(sixteen[part]));
            // In halves: reading a number back from a whole stored register stalls.
            std::uint32_t* end = ends + place + 16 * part;
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(end), _mm512_castsi512_si256(unit));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(end + 8), _mm512_extracti64x4_epi64(unit, 1));
            const auto keep = static_cast<__mmask16>(going);
            _mm512_storeu_si512(open.unit + open.count, _mm512_maskz_compress_epi32(keep, unit));
            open.count += static_cast<std::uint32_t>(__builtin_popcount(keep));
        }
        between(low_tests + high_tests);
    }

    // The numbers of 64 trees, side by side.
    static __m512i trees_from(std::uint32_t first) {
        alignas(64) static constexpr auto lanes = [] {
            std::array<std::uint8_t, 64> numbers{};
            for (std::uint8_t i = 0; i < 64; ++i) numbers[i] = i;
            return numbers;
        }();
        return _mm512_add_epi8(_mm512_load_si512(lanes.data()), _mm512_set1_epi8(static_cast<char>(first)));
    }

    // Follows the trees on the list to their ends, record by record. The passes of a round are kept apart: reading
    // back as a vector what was just stored piece by piece, or the reverse, stalls.
    static void descend(const unsigned char* units, const Ranks& ranks, List& open, std::uint32_t* ends) {
        List further;
        std::uint32_t reached[trees_per_list + 8];
        for (List *from = &open, *to = &further; from->count != 0; std::swap(from, to)) {
            const std::size_t count = from->count;
            // The last eight may reach past the list: there the first record is looked at once more.
            store(from->unit + count, Eight{} + from->unit[0]);
            std::memset(from->tree + count, from->tree[0], 8);
            std::size_t going_on = 0;
            for (std::size_t i = 0; i < count; i += 8) {
                const Followed followed = follow(units, ranks, from->unit + i);
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(reached + i), followed.units);
                const unsigned keep = _bzhi_u32(followed.going, static_cast<unsigned>(count - i));
                const __m128i trees = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from->tree + i));
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(to->unit + going_on),
                                    _mm256_maskz_compress_epi32(static_cast<__mmask8>(keep), followed.units));
                _mm_storeu_si128(reinterpret_cast<__m128i*>(to->tree + going_on),
                                 _mm_maskz_compress_epi8(static_cast<__mmask16>(keep), trees));
                going_on += static_cast<std::size_t>(__builtin_popcount(keep));
            }
            for (std::size_t i = 0; i < count; i += 8) {
#pragma GCC unroll 8
                for (std::size_t j = 0; j < 8; ++j) ends[from->tree[i + j]] = reached[i + j];
            }
            // From the units of exits to the records that they name.
            for (std::size_t i = 0; i < going_on; ++i) {
                std::memcpy(to->unit + i, units + std::size_t{to->unit[i]} * unit_bytes, sizeof to->unit[i]);
            }
            to->count = static_cast<std::uint32_t>(going_on);
        }
    }

    // Where eight records lead: the units of the exits, and a bit for each that is no leaf.
    struct Followed {
        __m256i units;
        unsigned going;
    };

    static Followed follow(const unsigned char* units, const Ranks& ranks, const std::uint32_t* records) {
        const __m512i low = four_heads(units, records);
        const __m512i high = four_heads(units, records + 4);
        alignas(64) static constexpr auto of_slots = bytes_of_heads(offsetof(Record, slot));
        alignas(64) static constexpr auto of_codes = bytes_of_heads(offsetof(Record, code));
        alignas(64) static constexpr auto of_kills = bytes_of_heads(offsetof(Record, kills));
        const __m512i slots = _mm512_permutex2var_epi8(low, _mm512_load_si512(of_slots.data()), high);
        const __m512i codes = _mm512_permutex2var_epi8(low, _mm512_load_si512(of_codes.data()), high);
        const __mmask64 right = ranks.above(slots, codes) & tests_of_eight;
        __m512i dead = _mm512_maskz_permutex2var_epi8(right, low, _mm512_load_si512(of_kills.data()), high);
        dead = _mm512_or_si512(dead, _mm512_srli_epi64(dead, 32));
        dead = _mm512_or_si512(dead, _mm512_srli_epi64(dead, 16));
        dead = _mm512_or_si512(dead, _mm512_srli_epi64(dead, 8));
        // The last exit is never dead, so that nothing carries beyond the byte.
        const __m512i after = _mm512_add_epi64(dead, _mm512_set1_epi64(1));
        const __m512i exits = _mm512_popcnt_epi8(_mm512_andnot_si512(after, dead));
        const __m512i leaf = _mm512_srlv_epi64(codes, _mm512_add_epi64(exits, _mm512_set1_epi64(56)));
        const __mmask8 going = _mm512_testn_epi64_mask(leaf, _mm512_set1_epi64(1));
        const __m256i record = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(records));
        const __m256i first = _mm256_add_epi32(record, _mm256_set1_epi32(offsetof(Record, exit) / unit_bytes));
        return {_mm256_add_epi32(first, _mm512_cvtepi64_epi32(exits)), going};
    }

    // Bits of the bytes, eight to a record, that hold tests.
    static constexpr __mmask64 tests_of_eight = 0x1F1F1F1F1F1F1F1F;

    static __m512i four_heads(const unsigned char* units, const std::uint32_t* records) {
        const auto head = [&](int i) {
            return _mm_loadu_si128(reinterpret_cast<const __m128i*>(units + std::size_t{records[i]} * unit_bytes));
        };
        __m512i heads = _mm512_castsi128_si512(head(0));
        heads = _mm512_inserti64x2(heads, head(1), 1);
        heads = _mm512_inserti64x2(heads, head(2), 2);
        return _mm512_inserti64x2(heads, head(3), 3);
    }

    // Where the bytes of eight heads come from, four in each of two vectors: five from a place on, and the head's last.
    static constexpr std::array<std::uint8_t, 64> bytes_of_heads(std::size_t from) {
        std::array<std::uint8_t, 64> places{};
        for (std::size_t i = 0; i < 64; ++i) {
            places[i] = static_cast<std::uint8_t>(i / 8 * 16 + (i % 8 < 5 ? from + i % 8 : 15));
        }
        return places;
    }

    const unsigned char* tables_;
    Thresholds thresholds_;
    double zero_threshold_;
};

}  // namespace treelets
}  // namespace quickthorn

#endif

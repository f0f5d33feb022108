// Leaf-wise trees with AVX-512: the tops of 64 trees side by side, then a list of those that have further to go.
//
// A tree's top is up to 15 splits of any shape, grown where most rows pass. Its tests are made for 64 trees at once, a
// test that sends the row right kills the exits to its left, and the lowest exit left alive is where the row leaves
// (Lucchese et al., QuickScorer, SIGIR 2015). What lies below a top is cut into complete treelets of three levels,
// which are looked up eight at a time. engine/quickthorn/forest/grown.py builds the tables and says what they hold.
#pragma once

#include <utility>

#include "forest_treelets.hpp"

#if QUICKTHORN_BYTE_PERMUTES

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] treelets {

inline constexpr std::uint32_t exits_per_top = 16;
inline constexpr std::uint32_t tests_per_top = exits_per_top - 1;
inline constexpr std::uint32_t kill_bytes = exits_per_top / 8;
inline constexpr std::uint32_t tops_at_once = 64;

// One test of 64 trees. Of a tree's 16 exits, numbered from left to right, `kills` has a bit for each one below the
// test's left child.
struct TopTest {
    std::uint8_t slot[64];
    std::uint8_t code[64];
    std::uint8_t kills[kill_bytes][64];
};

struct alignas(64) Tops {
    TopTest tests[tests_per_top];
    std::uint8_t leaves[kill_bytes][64];  // a bit for each exit that is a leaf
};

// Consecutive trees that share a set of ranks. Offsets are in bytes from the start of the tables. A link is where an
// exit leads: the offset of a Line from `links`, or -n for the leaf n places before the end of the leaves. The links of
// the tops' exits come first, 16 a tree.
struct GrownGroup {
    std::uint32_t tree_count;
    Tiles tiles;
    std::uint64_t tops;
    std::uint64_t links;
    std::uint64_t values_end;
    std::uint64_t ids_end;
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
        const Leaf* end = table<Leaf>(group.values_end);
        each_leaf(group, row, [&](std::uint32_t, std::int32_t leaf) { sum += end[leaf]; });
        return sum;
    }

    // Each tree's leaf, numbered as the source library numbers it.
    template <class Input>
    void leaves(const GrownGroup& group, const Input* row, std::int32_t* out) const {
        const std::int32_t* end = table<std::int32_t>(group.ids_end);
        each_leaf(group, row, [&](std::uint32_t tree, std::int32_t leaf) { out[tree] = end[leaf]; });
    }

private:
    static constexpr std::uint32_t trees_per_list = 128;
    static constexpr std::uint32_t nobody = trees_per_list;

    // Trees on their way: where each one's next link lies, and the tree's place among the ends.
    struct List {
        std::uint32_t count = 0;
        std::uint32_t link[trees_per_list + 16];
        std::uint16_t tree[trees_per_list + 16];
    };

    template <class Item>
    const Item* table(std::uint64_t offset) const {
        return reinterpret_cast<const Item*>(tables_ + offset);
    }

    // Calls visit(tree, leaf) for every tree, in tree order. Inlined, so that a sum stays in its register.
    template <class Input, class Visit>
    [[gnu::always_inline]] void each_leaf(const GrownGroup& group, const Input* row, Visit visit) const {
        alignas(64) std::uint8_t bytes[most_entries] = {};
        rank_row<Value, strict>(tables_, thresholds_, zero_threshold_, group.tiles, row, bytes);
        const Ranks ranks(bytes);
        const unsigned char* links = table<unsigned char>(group.links);
        const auto leaf_at = [&](std::uint32_t link) {
            std::int32_t leaf;
            std::memcpy(&leaf, links + link, sizeof leaf);
            return leaf;
        };
        std::uint32_t ends[2][trees_per_list + 16];
        std::uint32_t before = 0;  // trees of the list before, whose visits are made in the shadow of this one's tops
        for (std::uint32_t first = 0; first < group.tree_count; first += trees_per_list) {
            const std::uint32_t trees = std::min(group.tree_count - first, trees_per_list);
            std::uint32_t* now = ends[first / trees_per_list % 2];
            const std::uint32_t* last = ends[first / trees_per_list % 2 ^ 1];
            List open;
            for (std::uint32_t i = 0; i < trees; i += tops_at_once) {
                const std::uint32_t tree = first + i;
                pass_tops(table<Tops>(group.tops)[tree / tops_at_once], ranks, tree, i, std::min(trees - i, 64U), now,
                          open, [&](std::uint32_t part) {
                              if (first == 0) return;
                              constexpr std::uint32_t step = tops_at_once / exits_per_top;
                              for (std::uint32_t j = i + step * part; j < i + step * part + step; ++j) {
                                  visit(first - before + j, leaf_at(last[j]));
                              }
                          });
            }
            if (first != 0) {
                for (std::uint32_t j = (trees + 63) / 64 * 64; j < before; ++j) {
                    visit(first - before + j, leaf_at(last[j]));
                }
            }
            descend(links, ranks, open, now);
            before = trees;
        }
        const std::uint32_t first = group.tree_count - before;
        const std::uint32_t* last = ends[first / trees_per_list % 2];
#pragma GCC unroll 4
        for (std::uint32_t i = 0; i < before; ++i) visit(first + i, leaf_at(last[i]));
    }

    // The ends of up to 64 trees' tops, and a place on the list for each tree whose end is no leaf. Calls
    // between(i) for every exit i on the way.
    template <class Between>
    [[gnu::always_inline]] static void pass_tops(const Tops& tops, const Ranks& ranks, std::uint32_t tree,
                                                 std::uint32_t place, std::uint32_t count, std::uint32_t* ends,
                                                 List& open, Between between) {
        __m512i dead[kill_bytes] = {};
        for (std::uint32_t i = 0; i < tests_per_top; ++i) {
            const TopTest& test = tops.tests[i];
            const __mmask64 right = ranks.above(_mm512_load_si512(test.slot), _mm512_load_si512(test.code));
            for (std::uint32_t k = 0; k < kill_bytes; ++k) {
                dead[k] = _mm512_or_si512(dead[k], _mm512_maskz_loadu_epi8(right, test.kills[k]));
            }
            between(i);
        }
        __m512i exits = _mm512_setzero_si512();
        __mmask64 ended = 0;
        __mmask64 searching = ~__mmask64{0};
        for (std::uint32_t k = 0; k < kill_bytes; ++k) {
            const __m512i after = _mm512_add_epi8(dead[k], _mm512_set1_epi8(1));
            // The dead below the first alive, whose count is its number; and the first alive as a bit.
            const __m512i below = _mm512_andnot_si512(after, dead[k]);
            const __m512i alive = _mm512_andnot_si512(dead[k], after);
            exits = _mm512_mask_add_epi8(exits, searching, exits, _mm512_popcnt_epi8(below));
            ended |= _mm512_mask_test_epi8_mask(searching, alive, _mm512_load_si512(tops.leaves[k]));
            searching = _mm512_mask_cmpeq_epi8_mask(searching, dead[k], _mm512_set1_epi8(-1));
        }
        const std::uint64_t all = count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
        std::uint64_t going = ~static_cast<std::uint64_t>(ended) & all;
        const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        const __m128i sixteen[4] = {_mm512_extracti32x4_epi32(exits, 0), _mm512_extracti32x4_epi32(exits, 1),
                                    _mm512_extracti32x4_epi32(exits, 2), _mm512_extracti32x4_epi32(exits, 3)};
        for (std::uint32_t part = 0; part < 4; ++part, going >>= 16) {
            const __m512i trees = _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(tree + 16 * part)));
            const __m512i number = _mm512_add_epi32(_mm512_mullo_epi32(trees, _mm512_set1_epi32(exits_per_top)),
                                                    _mm512_cvtepu8_epi32(sixteen[part]));
            const __m512i links = _mm512_slli_epi32(number, 2);
            _mm512_storeu_si512(ends + place + 16 * part, links);
            const auto keep = static_cast<__mmask16>(going);
            const __m512i places = _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(place + 16 * part)));
            _mm512_storeu_si512(open.link + open.count, _mm512_maskz_compress_epi32(keep, links));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(open.tree + open.count),
                                _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(keep, places)));
            open.count += static_cast<std::uint32_t>(__builtin_popcount(keep));
        }
        between(tests_per_top);
    }

    // Follows the trees on the list to their ends, treelet by treelet. The passes of a round are kept apart: reading
    // back as a vector what was just stored piece by piece, or the reverse, stalls.
    static void descend(const unsigned char* links, const Ranks& ranks, List& open, std::uint32_t* ends) {
        std::uint32_t lines[trees_per_list + 16];
        std::uint32_t reached[trees_per_list + 16];
        List further;
        for (List *from = &open, *to = &further; from->count != 0; std::swap(from, to)) {
            const std::uint32_t count = from->count;
            // The last eight may reach past the list: there the first tree is looked at once more, for nobody.
            for (std::uint32_t i = count; i < count + 8; ++i) {
                from->link[i] = from->link[0];
                from->tree[i] = nobody;
            }
            for (std::uint32_t i = 0; i < count; i += 8) {
#pragma GCC unroll 8
                for (std::uint32_t j = i; j < i + 8; ++j)
                    std::memcpy(lines + j, links + from->link[j], sizeof lines[j]);
            }
            to->count = 0;
            for (std::uint32_t i = 0; i < count; i += 8) {
                const Ranks::Followed followed = ranks.follow(links, lines + i);
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(reached + i), followed.links);
                const auto keep =
                    static_cast<__mmask8>(followed.going & (count - i < 8 ? (1U << (count - i)) - 1 : 255U));
                const __m128i trees = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from->tree + i));
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(to->link + to->count),
                                    _mm256_maskz_compress_epi32(keep, followed.links));
                _mm_storeu_si128(reinterpret_cast<__m128i*>(to->tree + to->count),
                                 _mm_maskz_compress_epi16(keep, trees));
                to->count += static_cast<std::uint32_t>(__builtin_popcount(keep));
            }
            for (std::uint32_t i = 0; i < count; i += 8) {
#pragma GCC unroll 8
                for (std::uint32_t j = i; j < i + 8; ++j) ends[from->tree[j]] = reached[j];
            }
        }
    }

    const unsigned char* tables_;
    Thresholds thresholds_;
    double zero_threshold_;
};

}  // namespace treelets
}  // namespace quickthorn

#endif

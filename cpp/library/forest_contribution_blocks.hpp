// A row's contributions to some trees at a time, without a branch per split: for trees of ordinary size.
//
// The trees of a block are worked on together, split after split, in an order in which parents come before children.
// Down: every split multiplies the chance to come to it by the chance to go either way, at all points at once. Up: what
// is to be expected below either side becomes what is to be expected at the split, and their difference its feature's
// contribution. Splits whose sides are both leaves come last: for them a few products are all.
// engine/quickthorn/forest/explanation_blocks.py builds the tables, explanation.py derives the formulas.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "forest_contribution_points.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] contributions {

// Some trees of one output. Offsets are in bytes from the start of the tables. A block's splits are in order its inner
// ones, its twins, its stems, and its last ones, of which the twins' come first, in pairs, and then the stems'. In its
// scratch memory every root, and every side of an inner split, has a place: first the roots', then two for each inner
// split in their order. Places and features are counted in values of all points.
struct Block {
    std::uint16_t root_count;
    std::uint16_t inner_count;
    std::uint16_t twin_count;           // splits whose sides are two last ones, all three on new features
    std::uint16_t last_count;           // splits whose sides are leaves
    std::uint16_t lone_count;           // inner splits' sides that are leaves
    std::uint16_t repeated_count;       // splits on features that are split on above, in the order of splits
    std::uint16_t repeated_last_count;  // of the last splits: these come last of all
    std::uint16_t run_count;            // inner splits in turns: so many on new features, so many on repeated ones
    std::uint32_t output;
    std::uint16_t stem_count;       // splits of which one side is a last one and the other a leaf, both on new features
    std::uint16_t left_stem_count;  // of these, those whose last split is on their left: they come first
    std::uint64_t shares;           // double a split
    std::uint64_t seen;             // double a repeated split
    std::uint64_t leaves;    // of an output: a Leaf for each last split's left side, its right side, lone leaf and stem
    std::uint64_t tests;     // a split's, as the Tests take them
    std::uint64_t places;    // u16 a split, then u16 a lone leaf
    std::uint64_t features;  // u16 a split
    std::uint64_t repeated;  // u16 a repeated split: its number; then u16 each: the number of the split above, twice,
                             // plus 1 where it lies on its left side
    std::uint64_t runs;      // u16 a run
};
static_assert(sizeof(Block) == 88);

// Blocks of trees that need equally many points.
struct BlockGroup {
    std::uint32_t lanes;         // 2, 4 or 8
    std::uint32_t vector_count;  // vectors of that many points
    std::uint32_t block_count;
    std::uint32_t unused;
    std::uint64_t blocks;
    std::uint64_t points;
};
static_assert(sizeof(BlockGroup) == 32);

// The most that any block has.
struct BlockSizes {
    std::uint32_t splits;
    std::uint32_t last;
    std::uint32_t repeated;
    std::uint32_t place_values;  // of all points
    std::uint32_t inner_values;
    std::uint32_t features;  // that any split of any block is on
};

template <class Tests, class Leaf, BlockSizes sizes>
class Blocks {
public:
    Blocks(const unsigned char* tables, const Tests& tests) : tables_{tables}, tests_{tests} {}

    // Asks the block's tests.
    void ask(const Block& block) {
        const std::uint32_t count = split_count(block);
        tests_.right(tables_ + block.tests, count, right_);
        const auto* share = table<double>(block.shares);
        for (std::uint32_t split = 0; split < count; ++split) {
            passing_[split] = 1.0 + static_cast<double>(right_[split]);
            gap_[split] = passing_[split] - share[split];
        }
        const auto* repeated = table<std::uint16_t>(block.repeated);
        const auto* above = repeated + block.repeated_count;
        const auto* seen = table<double>(block.seen);
        for (std::uint32_t split = 0; split < count; ++split) failed_[split] = 0;
        for (std::uint32_t i = 0; i < block.repeated_count; ++i) {
            const std::uint32_t upper = above[i] >> 1;
            // The row goes on below the upper split where it does not go right and this is its left side, or it does.
            const bool off = ((right_[upper] & 1) ^ (above[i] & 1)) == 0;
            const bool failed_here = failed_[upper] | off;
            failed_[repeated[i]] = failed_here;
            seen_[i] = failed_here ? failed : seen[i];
        }
    }

    // What the last splits' leaves make, of this output.
    void read_leaves(const Block& block, std::size_t output) {
        const std::uint32_t count = block.last_count;
        const Leaf* left = leaves_of(block, output);
        const Leaf* right = left + count;
        for (std::uint32_t i = 0; i < count; ++i) {
            const double difference = static_cast<double>(left[i]) - static_cast<double>(right[i]);
            const std::uint32_t split = split_count(block) - count + i;
            step_[i] = gap_[split] * difference;
            high_[i] = static_cast<double>(right[i]) + passing_[split] * difference;
        }
    }

    // Adds what the block's trees contribute at some points; `start` is what roots start with at each of them.
    template <unsigned lanes>
    void add(const Block& block, std::size_t output, const Points<lanes>& points, const Lanes<lanes>& start) {
        for (std::uint32_t root = 0; root < block.root_count; ++root) at<lanes>(places_, root * lanes) = start;
        go_down(block, points);
        end_twins(block, points);
        const Leaf* lone = leaves_of(block, output) + 2 * block.last_count;
        end_stems<true>(block, points, lone + block.lone_count, 0, block.left_stem_count);
        end_stems<false>(block, points, lone + block.lone_count, block.left_stem_count, block.stem_count);
        end(block, points);
        const auto* place = table<std::uint16_t>(block.places) + split_count(block);
        for (std::uint32_t i = 0; i < block.lone_count; ++i) {
            at<lanes>(places_, place[i]) = same<lanes>(static_cast<double>(lone[i]));
        }
        go_up(block, points);
    }

    template <unsigned lanes>
    void clear() {
        for (std::uint32_t i = 0; i < sizes.features * lanes; ++i) sums_[i] = 0;
    }

    // Adds to every feature's contribution what was added up at all points.
    template <unsigned lanes>
    void finish(const std::uint32_t* features, double* out) {
        for (std::uint32_t i = 0; i < sizes.features; ++i) out[features[i]] += sum(at<lanes>(sums_, i * lanes));
    }

private:
    template <class Item>
    const Item* table(std::uint64_t offset) const {
        return reinterpret_cast<const Item*>(tables_ + offset);
    }

    static std::uint32_t split_count(const Block& block) {
        return std::uint32_t{block.inner_count} + block.twin_count + block.stem_count + block.last_count;
    }

    const Leaf* leaves_of(const Block& block, std::size_t output) const {
        return table<Leaf>(block.leaves) + output * (2U * block.last_count + block.lone_count + block.stem_count);
    }

    template <unsigned lanes>
    [[gnu::always_inline]] static Lanes<lanes>& at(double* values, std::uint32_t first) {
        return *reinterpret_cast<Lanes<lanes>*>(values + first);
    }

    template <unsigned lanes>
    void go_down(const Block& block, const Points<lanes>& points) {
        const auto* place = table<std::uint16_t>(block.places);
        const auto* run = table<std::uint16_t>(block.runs);
        double* below = places_ + block.root_count * lanes;
        const double* seen = seen_;
        double* kept = left_;
        std::uint32_t split = 0;
        for (std::uint32_t turn = 0; turn < block.run_count; ++turn) {
            const std::uint32_t end = split + run[turn];
            if (turn % 2 == 0) {
                for (; split < end; ++split, below += 2 * lanes) {
                    const Lanes<lanes> reached = at<lanes>(places_, place[split]);
                    const Lanes<lanes> to_left = reached * (passing_[split] - points.unknown * gap_[split]);
                    at<lanes>(below, 0) = to_left;
                    at<lanes>(below, lanes) = reached - to_left;
                }
            } else {
                for (; split < end; ++split, below += 2 * lanes, kept += lanes) {
                    const Step<lanes> step(points, passing_[split], gap_[split], *seen++);
                    Lanes<lanes>& here = at<lanes>(places_, place[split]);
                    const Lanes<lanes> reached = here;
                    const Lanes<lanes> to_left = reached * step.left;
                    at<lanes>(below, 0) = to_left;
                    at<lanes>(below, lanes) = reached - to_left;
                    at<lanes>(kept, 0) = step.left;
                    here = reached * step.gain;
                }
            }
        }
    }

    // Splits with their two sides' splits, below which are leaves only.
    template <unsigned lanes>
    void end_twins(const Block& block, const Points<lanes>& points) {
        const std::uint32_t first = block.inner_count;
        const auto* place = table<std::uint16_t>(block.places) + first;
        const auto* feature = table<std::uint16_t>(block.features) + first;
        const auto* feature_below = feature + block.twin_count + block.stem_count;
        for (std::uint32_t i = 0; i < block.twin_count; ++i) {
            Lanes<lanes>& here = at<lanes>(places_, place[i]);
            const Lanes<lanes> reached = here;
            const double step = step_[2 * i];
            const double other_step = step_[2 * i + 1];
            const Lanes<lanes> left = passing_[first + i] - points.unknown * gap_[first + i];
            const Lanes<lanes> to_left = reached * left;
            at<lanes>(sums_, feature_below[2 * i]) += to_left * step;
            at<lanes>(sums_, feature_below[2 * i + 1]) += (reached - to_left) * other_step;
            const Lanes<lanes> right = high_[2 * i + 1] - points.unknown * other_step;
            const Lanes<lanes> difference = high_[2 * i] - high_[2 * i + 1] - points.unknown * (step - other_step);
            at<lanes>(sums_, feature[i]) += reached * gap_[first + i] * difference;
            here = right + left * difference;
        }
    }

    // Splits with one side's split, and leaves.
    template <bool last_is_left, unsigned lanes>
    void end_stems(const Block& block, const Points<lanes>& points, const Leaf* leaf, std::uint32_t i,
                   std::uint32_t end) {
        const std::uint32_t first = block.inner_count + block.twin_count;
        const auto* place = table<std::uint16_t>(block.places) + first;
        const auto* feature = table<std::uint16_t>(block.features) + first;
        const auto* feature_below = feature + block.stem_count;
        for (; i < end; ++i) {
            const std::uint32_t last = 2 * block.twin_count + i;
            Lanes<lanes>& here = at<lanes>(places_, place[i]);
            const Lanes<lanes> reached = here;
            const Lanes<lanes> left = passing_[first + i] - points.unknown * gap_[first + i];
            const Lanes<lanes> to_left = reached * left;
            at<lanes>(sums_, feature_below[last]) += (last_is_left ? to_left : reached - to_left) * step_[last];
            const Lanes<lanes> grown = high_[last] - points.unknown * step_[last];
            const Lanes<lanes> alone = same<lanes>(static_cast<double>(leaf[i]));
            const Lanes<lanes> difference = last_is_left ? grown - alone : alone - grown;
            at<lanes>(sums_, feature[i]) += reached * gap_[first + i] * difference;
            here = (last_is_left ? alone : grown) + left * difference;
        }
    }

    // The other splits below which are leaves only.
    template <unsigned lanes>
    void end(const Block& block, const Points<lanes>& points) {
        const std::uint32_t first = split_count(block) - block.last_count;
        const auto* place = table<std::uint16_t>(block.places) + first;
        const auto* feature = table<std::uint16_t>(block.features) + first;
        const double* seen = seen_ + block.repeated_count - block.repeated_last_count;
        std::uint32_t i = 2U * block.twin_count + block.stem_count;
        for (; i < std::uint32_t{block.last_count} - block.repeated_last_count; ++i) {
            Lanes<lanes>& here = at<lanes>(places_, place[i]);
            at<lanes>(sums_, feature[i]) += here * step_[i];
            here = high_[i] - points.unknown * step_[i];
        }
        for (; i < block.last_count; ++i) {
            Lanes<lanes>& here = at<lanes>(places_, place[i]);
            const Step<lanes> step(points, high_[i], step_[i], *seen++);
            at<lanes>(sums_, feature[i]) += here * step.gain;
            here = step.left;
        }
    }

    template <unsigned lanes>
    void go_up(const Block& block, const Points<lanes>& points) {
        const auto* place = table<std::uint16_t>(block.places);
        const auto* feature = table<std::uint16_t>(block.features);
        const auto* run = table<std::uint16_t>(block.runs);
        std::uint32_t split = block.inner_count;
        double* below = places_ + (block.root_count + 2U * split) * lanes;
        double* kept = left_ + (block.repeated_count - block.repeated_last_count) * lanes;
        for (std::uint32_t turn = block.run_count; turn-- != 0;) {
            const std::uint32_t end = split - run[turn];
            if (turn % 2 == 0) {
                while (split != end) {
                    --split;
                    below -= 2 * lanes;
                    const Lanes<lanes> right = at<lanes>(below, lanes);
                    const Lanes<lanes> difference = at<lanes>(below, 0) - right;
                    Lanes<lanes>& here = at<lanes>(places_, place[split]);
                    at<lanes>(sums_, feature[split]) += here * gap_[split] * difference;
                    here = right + (passing_[split] - points.unknown * gap_[split]) * difference;
                }
            } else {
                while (split != end) {
                    --split;
                    below -= 2 * lanes;
                    kept -= lanes;
                    const Lanes<lanes> right = at<lanes>(below, lanes);
                    const Lanes<lanes> difference = at<lanes>(below, 0) - right;
                    Lanes<lanes>& here = at<lanes>(places_, place[split]);
                    at<lanes>(sums_, feature[split]) += here * difference;
                    here = right + at<lanes>(kept, 0) * difference;
                }
            }
        }
    }

    const unsigned char* tables_;
    const Tests& tests_;
    // Of a block's splits: minus one where the row goes right; whether it failed a test of the same feature above.
    alignas(64) std::int8_t right_[sizes.splits + 64];
    bool failed_[sizes.splits];
    alignas(64) double passing_[sizes.splits];
    alignas(64) double gap_[sizes.splits];
    alignas(64) double seen_[sizes.repeated + 1];
    alignas(64) double step_[sizes.last + 1];
    alignas(64) double high_[sizes.last + 1];
    // By point: at a place the chance to come there, then what is to be expected from there on; and for inner splits
    // the chance to go left, and sums by feature.
    alignas(64) double places_[sizes.place_values];
    alignas(64) double left_[sizes.inner_values + 8];
    alignas(64) double sums_[sizes.features * 8];
};

}  // namespace contributions
}  // namespace quickthorn

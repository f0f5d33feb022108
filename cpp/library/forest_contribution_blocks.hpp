// A row's contributions to some trees at a time, without a branch per split: for trees of ordinary size.
//
// The splits of a block's trees are in one queue, in which children come behind their parents, and are worked on as
// many side by side as a vector has lanes. Down the queue: the chance to come to a split, times the chance to go either
// way, is the chance to come to its children. A vector's left children are next to each other in the queue, and its
// right ones behind them, so that no value is looked for. Up the queue: what is to be expected below either side
// becomes what is to be expected at the split, and their difference its feature's contribution. Both are done at every
// point of the integral in turn. engine/quickthorn/forest/explanation_blocks.py builds the tables, explanation.py
// derives the formulas.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "forest_contribution_lanes.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] contributions {

// A vector of the queue.
struct QueueVector {
    Below queued;            // splits in the queue
    Below last;              // last ones
    std::uint32_t repeated;  // in which lanes splits are on features that are split on above
};

// Some trees of one output. Offsets are in bytes from the start of the tables. The queue begins with the roots; where
// it has no split, all sides are leaves of value 0, and the feature is one behind all others.
struct Block {
    std::uint16_t root_vectors;
    std::uint16_t vector_count;
    std::uint16_t repeated_count;  // splits on features that are split on above
    std::uint16_t last_vectors;    // of last splits, which are behind the queue
    std::uint16_t blank_count;     // vectors behind the roots with places without a split
    std::uint16_t eight_count;
    std::uint32_t output;
    std::uint64_t vectors;  // QueueVector
    std::uint64_t shares;   // float a split
    std::uint64_t leaves;  // of an output: float for each split's left side, a vector of them, then for its right side;
                           // 0 where it is a split
    std::uint64_t tests;   // a split's, as the Tests take them
    std::uint64_t eights;  // u16 each: for eight splits on one feature their places, or behind all splits; then for
                           // all of these their features
    std::uint64_t repeated;  // u16 a repeated split: its place in the queue; then u16 each: the place of the split
                             // above, twice, plus 1 where it lies on its left side
    std::uint64_t seen;      // float a repeated split
    std::uint64_t blanks;    // u16 each: the vector's number
};
static_assert(sizeof(Block) == 80);

// Blocks of trees that need equally many points.
struct BlockGroup {
    std::uint32_t point_count;
    std::uint32_t block_count;
    std::uint64_t blocks;
    std::uint64_t points;  // float each: the chances that a feature is known, those that it is not, the weights
};
static_assert(sizeof(BlockGroup) == 24);

// What the code generator knows of all blocks.
struct BlockSizes {
    std::uint32_t lanes;     // of the vectors that queues are divided into
    std::uint32_t splits;    // the most that any block has, places without a split among them
    std::uint32_t queued;    // the most of them that are in the queue
    std::uint32_t last;      // the most that are last ones
    std::uint32_t repeated;  // the most that are on features that are split on above
    std::uint32_t points;    // the most that are worked on at a time
    std::uint32_t features;  // that any split of any block is on
};

template <class Tests, BlockSizes sizes>
class Blocks {
    static_assert(sizes.lanes == split_lanes);

public:
    Blocks(const unsigned char* tables, const Tests& tests) : tables_{tables}, tests_{tests} {
        for (float& seen : seen_) seen = 1;
        for (float& reached : reached_) reached = 0;
        for (float& known : known_) known = 0;
        for (float& step : step_) step = 0;
    }

    // Asks the block's tests.
    void ask(const Block& block) {
        const std::uint32_t count = split_count(block);
        tests_.right(tables_ + block.tests, count, right_);
        const auto* repeated = table<std::uint16_t>(block.repeated);
        const auto* above = repeated + block.repeated_count;
        const auto* seen = table<float>(block.seen);
        for (std::uint32_t split = 0; split < count; ++split) failed_[split] = 0;
        for (std::uint32_t i = 0; i < block.repeated_count; ++i) {
            const std::uint32_t upper = above[i] >> 1;
            // The row goes on below the upper split where it does not go right and this is its left side, or it does.
            const bool off = ((right_[upper] & 1) ^ (above[i] & 1)) == 0;
            const bool failed_here = failed_[upper] | off;
            failed_[repeated[i]] = failed_here;
            // No branch, which could not be foretold.
            seen_[i] = seen[i] + failed * static_cast<float>(failed_here);
        }
    }

    // Adds what the block's trees contribute to this output.
    void add(const BlockGroup& group, const Block& block, std::size_t output) {
        const std::uint32_t count = split_count(block);
        const auto* points = table<float>(group.points);
        for (std::uint32_t first = 0; first < group.point_count; first += sizes.points) {
            const std::uint32_t left = group.point_count - first;
            const Points some{points + first, points + group.point_count + first,
                              points + 2 * group.point_count + first, left < sizes.points ? left : sizes.points};
            const float* leaves = table<float>(block.leaves) + output * 2 * count;
            const Queue queue{table<QueueVector>(block.vectors), table<float>(block.shares), leaves, some.unknown};
            see(block, some);
            with_count<sizes.points>(some.count, [&]<std::uint32_t point_count>() {
                go_down<point_count>(block, queue, some.weight);
                end(block, queue);
                go_up<point_count>(block, queue);
            });
            add_up(block);
        }
    }

    void clear() {
        for (double& sum : sums_) sum = 0;
    }

    // Adds to every feature's contribution what was added up, times the factor.
    void finish(const std::uint32_t* features, double factor, double* out) const {
        for (std::uint32_t i = 0; i < sizes.features; ++i) out[features[i]] += sums_[i] * factor;
    }

private:
    // In the place of what a feature's tests above have seen, where the row failed one of them: the limit of no chance
    // at all to be led here by what is known.
    static constexpr float failed = 0x1p60F;

    struct Points {
        const float* known;
        const float* unknown;
        const float* weight;
        std::uint32_t count;
    };

    template <class Item>
    const Item* table(std::uint64_t offset) const {
        return reinterpret_cast<const Item*>(tables_ + offset);
    }

    static std::uint32_t split_count(const Block& block) {
        return (std::uint32_t{block.vector_count} + block.last_vectors) * split_lanes;
    }

    // At each point, what known features above leave of the chance that a repeated split's feature is unknown, and what
    // the split is worth for its feature's contribution: of a split on a new feature all of it, and 1.
    void see(const Block& block, const Points& points) {
        for (std::uint32_t k = 0; k < points.count; ++k) {
            float* unknown = unknown_ + k * repeated_stride;
            float* worth = worth_ + k * repeated_stride;
            for (std::uint32_t i = 0; i < block.repeated_count; i += split_lanes) {
                const Floats seen = load(seen_ + i);
                const Floats scale = reciprocal(points.known[k] + seen * points.unknown[k]);
                const Floats part = seen * scale;
                store(unknown + i, part * points.unknown[k]);
                store(worth + i, part * scale);
            }
        }
    }

    // A vector of splits.
    struct Splits {
        [[gnu::always_inline]] Splits(const std::int8_t* right, const float* share)
            : pass{passing(right)},
              gap{pass - load(share)} {}

        Floats pass;  // 1 where the row goes left, else 0
        Floats gap;   // that less the left side's share
    };

    template <std::uint32_t most, class Function>
    [[gnu::always_inline]] static void with_count(std::uint32_t count, const Function& function) {
        if (count == most) {
            function.template operator()<most>();
        } else if constexpr (most > 1) {
            with_count<most - 1>(count, function);
        }
    }

    // What is the same for all vectors of a block.
    struct Queue {
        const QueueVector* vectors;
        const float* shares;
        const float* leaves;
        const float* unknown;
    };

    template <std::uint32_t point_count>
    void go_down(const Block& block, const Queue& given, const float* weights) {
        const Queue queue = given;
        const auto* blank = table<std::uint16_t>(block.blanks);
        for (std::uint32_t k = 0; k < point_count; ++k) {
            const Floats start = weights[k] - Floats{};
            for (std::uint32_t i = 0; i < block.root_vectors; ++i) store(values_ + k * stride + i * split_lanes, start);
            for (std::uint32_t i = 0; i < block.blank_count; ++i) {
                store(values_ + k * stride + blank[i] * split_lanes, Floats{});
            }
        }
        const std::uint32_t count = block.vector_count;
        const float* unknown = unknown_;
        for (std::uint32_t i = 0; i < count; ++i) {
            const QueueVector& vector = queue.vectors[i];
            const bool inner = (vector.queued.mask[0] | vector.queued.mask[1]) != 0;
            if (vector.repeated != 0) {
                if (inner) {
                    go_down<point_count, true, true>(queue, vector, i * split_lanes, unknown);
                } else {
                    go_down<point_count, true, false>(queue, vector, i * split_lanes, unknown);
                }
            } else if (inner) {
                go_down<point_count, false, true>(queue, vector, i * split_lanes, unknown);
            } else {
                go_down<point_count, false, false>(queue, vector, i * split_lanes, unknown);
            }
            unknown += std::popcount(vector.repeated);
        }
    }

    template <std::uint32_t point_count, bool repeated, bool inner>
    [[gnu::always_inline]] void go_down(const Queue& queue, const QueueVector& vector, std::uint32_t first,
                                        const float* unknown_seen) {
        const Splits splits(right_ + first, queue.shares + first);
        const Spreading from_seen(vector.repeated);
        const Packing queued(vector.queued);
        const float* here = values_ + first;
        float* below = values_ + vector.queued.place;
        Floats all_reached{};
        Floats all_to_left{};
#pragma GCC unroll 16
        for (std::uint32_t k = 0; k < point_count; ++k) {
            const Floats reached = load(here);
            Floats unknown = queue.unknown[k] - Floats{};
            if constexpr (repeated) unknown = from_seen(load(unknown_seen), unknown);
            const Floats to_left = reached * (splits.pass - unknown * splits.gap);
            // What is written behind the last child is written over by the next, or lies behind the last split.
            if constexpr (inner) queued(to_left, reached - to_left, below);
            all_reached += reached;
            all_to_left += to_left;
            here += stride;
            below += stride;
            if constexpr (repeated) unknown_seen += repeated_stride;
        }
        if ((vector.last.mask[0] | vector.last.mask[1]) == 0) return;
        Packing(vector.last)(all_to_left, all_reached - all_to_left, reached_ + vector.last.place);
    }

    // Last splits are worth the chance to come to them, added up over all points; what is to be expected there is a
    // number, less another one times the chance that the feature is unknown.
    void end(const Block& block, const Queue& queue) {
        const std::uint32_t first = block.vector_count * split_lanes;
        for (std::uint32_t i = 0; i < block.last_vectors * split_lanes; i += split_lanes) {
            const Splits splits(right_ + first + i, queue.shares + first + i);
            const Floats right = load(queue.leaves + 2 * (first + i) + split_lanes);
            const Floats difference = load(queue.leaves + 2 * (first + i)) - right;
            const Floats step = splits.gap * difference;
            store(step_ + i, step);
            store(known_ + i, right + splits.pass * difference);
            store(parts_ + first + i, load(reached_ + i) * step);
        }
    }

    template <std::uint32_t point_count>
    void go_up(const Block& block, const Queue& given) {
        const Queue queue = given;
        std::uint32_t seen = block.repeated_count;
        for (std::uint32_t i = block.vector_count; i-- != 0;) {
            const QueueVector& vector = queue.vectors[i];
            const bool inner = (vector.queued.mask[0] | vector.queued.mask[1]) != 0;
            seen -= static_cast<std::uint32_t>(std::popcount(vector.repeated));
            const std::uint32_t first = i * split_lanes;
            if (vector.repeated != 0) {
                if (inner) {
                    go_up<point_count, true, true>(queue, vector, first, seen);
                } else {
                    go_up<point_count, true, false>(queue, vector, first, seen);
                }
            } else if (inner) {
                go_up<point_count, false, true>(queue, vector, first, seen);
            } else {
                go_up<point_count, false, false>(queue, vector, first, seen);
            }
        }
    }

    template <std::uint32_t point_count, bool repeated, bool inner>
    [[gnu::always_inline]] void go_up(const Queue& queue, const QueueVector& vector, std::uint32_t first,
                                      std::uint32_t seen) {
        const Splits splits(right_ + first, queue.shares + first);
        const Spreading from_seen(vector.repeated);
        const Unpacking queued(vector.queued);
        Floats known_left = load(queue.leaves + 2 * first);
        Floats known_right = load(queue.leaves + 2 * first + split_lanes);
        Floats step_left{};
        Floats step_right{};
        if ((vector.last.mask[0] | vector.last.mask[1]) != 0) {
            const Unpacking last(vector.last);
            last(known_ + vector.last.place, known_left, known_right);
            last(step_ + vector.last.place, step_left, step_right);
        }
        float* here = values_ + first;
        const float* below = values_ + vector.queued.place;
        Floats part{};
#pragma GCC unroll 16
        for (std::uint32_t k = 0; k < point_count; ++k) {
            Floats worth = load(here);
            Floats unknown = queue.unknown[k] - Floats{};
            Floats on_left = known_left - unknown * step_left;
            Floats on_right = known_right - unknown * step_right;
            if constexpr (inner) queued(below, on_left, on_right);
            const Floats difference = on_left - on_right;
            if constexpr (repeated) {
                unknown = from_seen(load(unknown_ + seen), unknown);
                worth *= from_seen(load(worth_ + seen), Floats{} + 1.0F);
            }
            part += worth * difference;
            store(here, on_right + (splits.pass - unknown * splits.gap) * difference);
            here += stride;
            below += stride;
            seen += repeated_stride;
        }
        store(parts_ + first, part * splits.gap);
    }

    // Adds what every split contributes to its feature.
    void add_up(const Block& block) {
        parts_[split_count(block)] = 0;
        const auto* split = table<std::uint16_t>(block.eights);
        const auto* feature = split + 8 * block.eight_count;
        for (std::uint32_t i = 0; i < block.eight_count; ++i, split += 8) {
            // Two loads for all eight, because loads are what this waits for.
            std::uint64_t places[2];
            std::memcpy(places, split, sizeof places);
            sums_[feature[i]] += static_cast<double>(sum_of_four(places[0]) + sum_of_four(places[1]));
        }
    }

    [[gnu::always_inline]] float sum_of_four(std::uint64_t places) const {
        return (parts_[places & 0xFFFFU] + parts_[places >> 16 & 0xFFFFU]) +
               (parts_[places >> 32 & 0xFFFFU] + parts_[places >> 48]);
    }

    // How many values belong to a point: an odd number of vectors, which spreads the points over the cache's sets. One
    // vector may be written beyond the last split.
    static constexpr std::uint32_t odd_vectors(std::uint32_t count) {
        return (((count + split_lanes - 1) / split_lanes + 1) | 1U) * split_lanes;
    }
    static constexpr std::uint32_t stride = odd_vectors(sizes.queued + split_lanes);
    static constexpr std::uint32_t repeated_stride = odd_vectors(sizes.repeated);

    const unsigned char* tables_;
    const Tests& tests_;
    // Of a block's splits: minus one where the row goes right; whether it failed a test of the same feature above.
    alignas(64) std::int8_t right_[sizes.splits + 64];
    bool failed_[sizes.splits];
    // Of every point: the chance to come to a split, then what is to be expected from there on.
    alignas(64) float values_[sizes.points * stride];
    // Of last splits: the chance to come to them, added up over all points; what is to be expected of them where their
    // feature is known, and how much less at once where it is not.
    alignas(64) float reached_[sizes.last + 2 * split_lanes];
    alignas(64) float known_[sizes.last + 2 * split_lanes];
    alignas(64) float step_[sizes.last + 2 * split_lanes];
    // Of repeated splits: the product of the shares of the same feature's tests above; and of every point, see above.
    alignas(64) float parts_[sizes.splits + 1];
    alignas(64) float seen_[repeated_stride];
    alignas(64) float unknown_[sizes.points * repeated_stride];
    alignas(64) float worth_[sizes.points * repeated_stride];
    double sums_[sizes.features];
};

}  // namespace contributions
}  // namespace quickthorn

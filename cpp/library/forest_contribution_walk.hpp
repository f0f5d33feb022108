// A row's contributions by walking every tree to all of its leaves and back: for trees of any size and depth.
//
// engine/quickthorn/forest/explanation.py derives what is computed here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "forest_contribution_points.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] contributions {

// A split. A child is another split when not negative, else leaf ~child.
struct Split {
    double share;        // the left side's part of the cover
    double seen;         // the product of the shares of the same feature's tests above
    std::uint32_t test;  // as the forest's Tests number it
    std::uint32_t feature;
    std::int32_t child[2];
    std::int32_t above;  // how deep the nearest split on the same feature above is; -1 where there is none
    std::uint32_t unused;
};
static_assert(sizeof(Split) == 40);

// A tree that has splits, and which output it adds to.
struct WalkedTree {
    std::uint32_t root;
    std::uint32_t output;
    std::uint32_t point_count;  // a multiple of walk_lanes
    std::uint32_t unused;
    std::uint64_t points;  // of its Points, in bytes from the start of the tables
};
static_assert(sizeof(WalkedTree) == 24);

// Eight points at a time, whatever the processor: the compiler divides them into its vectors.
inline constexpr unsigned walk_lanes = 8;

template <class Tests, class Leaf, unsigned level_count>
class Walk {
    using Points = contributions::Points<walk_lanes>;
    using Vector = Lanes<walk_lanes>;

public:
    // `leaf_stride` values belong to a leaf, of which the first is this output's.
    Walk(const Tests& tests, const Split* splits, const Leaf* leaves, std::size_t leaf_stride, double* out)
        : tests_{tests},
          splits_{splits},
          leaves_{leaves},
          leaf_stride_{leaf_stride},
          out_{out} {}

    // Adds a tree's contributions, of leaves that are multiplied by the factor.
    void add(const unsigned char* tables, const WalkedTree& tree, double factor) {
        const auto* points = reinterpret_cast<const Points*>(tables + tree.points);
        for (std::uint32_t first = 0; first < tree.point_count; first += walk_lanes) {
            points_ = points++;
            expect(static_cast<std::int32_t>(tree.root), points_->weight * factor, 0);
        }
    }

private:
    // What is to be expected from a node on, at each point; `reached` is the weighted chance to come to it.
    Vector expect(std::int32_t node, const Vector& reached, unsigned level) {
        if (node < 0)
            return same<walk_lanes>(static_cast<double>(leaves_[static_cast<std::size_t>(~node) * leaf_stride_]));
        const Split& split = splits_[node];
        const bool right = tests_.right(split.test);
        const bool passed = split.above < 0 || passed_[split.above];
        const double passing = right ? 0.0 : 1.0;
        const Step<walk_lanes> step(*points_, passing, passing - split.share, passed ? split.seen : failed);
        const Vector to_left = reached * step.left;
        passed_[level] = passed && !right;
        const Vector left = expect(split.child[0], to_left, level + 1);
        passed_[level] = passed && right;
        const Vector other = expect(split.child[1], reached - to_left, level + 1);
        const Vector difference = left - other;
        out_[split.feature] += sum(reached * step.gain * difference);
        return other + step.left * difference;
    }

    const Tests& tests_;
    const Split* splits_;
    const Leaf* leaves_;
    std::size_t leaf_stride_;
    double* out_;
    const Points* points_ = nullptr;
    bool passed_[level_count + 1];  // by level: whether the row passed the tests of that split's feature down to here
};

}  // namespace contributions
}  // namespace quickthorn

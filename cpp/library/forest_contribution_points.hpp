// The points at which contributions are integrated, side by side, and what a split does to each of them.
//
// engine/quickthorn/forest/explanation.py derives the formulas.
#pragma once

#include <cstdint>

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] contributions {

template <unsigned lanes>
using Lanes [[gnu::vector_size(8 * lanes)]] = double;

template <unsigned lanes>
[[gnu::always_inline]] inline Lanes<lanes> same(double value) {
    return value - Lanes<lanes>{};
}

// The sum of all values, by halves, so that it does not depend on the processor.
[[gnu::always_inline]] inline double sum(const Lanes<2>& values) { return values[0] + values[1]; }
[[gnu::always_inline]] inline double sum(const Lanes<4>& values) {
    const Lanes<2> low = __builtin_shufflevector(values, values, 0, 1);
    return sum(low + __builtin_shufflevector(values, values, 2, 3));
}
[[gnu::always_inline]] inline double sum(const Lanes<8>& values) {
    const Lanes<4> low = __builtin_shufflevector(values, values, 0, 1, 2, 3);
    return sum(low + __builtin_shufflevector(values, values, 4, 5, 6, 7));
}

// Gauss-Legendre points in (0, 1).
template <unsigned lanes>
struct Points {
    Lanes<lanes> known;    // p: the chance that a feature is known
    Lanes<lanes> unknown;  // 1 - p
    Lanes<lanes> weight;
};

// In the place of what a feature's tests above have seen, where the row failed one of them: the limit of no chance at
// all to be led here by what is known.
inline constexpr double failed = 0x1p500;

// A split at every point: the chance to go left at it, and what the chance to come to it is worth for its feature's
// contribution. `passing` is 1 where the row goes left and 0 where it does not, `gap` that less the left side's share.
template <unsigned lanes>
struct Step {
    [[gnu::always_inline]] Step(const Points<lanes>& points, double passing, double gap, double seen) {
        const Lanes<lanes> scale = 1.0 / (points.known + seen * points.unknown);
        const Lanes<lanes> part = seen * scale;
        left = passing - part * points.unknown * gap;
        gain = part * scale * gap;
    }

    Lanes<lanes> left;
    Lanes<lanes> gain;
};

}  // namespace contributions
}  // namespace quickthorn

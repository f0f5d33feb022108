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

template <unsigned lanes>
[[gnu::always_inline]] inline double sum(const Lanes<lanes>& values) {
    double halves[lanes];
    for (unsigned lane = 0; lane < lanes; ++lane) halves[lane] = values[lane];
    for (unsigned width = lanes / 2; width != 0; width /= 2) {
        for (unsigned lane = 0; lane < width; ++lane) halves[lane] += halves[lane + width];
    }
    return halves[0];
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
// contribution.
template <unsigned lanes>
struct Step {
    [[gnu::always_inline]] Step(const Points<lanes>& points, double share, bool right, double seen) {
        const double passing = right ? 0.0 : 1.0;
        const Lanes<lanes> scale = 1.0 / (points.known + seen * points.unknown);
        const Lanes<lanes> part = seen * scale;
        left = passing - part * points.unknown * (passing - share);
        gain = part * scale * (passing - share);
    }

    Lanes<lanes> left;
    Lanes<lanes> gain;
};

}  // namespace contributions
}  // namespace quickthorn

// The aligned score: a whole number from 0 to 999 on one curve for every model version. The expressions are those of
// quickthorn/calibration/aligned.py.
#pragma once

#include <cmath>
#include <cstdint>

namespace quickthorn {

inline constexpr std::int16_t no_aligned_score = -1;

// 600 are even odds, and every 50 points double them; rounded down. None where there is no probability.
inline std::int16_t aligned_score(double probability) {
    if (!(probability >= 0.0 && probability <= 1.0)) return no_aligned_score;
    if (probability == 0.0) return 0;
    if (probability == 1.0) return 999;
    const double points = 600.0 + 50.0 * std::log2(probability / (1.0 - probability));
    return static_cast<std::int16_t>(points < 0.0 ? 0.0 : points > 999.0 ? 999.0 : points);
}

}  // namespace quickthorn

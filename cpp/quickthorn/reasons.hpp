// Reason codes: what raised a margin most, many features to one reason.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "quickthorn/decision.hpp"

namespace quickthorn {

inline constexpr std::size_t most_reasons = 16;

struct ReasonMap {
    std::vector<std::uint32_t> code_of;  // by feature
    std::uint32_t code_count = 0;
    std::uint32_t most = 4;      // how many are given
    std::uint32_t outcomes = 0;  // a bit for each outcome that has reasons
};

struct Reason {
    std::uint32_t code = 0;
    double contribution = 0.0;  // to the margin, above 0
};

// What a caller wants to be told beside the verdict, and what it is told.
struct Explanation {
    std::span<double> features = {};       // filled where not empty: the vector
    std::span<double> contributions = {};  // filled where not empty: one for each feature, then the expected margin
    std::uint32_t count = 0;
    std::array<Reason, most_reasons> reasons{};  // the weightiest first
};

// Sums each reason's contributions that raise the margin, into `sums` (code_count of them), and keeps the largest. Of
// equal ones, the reason that is declared first goes first.
inline void explain(const ReasonMap& map, std::span<const double> contributions, std::span<double> sums,
                    Explanation& explanation) {
    for (double& sum : sums) sum = 0.0;
    for (std::size_t feature = 0; feature < map.code_of.size(); ++feature) {
        if (contributions[feature] > 0.0) sums[map.code_of[feature]] += contributions[feature];
    }
    explanation.count = 0;
    for (std::uint32_t code = 0; code < map.code_count; ++code) {
        if (!(sums[code] > 0.0)) continue;
        std::uint32_t at = explanation.count;
        if (at == map.most) {
            if (!(sums[code] > explanation.reasons[at - 1].contribution)) continue;
            --at;
        } else {
            ++explanation.count;
        }
        for (; at > 0 && explanation.reasons[at - 1].contribution < sums[code]; --at) {
            explanation.reasons[at] = explanation.reasons[at - 1];
        }
        explanation.reasons[at] = {code, sums[code]};
    }
}

}  // namespace quickthorn

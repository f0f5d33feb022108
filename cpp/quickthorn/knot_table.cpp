#include "quickthorn/knot_table.hpp"

#include <string>

namespace quickthorn {

KnotTable::KnotTable(std::span<const double> x, std::span<const double> y)
    : x_(x.begin(), x.end()),
      y_(y.begin(), y.end()) {
    if (x.size() < 2 || x.size() != y.size()) {
        throw KnotTableError("calibration: expected at least 2 knots, found " + std::to_string(x.size()) +
                             " margins and " + std::to_string(y.size()) + " probabilities");
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
        const bool in_range = std::fabs(x[i]) <= 1e100 && y[i] >= 0.0 && y[i] <= 1.0;
        const bool rises = i == 0 || (x[i - 1] < x[i] && y[i - 1] <= y[i]);
        if (in_range && rises) continue;
        throw KnotTableError("calibration: knot " + std::to_string(i) +
                             ": expected a rising curve of probabilities from 0 to 1, found another");
    }
}

}  // namespace quickthorn

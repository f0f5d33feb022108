// A calibration as the engine evaluates it: straight lines between knots, level beyond the ends.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <vector>

namespace quickthorn {

// The knots are no rising curve of probabilities; what() says where.
struct KnotTableError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class KnotTable {
public:
    // Margins and their probabilities, as many of one as of the other. Throws KnotTableError.
    KnotTable(std::span<const double> x, std::span<const double> y);

    // The probability of a margin, exact at the knots; NaN for NaN. The operations and their order are those of
    // quickthorn/calibration/knots.py.
    double operator()(double margin) const {
        if (std::isnan(margin)) return margin;
        if (margin <= x_.front()) return y_.front();
        if (margin >= x_.back()) return y_.back();
        const double* left = x_.data();
        for (std::size_t count = x_.size(); count > 1;) {
            const std::size_t half = count / 2;
            left += left[half] <= margin ? half : 0;  // a conditional move: no branch to mispredict
            count -= half;
        }
        const auto at = static_cast<std::size_t>(left - x_.data());
        const double share = (margin - x_[at]) / (x_[at + 1] - x_[at]);
        const double value = y_[at] + share * (y_[at + 1] - y_[at]);
        return value < y_[at + 1] ? value : y_[at + 1];  // rounding may not carry it past the next knot
    }

private:
    std::vector<double> x_;
    std::vector<double> y_;
};

}  // namespace quickthorn

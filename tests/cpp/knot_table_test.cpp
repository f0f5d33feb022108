#include "quickthorn/knot_table.hpp"

#include <limits>
#include <vector>

#include "check.hpp"
#include "quickthorn/aligned_score.hpp"

using namespace quickthorn;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void is_exact_at_the_knots_and_level_beyond_them() {
    const std::vector<double> x = {-2.0, -1.0, 0.5, 0.75, 3.0};
    const std::vector<double> y = {0.01, 0.01, 0.1, 0.3, 0.9};
    const KnotTable table(x, y);
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(table(x[i]) == y[i]);
    CHECK(table(-infinity) == 0.01 && table(-2.5) == 0.01);
    CHECK(table(infinity) == 0.9 && table(4.0) == 0.9);
    CHECK(std::isnan(table(nan)));
    CHECK(table(-1.5) == 0.01);
    CHECK(table(0.625) == 0.1 + 0.5 * (0.3 - 0.1));
}

void never_falls_with_the_margin() {
    std::vector<double> x;
    std::vector<double> y;
    for (int i = 0; i < 1000; ++i) {
        x.push_back(i * 0.013 - 6.0);
        y.push_back(1.0 / (1.0 + std::exp(-x.back())));
    }
    const KnotTable table(x, y);
    double before = 0.0;
    for (double margin = -7.0; margin < 8.0; margin += 0.000731) {
        const double found = table(margin);
        CHECK(found >= before);
        before = found;
    }
}

void refuses_what_is_no_rising_curve() {
    const auto refused = [](std::vector<double> x, std::vector<double> y) {
        try {
            const KnotTable table(x, y);
        } catch (const KnotTableError&) {
            return true;
        }
        return false;
    };
    CHECK(refused({}, {}) && refused({1.0}, {0.5}) && refused({1.0, 2.0}, {0.5}));
    CHECK(refused({1.0, 1.0}, {0.1, 0.2}) && refused({1.0, 2.0}, {0.2, 0.1}));
    CHECK(refused({1.0, 2.0}, {0.2, 1.1}) && refused({1.0, nan}, {0.1, 0.2}) && refused({-infinity, 2.0}, {0.1, 0.2}));
}

void aligned_scores_double_the_odds_every_fifty_points() {
    CHECK(aligned_score(0.5) == 600 && aligned_score(2.0 / 3.0) >= 649 && aligned_score(1.0 / 3.0) <= 550);
    CHECK(aligned_score(0.0) == 0 && aligned_score(1e-9) == 0 && aligned_score(1.0) == 999);
    CHECK(aligned_score(nan) == no_aligned_score && aligned_score(1.5) == no_aligned_score);
}

}  // namespace

int main() {
    is_exact_at_the_knots_and_level_beyond_them();
    never_falls_with_the_margin();
    refuses_what_is_no_rising_curve();
    aligned_scores_double_the_odds_every_fifty_points();
}

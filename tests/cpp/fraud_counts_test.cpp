#include "quickthorn/fraud_counts.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "check.hpp"

using namespace quickthorn;

namespace {

struct Told {
    std::int64_t at_us;
    std::int32_t change;
};

// Every change of a set, and the time it is settled to.
struct Mirror {
    std::vector<Told> told;
    std::int64_t settled_us = 0;

    std::int64_t known_at(std::int64_t now_us) const {
        std::int64_t known = 0;
        for (const Told& each : told) known += each.at_us <= now_us ? each.change : 0;
        return known;
    }
};

void counts_what_a_list_of_all_changes_counts(std::uint64_t seed, std::uint32_t pending) {
    constexpr std::uint32_t sets = 6;
    Region region(FraudCounts::bytes(sets, pending) + 4096);
    FraudCounts counts(region, sets, pending);
    std::array<Mirror, sets + 1> mirrors;
    std::mt19937_64 random(seed);
    std::uint64_t refused = 0;
    const auto below = [&](std::int64_t limit) {
        return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
    };
    for (int step = 0; step < 30'000; ++step) {
        const auto set = static_cast<std::uint32_t>(1 + below(sets));
        Mirror& mirror = mirrors[set];
        switch (below(8)) {
            case 0: {
                mirror.settled_us += below(6);
                counts.settle(set, mirror.settled_us);
                break;
            }
            case 1: {
                const auto taken = static_cast<std::uint32_t>(1 + below(sets));
                if (taken == set || below(4) != 0) break;
                counts.unite(set, taken);
                Mirror& other = mirrors[taken];
                mirror.told.insert(mirror.told.end(), other.told.begin(), other.told.end());
                mirror.settled_us = std::max(mirror.settled_us, other.settled_us);
                counts.settle(set, mirror.settled_us);
                other = {};
                break;
            }
            case 2: {
                if (below(30) != 0) break;
                counts.clear(set);
                mirror = {};
                break;
            }
            case 3: {  // something told before is taken back
                if (mirror.told.empty()) break;
                const auto place = below(static_cast<std::int64_t>(mirror.told.size()));
                const Told old = mirror.told[static_cast<std::size_t>(place)];
                if (!counts.change(set, old.at_us, -old.change, mirror.settled_us)) {
                    ++refused;
                } else {
                    mirror.told.push_back({old.at_us, -old.change});
                }
                break;
            }
            default: {
                const Told told{mirror.settled_us - 5 + below(30), below(3) != 0 ? 1 : -1};
                if (!counts.change(set, told.at_us, told.change, mirror.settled_us)) {
                    ++refused;
                } else {
                    mirror.told.push_back(told);
                }
            }
        }
        for (std::uint32_t each = 1; each <= sets; ++each) {
            const std::int64_t now_us = mirrors[each].settled_us + below(30);
            CHECK(counts.known_at(each, now_us) == mirrors[each].known_at(now_us));
        }
    }
    CHECK((refused > 0) == (pending < 100));
}

}  // namespace

int main() {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        counts_what_a_list_of_all_changes_counts(seed, 20);
        counts_what_a_list_of_all_changes_counts(seed, 20'000);
    }
}

#include "quickthorn/known_frauds.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "check.hpp"

using namespace quickthorn;

namespace {

// As a kernel looks it up.
bool is_known(const KnownFrauds& frauds, std::uint64_t entity, std::int64_t now_us) {
    const quickthorn_known_frauds view = frauds.view();
    for (auto place = static_cast<std::int64_t>(entity >> 32) & view.mask; view.entries[place].entity != 0;
         place = (place + 1) & view.mask) {
        const quickthorn_known_fraud& entry = view.entries[place];
        if (entry.entity == entity && entry.from_us <= now_us && now_us < entry.until_us) return true;
    }
    return false;
}

// Few homes, so that runs are long and wrap around the end.
std::uint64_t name(std::uint64_t number) { return ((number % 7 + 250) << 32) | (number + 1); }

void finds_what_a_map_of_lists_finds(std::uint64_t seed) {
    constexpr std::uint32_t limit = 128;
    Region region(KnownFrauds::bytes(limit) + 4096);
    KnownFrauds frauds(region, 0, limit);
    std::map<std::uint64_t, std::vector<FraudSpan>> mirror;
    std::mt19937_64 random(seed);
    std::size_t kept = 0;
    std::uint64_t refused = 0;
    for (int step = 0; step < 20'000; ++step) {
        const std::uint64_t entity = name(random() % 40);
        std::vector<FraudSpan>& of_entity = mirror[entity];
        if (random() % 5 < 3) {
            // Times of their own, so that it is clear which was known last.
            const std::int64_t from_us = static_cast<std::int64_t>(random() % 90) * 100'000 + step;
            const FraudSpan added{from_us, random() % 2 == 0 ? FraudSpan::for_good : from_us + 1'000'000};
            const bool whole = of_entity.size() == KnownFrauds::kept_per_entity;
            const bool done = frauds.add(entity, added);
            CHECK(done == (whole || kept < limit));
            if (!done) {
                ++refused;
                continue;
            }
            of_entity.push_back(added);
            ++kept;
            if (whole) {
                const auto last = std::ranges::max_element(of_entity, {}, &FraudSpan::from_us);
                of_entity.erase(last);
                --kept;
            }
        } else if (!of_entity.empty()) {
            const auto place = static_cast<std::ptrdiff_t>(random() % of_entity.size());
            const FraudSpan gone = of_entity[static_cast<std::size_t>(place)];
            frauds.remove(entity, gone);
            of_entity.erase(of_entity.begin() + place);
            --kept;
        }
        frauds.remove(entity, {-1, 0});  // was never there
        const std::uint64_t asked = name(random() % 40);
        const auto now_us = static_cast<std::int64_t>(random() % 10'000'000);
        const bool expected = std::ranges::any_of(
            mirror[asked], [&](const FraudSpan& each) { return each.from_us <= now_us && now_us < each.until_us; });
        CHECK(is_known(frauds, asked, now_us) == expected);
    }
    CHECK(refused > 0);
}

}  // namespace

int main() {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) finds_what_a_map_of_lists_finds(seed);
}

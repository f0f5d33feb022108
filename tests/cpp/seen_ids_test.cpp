#include "quickthorn/seen_ids.hpp"

#include <algorithm>
#include <deque>
#include <random>

#include "check.hpp"

using namespace quickthorn;

namespace {

// The last `limit` ids, mirrored into a deque; homes collide on purpose so that forgetting has runs to mend.
void remembers_the_last_ids_and_no_more(std::uint32_t limit, std::uint64_t homes) {
    Region region(SeenIds::bytes(limit) + 4096);
    SeenIds seen(region, limit);
    std::deque<std::uint64_t> mirror;
    std::mt19937_64 random(limit);
    for (int step = 0; step < 30'000; ++step) {
        const std::uint64_t key = random() % (3 * std::uint64_t{limit} + 2);
        const Hash128 id{key, key % homes};
        const bool known = std::ranges::find(mirror, key) != mirror.end();
        CHECK(seen.contains(id) == known);
        if (known) continue;
        seen.remember(id);
        mirror.push_back(key);
        if (mirror.size() > limit) mirror.pop_front();
    }
}

}  // namespace

int main() {
    remembers_the_last_ids_and_no_more(1, 1);
    remembers_the_last_ids_and_no_more(2, 2);
    remembers_the_last_ids_and_no_more(37, 5);
    remembers_the_last_ids_and_no_more(100, 1'000'000);
}

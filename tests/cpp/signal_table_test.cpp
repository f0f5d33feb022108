#include "quickthorn/signal_table.hpp"

#include <map>
#include <random>

#include "check.hpp"

using namespace quickthorn;

namespace {

constexpr std::uint32_t slots = 3;

struct Known {
    std::int64_t at_us;
    quickthorn_slot value;
};

// Every signal is mirrored into a plain map, under the same rules of time and expiry.
void keeps_what_a_map_keeps(std::int64_t expire_after_us, std::int64_t lateness_us) {
    HistoryLimits limits;
    limits.max_keys = 5000;
    limits.expire_after_us = expire_after_us;
    limits.lateness_us = lateness_us;
    Region region(SignalTable::table_bytes(slots, limits) + 4096);
    SignalTable table(slots, limits, region);
    std::map<std::uint64_t, Known> mirror;
    std::mt19937_64 random(11);
    std::int64_t clock_us = 0;
    const auto expired = [&](std::int64_t at_us, std::int64_t judged_us) {
        return expire_after_us != 0 && judged_us - at_us >= expire_after_us;
    };
    for (int step = 0; step < 100'000; ++step) {
        const std::uint64_t name = random() % 3000;
        const Hash128 key{name * 0x9E3779B97F4A7C15ULL, name};
        const std::int64_t at_us = clock_us + static_cast<std::int64_t>(random() % 400) - 300;
        const auto known = mirror.find(name);
        if (random() % 3 == 0) {
            const std::int64_t judged_us = std::max(at_us, clock_us - lateness_us);
            const std::int64_t* found = table.find(key, at_us, clock_us);
            const bool there = known != mirror.end() && !expired(known->second.at_us, judged_us);
            CHECK((found != nullptr) == there);
            if (there) {
                CHECK(found[0] == known->second.at_us);
                for (std::uint32_t slot = 0; slot < slots; ++slot) CHECK(found[1 + slot] == known->second.value + slot);
            }
            clock_us = std::max(clock_us, at_us);
            continue;
        }
        const quickthorn_slot values[slots] = {step, step + 1, step + 2};
        const bool older =
            expired(at_us, clock_us - lateness_us) || (known != mirror.end() && at_us < known->second.at_us);
        CHECK(table.tell({key, at_us, values}, clock_us) == (older ? Told::older : Told::latest));
        if (!older) mirror[name] = {at_us, step};
    }
    CHECK(expire_after_us != 0 ? table.reclaimed() > 100 : table.reclaimed() == 0);
    CHECK(table.keys() <= mirror.size());
}

void a_full_table_leaves_new_keys_out_until_old_ones_expire() {
    HistoryLimits limits;
    limits.max_keys = 2;
    limits.expire_after_us = 100;
    Region region(SignalTable::table_bytes(1, limits) + 4096);
    SignalTable table(1, limits, region);
    const quickthorn_slot value = 7;
    CHECK(table.tell({{1, 1}, 0, &value}, 0) == Told::latest);
    CHECK(table.tell({{2, 2}, 50, &value}, 0) == Told::latest);
    CHECK(table.tell({{3, 3}, 60, &value}, 60) == Told::out_of_space);
    CHECK(table.find({3, 3}, 60, 60) == nullptr);
    CHECK(table.tell({{3, 3}, 110, &value}, 110) == Told::latest);  // the first has been idle for long enough
    CHECK(table.keys() == 2 && table.reclaimed() == 1);
    CHECK(table.find({1, 1}, 110, 110) == nullptr && table.find({3, 3}, 110, 110)[1] == 7);
}

}  // namespace

int main() {
    keeps_what_a_map_keeps(0, 0);
    keeps_what_a_map_keeps(2000, 0);
    keeps_what_a_map_keeps(500, 100);
    a_full_table_leaves_new_keys_out_until_old_ones_expire();
}

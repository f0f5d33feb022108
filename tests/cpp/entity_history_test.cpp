#include "quickthorn/entity_history.hpp"

#include <algorithm>
#include <random>
#include <vector>

#include "check.hpp"
#include "plain_library.hpp"

using namespace quickthorn;

namespace {

struct Row {
    std::int64_t at_us;
    std::int64_t amount;
};

// An entity's rows as a plain sorted vector, under the same rules.
struct Mirror {
    std::vector<Row> rows;
    std::int64_t newest_us = INT64_MIN / 2;

    Stored store(const HistoryLimits& limits, Row row) {
        if (row.at_us < newest_us - limits.lateness_us) return Stored::too_late;
        const bool in_order = row.at_us >= newest_us;
        newest_us = std::max(newest_us, row.at_us);
        std::erase_if(rows,
                      [&](const Row& old) { return old.at_us <= newest_us - plain::day_us - limits.lateness_us; });
        const bool full = rows.size() == limits.row_limit;
        if (full && row.at_us < rows.front().at_us) return Stored::over_limit;
        if (full) rows.erase(rows.begin());
        rows.insert(std::ranges::upper_bound(rows, row.at_us, {}, &Row::at_us), row);
        if (full) return Stored::over_limit;
        return in_order ? Stored::in_order : Stored::in_place;
    }

    void read(std::int64_t now_us, double* values) const {
        values[0] = values[1] = 0;
        for (const Row& row : rows) {
            if (row.at_us <= now_us - plain::day_us || row.at_us > now_us) continue;
            values[0] += 1;
            values[1] += static_cast<double>(row.amount);
        }
    }
};

void keeps_what_a_sorted_vector_keeps(std::uint64_t seed, HistoryLimits limits) {
    const std::size_t row_space = 1 << 22;
    Region region(EntityHistory::table_bytes(plain::groups[0], limits) + row_space + 8192);
    (void)region.carve(64);  // offset 0 is never a block
    RowSpace space(region, row_space);
    EntityHistory history(plain::groups[0], limits, region, space);
    std::vector<Mirror> mirrors(5);
    std::mt19937_64 random(seed);
    std::int64_t now_us = 0;
    for (int step = 0; step < 20'000; ++step) {
        now_us += static_cast<std::int64_t>(random() % (plain::day_us / 20));
        const std::int64_t back_us = random() % 4 == 0 ? static_cast<std::int64_t>(random() % (plain::day_us / 2)) : 0;
        const Row row{now_us - back_us, static_cast<std::int64_t>(random() % 1000)};
        const std::size_t who = random() % mirrors.size();
        const Hash128 hash{who, who};
        const quickthorn_slot slots[] = {1, row.at_us, 1, row.amount};
        KeyRecord* entity = history.find(hash, {row.at_us, slots, nullptr, 0});
        CHECK((entity == nullptr) == (mirrors[who].newest_us == INT64_MIN / 2));
        if (!history.too_late(entity, row.at_us)) {
            double found[2];
            double expected[2];
            history.read(entity, {row.at_us, slots, nullptr, 0}, false, found);
            mirrors[who].read(row.at_us, expected);
            CHECK(found[0] == expected[0] && found[1] == expected[1]);
        }
        CHECK(history.store(hash, entity, {row.at_us, slots, nullptr, 0}) == mirrors[who].store(limits, row));
    }
}

void says_so_when_space_runs_out() {
    HistoryLimits limits;
    limits.max_keys = 2;
    Region region(EntityHistory::table_bytes(plain::groups[0], limits) + 65536);
    (void)region.carve(64);
    RowSpace space(region, 256);  // rows for two rings of four, or one that grew
    EntityHistory history(plain::groups[0], limits, region, space);
    const auto store = [&](std::uint64_t who, std::int64_t at_us) {
        const quickthorn_slot slots[] = {1, at_us, 1, 5};
        KeyRecord* entity = history.find({who, who}, {at_us, slots, nullptr, 0});
        return history.store({who, who}, entity, {at_us, slots, nullptr, 0});
    };
    for (std::int64_t at_us = 0; at_us < 4; ++at_us) CHECK(store(1, at_us) == Stored::in_order);
    CHECK(store(2, 0) == Stored::in_order);
    CHECK(store(3, 0) == Stored::out_of_space);  // no third key
    CHECK(store(1, 4) == Stored::in_order);      // grows to eight rows
    for (std::int64_t at_us = 1; at_us < 4; ++at_us) CHECK(store(2, at_us) == Stored::in_order);
    CHECK(store(2, 4) == Stored::in_order || history.find({2, 2}, {4, nullptr, nullptr, 0})->last == 4);
    for (std::int64_t at_us = 5; at_us < 8; ++at_us) CHECK(store(1, at_us) == Stored::in_order);
    CHECK(store(1, 8) == Stored::out_of_space);  // sixteen rows are not to be had
    // What is kept still reads, and rows that age out make room again.
    double values[2];
    const quickthorn_slot slots[] = {1, 8, 1, 5};
    history.read(history.find({1, 1}, {8, slots, nullptr, 0}), {8, slots, nullptr, 0}, false, values);
    CHECK(values[0] == 8);
    CHECK(store(1, plain::day_us + 100) == Stored::in_order);
}

void forgets_idle_keys_and_uses_their_memory_again() {
    HistoryLimits limits;
    limits.max_keys = 8;
    limits.expire_after_us = plain::day_us;
    Region region(EntityHistory::table_bytes(plain::groups[0], limits) + 65536);
    (void)region.carve(64);
    RowSpace space(region, 8 * 64);  // eight rings of four rows
    EntityHistory history(plain::groups[0], limits, region, space);
    std::int64_t now_us = 0;
    // Hundreds of keys, of which never more than eight live, fit where eight do.
    for (std::uint64_t who = 1; who <= 400; ++who) {
        now_us += plain::day_us / 7;
        const quickthorn_slot slots[] = {1, now_us, 1, 5};
        const EventView event{now_us, slots, nullptr, now_us};
        KeyRecord* added = history.find({who, who}, event);
        CHECK(added == nullptr);
        CHECK(history.store({who, who}, added, event) == Stored::in_order);
        CHECK(added == history.find({who, who}, event));
        CHECK(history.keys() <= 8);
    }
    CHECK(history.reclaimed() >= 392);
    // Exactly as old as the expiry is forgotten, one microsecond less is not.
    const quickthorn_slot slots[] = {1, now_us, 1, 5};
    CHECK(history.find({400, 400}, {now_us + plain::day_us - 1, slots, nullptr, now_us}) != nullptr);
    CHECK(history.find({400, 400}, {now_us + plain::day_us, slots, nullptr, now_us}) == nullptr);
    // It starts anew in place, with nothing of what it was.
    const EventView again{now_us + plain::day_us, slots, nullptr, now_us};
    KeyRecord* entity = nullptr;
    CHECK(history.store({400, 400}, entity, again) == Stored::in_order);
    CHECK(entity == history.find({400, 400}, again));
    CHECK(entity != nullptr && entity->first == 0 && entity->last == 1);
    double values[2];
    history.read(entity, again, false, values);
    CHECK(values[0] == 1 && values[1] == 5);
}

}  // namespace

int main() {
    HistoryLimits limits;
    limits.max_keys = 8;
    keeps_what_a_sorted_vector_keeps(1, limits);
    limits.lateness_us = plain::day_us / 3;
    keeps_what_a_sorted_vector_keeps(2, limits);
    limits.row_limit = 6;
    keeps_what_a_sorted_vector_keeps(3, limits);
    limits.row_limit = 1;
    keeps_what_a_sorted_vector_keeps(4, limits);
    says_so_when_space_runs_out();
    forgets_idle_keys_and_uses_their_memory_again();
}

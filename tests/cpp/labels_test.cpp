#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <new>
#include <optional>
#include <random>
#include <vector>

#include "check.hpp"
#include "plain_library.hpp"
#include "quickthorn/engine.hpp"
#include "quickthorn/label_feed.hpp"
#include "quickthorn/label_fields.hpp"

// Every allocation of this program is counted; while a label is told there may be none.
namespace {
std::atomic<std::uint64_t> allocations{0};
}

void* operator new(std::size_t bytes) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* memory = std::malloc(bytes)) return memory;
    throw std::bad_alloc();
}
// Inlined, its free() looks to the compiler as if it did not belong to the new that it answers.
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

using namespace quickthorn;

namespace {

constexpr std::int64_t hour_us = plain::day_us / 24;

// A library of one group whose rows are an event time and its label: how many of the last day's events are known to be
// fraud, and not to be, scanned anew for every read.
constexpr std::uint32_t row_bytes = 8 + sizeof(quickthorn_row_label);

struct State {
    std::int64_t told[2];  // calls about a change, before and after
};

void fill(const quickthorn_slot*, const void*, void*) {}

int known_at(const quickthorn_row_label& label, std::int64_t now_us) {
    for (const std::int64_t change : label.changes) {
        if (change != QUICKTHORN_NO_LABEL && change >> 1 <= now_us) return static_cast<int>(change & 1);
    }
    return -1;
}

void read(void*, void*, const void* rows, std::int64_t mask, std::int64_t first, std::int64_t last, std::int64_t now_us,
          std::int64_t, const quickthorn_slot*, const void*, const quickthorn_known_frauds*, double* values) {
    values[0] = values[1] = 0;
    for (std::int64_t position = first; position < last; ++position) {
        const char* row = static_cast<const char*>(rows) + (position & mask) * std::int64_t{row_bytes};
        std::int64_t at_us = 0;
        quickthorn_row_label label;
        std::memcpy(&at_us, row, sizeof at_us);
        std::memcpy(&label, row + 8, sizeof label);
        if (at_us <= now_us - plain::day_us || at_us > now_us) continue;
        const int known = known_at(label, now_us);
        values[0] += known == 1 ? 1 : 0;
        values[1] += known == 0 ? 1 : 0;
    }
}

void absorb(void*, const void*, std::int64_t, std::int64_t) {}
void release(void*, const void*, std::int64_t, std::int64_t) {}
void label(void* state, const void*, std::int64_t, std::int64_t, std::int64_t sign) {
    ++static_cast<State*>(state)->told[sign > 0 ? 1 : 0];
}

constexpr quickthorn_group groups[] = {{plain::entities, 1, sizeof(State), 0, row_bytes, 0, 2, plain::day_us, fill,
                                        read, absorb, release, nullptr, nullptr, 0, 8, label}};
constexpr quickthorn_library library = [] {
    quickthorn_library made = plain::library;
    made.groups = groups;
    made.forest = nullptr;
    return made;
}();

// What an event's label is by all that was told of it, and how it was before the last two changes is forgotten.
struct Mirror {
    std::int64_t at_us = 0;
    std::int64_t customer = 0;
    std::map<std::int64_t, bool> changes;

    void tell(std::int64_t available_us, bool fraud) {
        changes[available_us] = fraud;
        for (auto change = changes.begin(); change != changes.end();) {
            const bool repeats = change != changes.begin() && std::prev(change)->second == change->second;
            change = repeats ? changes.erase(change) : std::next(change);
        }
        while (changes.size() > 2) changes.erase(changes.begin());
    }

    std::optional<bool> known_at(std::int64_t now_us) const {
        const auto later = changes.upper_bound(now_us);
        return later == changes.begin() ? std::nullopt : std::optional(std::prev(later)->second);
    }
};

void changes_are_kept_in_order_of_time(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int round = 0; round < 2'000; ++round) {
        LabelChanges changes;
        Mirror mirror;
        for (int told = 0; told < 8; ++told) {
            const auto available_us = static_cast<std::int64_t>(random() % 10) - 5;
            const bool fraud = random() % 2 == 0;
            const LabelChanges before = changes;
            CHECK(changes.tell(available_us, fraud) == (changes != before));
            mirror.tell(available_us, fraud);
            for (std::int64_t now_us = -7; now_us < 7; ++now_us) {
                const std::optional<bool> expected = mirror.known_at(now_us);
                CHECK(changes.known_at(now_us) == (expected ? int{*expected} : -1));
            }
        }
    }
    for (const std::int64_t limit_us : {event_time_limit_us, -event_time_limit_us}) {
        LabelChanges changes;
        CHECK(changes.known_at(limit_us) == -1);
        CHECK(changes.tell(limit_us, true));
        CHECK(changes.known_at(limit_us) == 1 && changes.known_at(limit_us - 1) == -1);
    }
}

Hash128 id_of(const EventSchema& schema, std::int64_t number) {
    return keyed_hash(schema.key(), DecimalText(number).view());
}

EngineLimits small_limits() {
    EngineLimits limits;
    limits.history.max_keys = 100;
    limits.history_bytes = 1 << 22;
    limits.remembered_ids = 300;
    return limits;
}

// Ties, late events, growing rings and labels in any order, held against plain vectors.
void labels_find_their_rows(std::uint64_t seed) {
    const EventSchema schema = plain::schema();
    EngineLimits limits = small_limits();
    limits.history.lateness_us = 2 * hour_us;
    Engine engine(library, schema, {}, std::nullopt, {}, limits);
    EventRow event(schema);
    std::mt19937_64 random(seed);
    std::vector<Mirror> mirrors;
    std::int64_t clock_us = 0;
    for (int step = 0; step < 20'000; ++step) {
        clock_us += static_cast<std::int64_t>(random() % 3) * hour_us / 20;
        const std::int64_t late_us = random() % 4 == 0 ? static_cast<std::int64_t>(random() % 3) * hour_us / 2 : 0;
        const auto number = static_cast<std::int64_t>(mirrors.size());
        const auto customer = static_cast<std::int64_t>(random() % 3);
        if (random() % 2 == 0) {
            plain::fill(event, number, clock_us - late_us, customer, 1);
            CHECK(engine.observe(event) != Status::capped);
            mirrors.push_back({clock_us - late_us, customer, {}});
        } else if (!mirrors.empty()) {
            const auto back = static_cast<std::int64_t>(random() % 400);
            const std::int64_t chosen = number - 1 - back;
            const std::int64_t available_us =
                clock_us + static_cast<std::int64_t>(random() % 9) * hour_us - 4 * hour_us;
            const bool fraud = random() % 2 == 0;
            const bool known = chosen >= 0 && back < std::int64_t{limits.remembered_ids};
            const std::uint64_t before = allocations.load();
            CHECK(engine.label({id_of(schema, chosen), fraud, available_us}) == known);
            CHECK(allocations.load() == before);
            if (known) mirrors[static_cast<std::size_t>(chosen)].tell(available_us, fraud);
        }
        if (step % 20 != 0) continue;
        const std::int64_t now_us = clock_us - late_us;
        plain::fill(event, -1, now_us, customer, 1);
        double found[2];
        engine.features(event, found);
        double expected[2] = {0, 0};
        for (const Mirror& mirror : mirrors) {
            if (mirror.customer != customer || mirror.at_us <= now_us - plain::day_us || mirror.at_us > now_us)
                continue;
            const std::optional<bool> known = mirror.known_at(now_us);
            if (known) ++expected[*known ? 0 : 1];
        }
        CHECK(found[0] == expected[0] && found[1] == expected[1]);
    }
    CHECK(engine.counters().unknown_labels > 0);
    CHECK(engine.remembered_ids() == limits.remembered_ids);
}

void a_label_of_a_forgotten_entity_changes_no_other() {
    const EventSchema schema = plain::schema();
    EngineLimits limits = small_limits();
    limits.history.max_keys = 1;
    limits.history.expire_after_us = plain::day_us;
    Engine engine(library, schema, {}, std::nullopt, {}, limits);
    EventRow event(schema);
    plain::fill(event, 1, 0, 7, 1);
    engine.observe(event);
    plain::fill(event, 2, 3 * plain::day_us, 8, 1);  // takes the only record there is
    CHECK(engine.observe(event) == Status::ok);
    CHECK(engine.label({id_of(schema, 1), true, 0}));
    double found[2];
    plain::fill(event, 3, 3 * plain::day_us, 8, 1);
    engine.features(event, found);
    CHECK(found[0] == 0 && found[1] == 0);
    CHECK(engine.label({id_of(schema, 2), true, 0}));
    engine.features(event, found);
    CHECK(found[0] == 1 && found[1] == 0);
}

void a_library_without_labels_takes_none() {
    const EventSchema schema = plain::schema();
    const Engine plain_engine(plain::library, schema, {}, std::nullopt, {}, small_limits());
    CHECK(!plain_engine.takes_labels());
    const Engine labelled(library, schema, {}, std::nullopt, {}, small_limits());
    CHECK(labelled.takes_labels());
    CHECK(LabelledEvents::bytes(1 << 20, 0) == 0);
}

void a_feed_tells_labels_in_time_and_after_their_events() {
    const EventSchema schema = plain::schema();
    Engine engine(library, schema, {}, std::nullopt, {}, small_limits());
    EventRow event(schema);
    LabelFeed feed;
    feed.add({id_of(schema, 1), true, 50}, 0);
    feed.add({id_of(schema, 9), true, 5}, 1);  // of an event that never comes
    feed.add({id_of(schema, 2), true, 0}, 2);  // before its event
    feed.add({id_of(schema, 1), false, 10}, 3);
    feed.sort();
    std::vector<double> frauds;
    std::vector<double> others;
    for (const std::int64_t at_us : {10, 20, 60}) {
        plain::fill(event, at_us / 10, at_us, 7, 1);
        feed.advance(engine, at_us);
        double found[2];
        engine.features(event, found);
        frauds.push_back(found[0]);
        others.push_back(found[1]);
        engine.observe(event);
        feed.stored(engine, event.id());
    }
    CHECK((frauds == std::vector<double>{0, 0, 2}));
    CHECK((others == std::vector<double>{0, 1, 0}));
    CHECK(feed.finish(engine) == std::vector<std::int64_t>{1});
    CHECK(feed.finish(engine).empty());
    CHECK(engine.counters().labels == 3 && engine.counters().unknown_labels == 1);
}

void a_row_of_three_fields_is_a_label() {
    const EventSchema schema = label_schema({1, 2});
    EventRow row(schema);
    CHECK(row.set_integer(0, 5) == Fault::none);
    CHECK(row.set_boolean(1, true) == Fault::none);
    CHECK(row.set_integer(2, -7) == Fault::none);
    const Label label = label_of(row);
    CHECK(label.event == id_of(schema, 5) && label.fraud && label.available_us == -7);
    CHECK(row.set_integer(1, 1) == Fault::wrong_type);
    CHECK(row.set_missing(2) == Fault::missing);
}

}  // namespace

int main() {
    changes_are_kept_in_order_of_time(1);
    labels_find_their_rows(2);
    a_label_of_a_forgotten_entity_changes_no_other();
    a_library_without_labels_takes_none();
    a_feed_tells_labels_in_time_and_after_their_events();
    a_row_of_three_fields_is_a_label();
}

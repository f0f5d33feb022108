#include "quickthorn/shared_replay.hpp"

#include <algorithm>
#include <bit>
#include <random>
#include <vector>

#include "check.hpp"
#include "plain_library.hpp"

using namespace quickthorn;

namespace {

constexpr std::uint32_t groups_count = 5;
constexpr std::uint32_t feature_count = 2 * groups_count;
constexpr std::size_t entity_first = 4;  // the entities' fields follow those of the plain schema

template <std::uint32_t first>
void read(void* state, void* scratch, const void* rows, std::int64_t mask, std::int64_t from, std::int64_t to,
          std::int64_t now_us, std::int64_t with_current, const quickthorn_slot* slots, const void* hashes,
          const quickthorn_known_frauds* frauds, double* values) {
    plain::read(state, scratch, rows, mask, from, to, now_us, with_current, slots, hashes, frauds, values + first);
}

void derive(const quickthorn_slot* slots, const double* values, double* features) {
    std::copy_n(values, feature_count, features);
    features[0] += static_cast<double>(slots[plain::amount_slot]);
}

constexpr std::uint32_t entities[] = {4, 5, 6, 7, 8};

template <std::uint32_t group>
constexpr quickthorn_group plain_group() {
    return {entities + group,
            1,
            sizeof(plain::State),
            0,
            plain::row_bytes,
            2 * group,
            2,
            plain::day_us,
            plain::fill,
            read<2 * group>,
            plain::absorb,
            plain::release,
            nullptr,
            nullptr,
            0,
            0,
            nullptr};
}

constexpr quickthorn_group groups[] = {plain_group<0>(), plain_group<1>(), plain_group<2>(), plain_group<3>(),
                                       plain_group<4>()};

quickthorn_library library() {
    quickthorn_library made = plain::library;
    made.slot_count = entity_first + groups_count;
    made.group_count = groups_count;
    made.value_count = made.feature_count = feature_count;
    made.groups = groups;
    made.derive = derive;
    made.forest = nullptr;
    made.policy = nullptr;
    return made;
}

EventSchema schema() {
    std::vector<FieldSpec> fields;
    const EventSchema plain = plain::schema();
    for (std::size_t field = 0; field < plain.size(); ++field) fields.push_back(plain[field]);
    for (std::uint32_t group = 0; group < groups_count; ++group) {
        fields.push_back(plain[2]);
        fields.back().name += std::to_string(group);
    }
    return {fields, HashKey{1, 2}};
}

// The event of a number: some are late or far too late, come twice, have no key, or are not events at all.
EventFault fill(std::int64_t number, EventRow& row) {
    std::mt19937_64 random(static_cast<std::uint64_t>(number) + 7);
    const std::int64_t id = random() % 9 == 0 ? number - 3 : number;
    const std::int64_t back_us = random() % 5 == 0 ? static_cast<std::int64_t>(random() % (plain::day_us / 4)) : 0;
    plain::fill(row, id, number * (plain::day_us / 300) - back_us, 1, static_cast<std::int64_t>(random() % 900));
    for (std::size_t entity = entity_first; entity < entity_first + groups_count; ++entity) {
        if (random() % 17 == 0) {
            row.set_missing(entity);
        } else {
            row.set_integer(entity, static_cast<std::int64_t>(random() % (10 * entity)));
        }
    }
    return random() % 101 == 0 ? EventFault{Fault::missing, plain::amount_slot} : EventFault{};
}

struct Replayed {
    std::vector<double> vectors;
    std::vector<Status> statuses;
    Counters counters;
    std::uint64_t keys = 0;

    bool operator==(const Replayed& other) const {
        const auto same_bits = [](double one, double two) {
            return std::bit_cast<std::uint64_t>(one) == std::bit_cast<std::uint64_t>(two);
        };
        return std::ranges::equal(vectors, other.vectors, same_bits) && statuses == other.statuses &&
               std::ranges::equal(numbers(), other.numbers()) && keys == other.keys;
    }
    std::vector<std::uint64_t> numbers() const {
        return {counters.observed,      counters.invalid,        counters.duplicates,   counters.late_in_place,
                counters.late_left_out, counters.over_row_limit, counters.out_of_space, counters.reclaimed_keys};
    }
};

Replayed one_by_one(const EngineLimits& limits, std::int64_t events) {
    const quickthorn_library made = library();
    const EventSchema fields = schema();
    Engine engine(made, fields, Calibration{}, std::nullopt, Policy{}, limits);
    EventRow row(fields);
    Replayed found{std::vector<double>(static_cast<std::size_t>(events) * feature_count), {}, {}, 0};
    for (std::int64_t number = 0; number < events; ++number) {
        const std::span vector(found.vectors.data() + static_cast<std::size_t>(number) * feature_count, feature_count);
        if (fill(number, row).fault != Fault::none) {
            engine.count_invalid();
            std::ranges::fill(vector, std::numeric_limits<double>::quiet_NaN());
            found.statuses.push_back(Status::invalid);
            continue;
        }
        found.statuses.push_back(engine.replay(row, vector));
    }
    found.counters = engine.counters();
    found.keys = engine.keys();
    return found;
}

Replayed shared(const EngineLimits& limits, std::int64_t events, unsigned threads, std::int64_t batch) {
    const quickthorn_library made = library();
    const EventSchema fields = schema();
    Engine engine(made, fields, Calibration{}, std::nullopt, Policy{}, limits);
    SharedReplay replay(engine, threads);
    Replayed found{std::vector<double>(static_cast<std::size_t>(events) * feature_count), {}, {}, 0};
    std::vector<double> by_feature(found.vectors.size());
    const FeatureColumns columns(by_feature.data(), static_cast<std::size_t>(events), feature_count);
    for (std::int64_t first = 0; first < events; first += batch) {
        const std::int64_t count = std::min(batch, events - first);
        std::vector<std::uint8_t> statuses(static_cast<std::size_t>(count));
        std::vector<SharedReplay::Refused> refused;
        const auto read = [&](std::int64_t from, std::span<const std::unique_ptr<EventRow>> rows,
                              std::span<EventFault> faults) {
            for (std::size_t i = 0; i < rows.size(); ++i) {
                faults[i] = fill(first + from + static_cast<std::int64_t>(i), *rows[i]);
            }
        };
        replay.run(count, read, columns.from(static_cast<std::size_t>(first)), statuses, refused);
        std::int64_t refused_before = 0;
        for (std::int64_t number = 0; number < count; ++number) {
            found.statuses.push_back(static_cast<Status>(statuses[static_cast<std::size_t>(number)]));
            if (found.statuses.back() != Status::invalid) continue;
            // In order, with what is wrong.
            const auto& [which, fault] = refused.at(static_cast<std::size_t>(refused_before++));
            CHECK(which == number && fault.fault != Fault::none);
        }
        CHECK(refused_before == static_cast<std::int64_t>(refused.size()));
    }
    for (std::size_t i = 0; i < by_feature.size(); ++i) {
        const std::size_t event = i % static_cast<std::size_t>(events);
        found.vectors[event * feature_count + i / static_cast<std::size_t>(events)] = by_feature[i];
    }
    found.counters = engine.counters();
    found.keys = engine.keys();
    return found;
}

void any_number_of_threads_gives_what_one_event_after_the_other_gives(const EngineLimits& limits) {
    constexpr std::int64_t events = 3000;
    const Replayed expected = one_by_one(limits, events);
    for (const unsigned threads : {1u, 2u, 3u, 8u}) {
        CHECK(shared(limits, events, threads, events) == expected);
        CHECK(shared(limits, events, threads, 700) == expected);
    }
    CHECK(expected.counters.duplicates > 0 && expected.counters.invalid > 0 && expected.counters.late_left_out > 0);
}

EngineLimits ample() {
    EngineLimits limits;
    limits.history.max_keys = 1000;
    limits.history.lateness_us = plain::day_us / 10;
    limits.history_bytes = 1 << 24;
    limits.remembered_ids = 100;
    return limits;
}

}  // namespace

int main() {
    any_number_of_threads_gives_what_one_event_after_the_other_gives(ample());

    EngineLimits few_rows = ample();
    few_rows.history.row_limit = 5;
    few_rows.history.expire_after_us = plain::day_us;
    few_rows.history.max_keys = 30;
    any_number_of_threads_gives_what_one_event_after_the_other_gives(few_rows);

    // Row space runs out in the middle of a chunk: which rows are left out is a matter of all groups together.
    EngineLimits little_space = ample();
    little_space.history_bytes = 1 << 15;
    CHECK(one_by_one(little_space, 3000).counters.out_of_space > 0);
    any_number_of_threads_gives_what_one_event_after_the_other_gives(little_space);
}

// Times the feature stage of a compiled bundle from C++: read and update, one event at a time.
//
//   feature_timer LIBRARY ENTITIES KEYS EVENTS_PER_KEY SPAN_US CALLS SWEPT_CALLS
//
// The library is of an event with an id, an event time, so many entities and one amount, in this order. Every entity
// has KEYS keys, which are all seen before anything is timed. Prints one JSON object.
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "quickthorn/engine.hpp"

namespace {

using namespace quickthorn;

constexpr std::size_t swept_bytes = std::size_t{64} << 20;
constexpr std::size_t prepared = 256;  // events that are filled before any of them is timed

std::uint64_t ticks() {
    unsigned processor;
    _mm_lfence();
    const std::uint64_t now = __rdtscp(&processor);
    _mm_lfence();
    return now;
}

double now_s() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double ns_per_tick() {
    const double begun = now_s();
    const std::uint64_t first = ticks();
    while (now_s() - begun < 0.05) {}
    const std::uint64_t last = ticks();
    return (now_s() - begun) * 1e9 / static_cast<double>(last - first);
}

std::uint64_t resident_bytes() {
    std::ifstream file("/proc/self/statm");
    std::uint64_t size = 0;
    std::uint64_t resident = 0;
    file >> size >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// A fixed sequence (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct Random {
    std::uint64_t state = 1;
    std::uint64_t next() {
        std::uint64_t mixed = (state += 0x9e3779b97f4a7c15);
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        return mixed ^ (mixed >> 31);
    }
};

EventSchema schema_of(std::size_t entities) {
    std::vector<FieldSpec> fields(entities + 3);
    fields[0].name = "event_id";
    fields[0].kind = FieldKind::id;
    fields[1].name = "at";
    fields[1].kind = FieldKind::event_time;
    for (std::size_t entity = 0; entity < entities; ++entity) {
        fields[2 + entity].name = "entity_" + std::to_string(entity);
        fields[2 + entity].kind = FieldKind::entity;
    }
    fields.back().name = "amount";
    fields.back().kind = FieldKind::money;
    return {std::move(fields), HashKey{1, 2}};
}

// A stream of events, spread so that a key has one every `interval_us` on average.
class Stream {
public:
    Stream(std::size_t entities, std::uint64_t keys, std::int64_t interval_us)
        : entities_(entities),
          keys_(keys),
          interval_us_(interval_us) {}

    // The key of each entity is drawn, or in a round through all of them given.
    void fill(EventRow& row, std::uint64_t round_key, bool drawn) {
        ++number_;
        row.set_integer(0, static_cast<std::int64_t>(number_));
        row.set_time_us(
            1, start_us + static_cast<std::int64_t>(static_cast<double>(number_) * static_cast<double>(interval_us_) /
                                                    static_cast<double>(keys_)));
        for (std::size_t entity = 0; entity < entities_; ++entity) {
            const std::uint64_t key = drawn ? random_.next() % keys_ : round_key;
            row.set_integer(2 + entity, static_cast<std::int64_t>(key));
        }
        row.set_minor_units(2 + entities_, static_cast<std::int64_t>(random_.next() % 100'000));
    }

private:
    static constexpr std::int64_t start_us = 1'785'000'000'000'000;
    std::size_t entities_;
    std::uint64_t keys_;
    std::int64_t interval_us_;
    std::uint64_t number_ = 0;
    Random random_;
};

void sweep(std::vector<unsigned char>& swept) {
    static volatile unsigned sink;
    unsigned sum = 0;
    for (std::size_t byte = 0; byte < swept.size(); byte += 64) sum += swept[byte];
    sink = sum;
}

void print(const char* name, std::vector<double> taken_ns) {
    std::sort(taken_ns.begin(), taken_ns.end());
    const auto at = [&](double share) {
        return taken_ns[static_cast<std::size_t>(share * static_cast<double>(taken_ns.size() - 1))];
    };
    std::printf("\"%s\": {\"calls\": %zu, \"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f}, ", name, taken_ns.size(),
                at(0.5), at(0.99), at(0.999));
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 8) {
        std::fprintf(stderr, "usage: feature_timer LIBRARY ENTITIES KEYS EVENTS_PER_KEY SPAN_US CALLS SWEPT_CALLS\n");
        return 2;
    }
    const auto number = [&](int place) { return std::strtoull(arguments[place], nullptr, 10); };
    std::ifstream file(arguments[1], std::ios::binary);
    const std::vector<char> image{std::istreambuf_iterator<char>(file), {}};
    const Library library(std::as_bytes(std::span(image)));
    const auto entities = static_cast<std::size_t>(number(2));
    const std::uint64_t keys = number(3);
    const std::uint64_t events_per_key = number(4);
    const auto calls = static_cast<std::size_t>(number(6));
    const auto swept_calls = static_cast<std::size_t>(number(7));
    const EventSchema schema = schema_of(entities);
    EngineLimits limits;
    limits.history.max_keys = static_cast<std::uint32_t>(keys);
    limits.remembered_ids = 1u << 17;
    const double tick_ns = ns_per_tick();
    const std::uint64_t before_bytes = resident_bytes();
    Engine engine(library.entry(), schema, Calibration{}, std::nullopt, Policy{}, limits);
    std::vector<double> vector(engine.feature_count());
    Stream stream(entities, keys, static_cast<std::int64_t>(number(5) / events_per_key));

    std::vector<std::unique_ptr<EventRow>> rows;
    for (std::size_t row = 0; row < prepared; ++row) rows.push_back(std::make_unique<EventRow>(schema));
    const double begun_s = now_s();
    for (std::uint64_t event = 0; event < keys * events_per_key; ++event) {
        // The first round meets every key once; from then on they come as they are drawn.
        stream.fill(*rows[0], event, event >= keys);
        engine.replay(*rows[0], vector);
    }
    const double warm_s = now_s() - begun_s;
    const std::uint64_t grown_bytes = resident_bytes() - before_bytes;

    std::vector<double> hot_ns;
    double checksum = 0;
    for (std::size_t done = 0; done < calls; done += prepared) {
        for (auto& row : rows) stream.fill(*row, 0, true);
        for (auto& row : rows) {
            const std::uint64_t begun = ticks();
            engine.replay(*row, vector);
            hot_ns.push_back(static_cast<double>(ticks() - begun) * tick_ns);
            for (const double value : vector) checksum += value == value ? value : 0.0;
        }
    }
    std::vector<unsigned char> swept(swept_bytes, 1);
    std::vector<double> swept_ns;
    for (std::size_t done = 0; done < swept_calls; ++done) {
        EventRow& row = *rows[0];
        stream.fill(row, 0, true);
        sweep(swept);
        const std::uint64_t begun = ticks();
        engine.replay(row, vector);
        swept_ns.push_back(static_cast<double>(ticks() - begun) * tick_ns);
    }
    std::printf("{");
    print("hot", hot_ns);
    if (!swept_ns.empty()) print("swept", swept_ns);
    std::printf(
        "\"keys\": %llu, \"warm_events\": %llu, \"warm_s\": %.2f, \"grown_bytes\": %llu, \"checksum\": %.17g}\n",
        static_cast<unsigned long long>(engine.keys()), static_cast<unsigned long long>(keys * events_per_key), warm_s,
        static_cast<unsigned long long>(grown_bytes), checksum);
    return 0;
}

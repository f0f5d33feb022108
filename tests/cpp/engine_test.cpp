#include "quickthorn/engine.hpp"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#include "check.hpp"
#include "plain_library.hpp"

// Every allocation of this program is counted; inside a decision there may be none.
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

EngineLimits small_limits() {
    EngineLimits limits;
    limits.history.max_keys = 1000;
    limits.history_bytes = 1 << 22;
    limits.remembered_ids = 5000;
    return limits;
}

const Calibration sigmoid{Link::sigmoid, 1.0};
constexpr Outcome approve = 0, review = 1, decline = 2;

Policy two_thresholds() {
    Policy policy;
    policy.outcome_count = 3;
    policy.thresholds.count = 2;
    policy.thresholds.steps[0] = {0.99, decline};
    policy.thresholds.steps[1] = {0.9, review};
    policy.fallback.back() = review;
    return policy;
}

const Policy policy = two_thresholds();

void decides_as_the_sentence_reads() {
    const EventSchema schema = plain::schema();
    Engine engine(plain::library, schema, sigmoid, std::nullopt, policy, small_limits());
    EventRow event(schema);
    plain::fill(event, 1, 1000, 7, 500);
    const Verdict first = engine.decide(event);
    CHECK(first.margin == 1.5);  // one event, 500 minor units, the current one included
    CHECK(first.score == 1.0 / (1.0 + std::exp(-1.5)));
    CHECK(first.outcome == approve && first.status == Status::ok);

    plain::fill(event, 2, 2000, 7, 800);
    CHECK(engine.score(event).margin == 3.3);
    CHECK(engine.score(event).margin == 3.3);  // reading changes nothing
    const Verdict second = engine.decide(event);
    CHECK(second.margin == 3.3 && second.outcome == review);

    const Verdict retried = engine.decide(event);  // already in its windows, and not counted again
    CHECK(retried.status == Status::duplicate && retried.margin == 3.3);
    CHECK(engine.counters().duplicates == 1);

    plain::fill(event, 3, 1500, 7, 100);
    CHECK(engine.decide(event).status == Status::late);
    CHECK(engine.counters().late_left_out == 1);
}

void a_kill_switch_goes_before_everything() {
    const EventSchema schema = plain::schema();
    Engine engine(plain::library, schema, sigmoid, std::nullopt, policy, small_limits());
    EventRow event(schema);
    plain::fill(event, 1, 1000, 7, 500);
    engine.set_kill_switch(decline);
    const Verdict killed = engine.decide(event);
    CHECK(killed.outcome == decline && killed.rule == static_cast<std::int32_t>(Fixed::kill_switch));
    CHECK(killed.margin == 1.5);
    CHECK(engine.decide_invalid().outcome == decline);
    engine.release_kill_switch();
    CHECK(engine.score(event).outcome == approve);
    CHECK(engine.decide_invalid().outcome == review && engine.counters().invalid == 2);
}

void knots_stand_in_for_the_link() {
    const EventSchema schema = plain::schema();
    const std::vector<double> x = {0.0, 1.5, 3.0}, y = {0.0, 0.95, 1.0};
    Engine engine(plain::library, schema, sigmoid, KnotTable(x, y), policy, small_limits());
    EventRow event(schema);
    plain::fill(event, 1, 1000, 7, 500);
    const Verdict verdict = engine.decide(event);
    CHECK(verdict.score == 0.95 && verdict.outcome == review);
}

void an_event_without_its_entity_has_missing_values() {
    const EventSchema schema = plain::schema();
    Engine engine(plain::library, schema, sigmoid, std::nullopt, policy, small_limits());
    EventRow event(schema);
    plain::fill(event, 1, 1000, 7, 500);
    CHECK(event.set_missing(2) == Fault::none);
    double vector[2];
    CHECK(engine.features(event, vector) == Status::ok);
    CHECK(std::isnan(vector[0]) && std::isnan(vector[1]));
    engine.decide(event);
    CHECK(engine.keys() == 0);
}

void allocates_nothing_after_construction() {
    const EventSchema schema = plain::schema();
    Engine engine(plain::library, schema, sigmoid, std::nullopt, policy, small_limits());
    EventRow event(schema);
    const std::uint64_t before = allocations.load();
    for (std::int64_t i = 0; i < 20'000; ++i) {
        plain::fill(event, i, i * 1'000'000, i % 1200, i % 900);
        engine.decide(event);
        engine.score(event);
        plain::fill(event, -i, i * 1'000'000, i % 700, 3);
        engine.observe(event);
    }
    CHECK(allocations.load() == before);
    CHECK(engine.counters().out_of_space > 0);  // the limits were met on the way, and nothing broke
}

void threads_take_turns() {
    const EventSchema schema = plain::schema();
    Engine engine(plain::library, schema, sigmoid, std::nullopt, policy, small_limits());
    constexpr int threads = 4;
    constexpr std::int64_t events = 2000;
    std::vector<std::thread> running;
    for (int thread = 0; thread < threads; ++thread) {
        running.emplace_back([&, thread] {
            EventRow event(schema);
            for (std::int64_t i = 0; i < events; ++i) {
                plain::fill(event, thread * events + i, 1'000'000, 1, 1);
                if (thread == 0) engine.give_way();
                engine.decide(event);
                if (i % 100 == 0) (void)engine.counters();
            }
        });
    }
    for (std::thread& thread : running) thread.join();
    CHECK(engine.counters().decided == threads * events);
    EventRow event(schema);
    plain::fill(event, -1, 1'000'000, 1, 1);
    double vector[2];
    engine.features(event, vector);
    CHECK(vector[0] == threads * events + 1);
}

}  // namespace

int main() {
    decides_as_the_sentence_reads();
    a_kill_switch_goes_before_everything();
    knots_stand_in_for_the_link();
    an_event_without_its_entity_has_missing_values();
    allocates_nothing_after_construction();
    threads_take_turns();
}

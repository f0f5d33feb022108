// Replay of many events by several threads, with the results of one event after the other.
#pragma once

#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "quickthorn/arrow_events.hpp"
#include "quickthorn/engine.hpp"
#include "quickthorn/feature_columns.hpp"

namespace quickthorn {

// What an entity, or a component, holds depends on the events that came to it, in their order, and on nothing that is
// kept elsewhere. So the work is shared by what it changes: each group of entities and each component is taken by one
// thread, which takes it through all events of a chunk. What events have in common, their ids and the engine's clock,
// goes before that, in order and on one thread; reading events and deriving features are shared by events. Whatever the
// number of threads, every value is computed from the same rows by the same instructions.
//
// One limit is common to all groups: the space for rows. Where a chunk might use it up, its events go one by one.
class SharedReplay {
public:
    // Reads the events of number first, first + 1 and so on into the rows, and says what is wrong with each. Called
    // from any of the threads.
    using ReadEvents = std::function<void(std::int64_t first, std::span<const std::unique_ptr<EventRow>> rows,
                                          std::span<EventFault> faults)>;

    SharedReplay(Engine& engine, unsigned threads);

    // An event that no row could be made of, by its number.
    struct Refused {
        std::int64_t number;
        EventFault fault;
    };

    // Replays events 0 to count − 1; writes the features of each, missing where it is invalid, and its Status, and adds
    // what is wrong with those that are invalid, in order.
    void run(std::int64_t count, const ReadEvents& read_events, const FeatureColumns& columns,
             std::span<std::uint8_t> statuses, std::vector<Refused>& refused);

private:
    static constexpr std::int64_t chunk_events = 512;
    // How many events before its turn the parts of an event's memory are fetched, each found through the one before.
    static constexpr std::size_t bucket_ahead = 16, record_ahead = 12, next_record_ahead = 9, third_record_ahead = 6,
                                 rows_ahead = 4;

    struct Common {
        std::int64_t clock_us = 0;  // of the engine when the event came
        bool valid = false;
        bool duplicate = false;
    };
    // What storing an event did to one group or component.
    struct Effect {
        bool late = false;
        Stored stored = Stored::in_order;
        Linked linked = Linked::in_order;
        bool happened = false;
    };
    struct Call {
        std::int64_t count;
        const ReadEvents& read_events;
        const FeatureColumns& columns;
        std::span<std::uint8_t> statuses;
        std::vector<Refused>& refused;

        void set(std::size_t number, Status status) const { statuses[number] = static_cast<std::uint8_t>(status); }
        void refuse(std::size_t number, const EventFault& fault) const {
            set(number, Status::invalid);
            refused.push_back({static_cast<std::int64_t>(number), fault});
        }
    };

    void work(unsigned thread, const Call& call, std::barrier<>& together);
    void read(unsigned thread, const Call& call);
    void meet(const Call& call);
    bool space_may_run_out() const;
    void go_one_by_one(const Call& call);
    void take_unit(std::size_t unit);
    void take_group(std::size_t unit, EntityHistory& history);
    void fetch_ahead(EntityHistory& history, std::span<Engine::Key> keys, std::size_t place);
    void take_component(std::size_t unit, Components& components);
    void derive(unsigned thread, const Call& call);
    void count_effects();
    Status status_of(std::size_t place);
    std::size_t number_of(std::size_t place) const { return static_cast<std::size_t>(first_) + place; }

    EventView view_of(std::size_t place) const;
    Effect& effect(std::size_t unit, std::size_t place) { return effects_[unit * chunk_events + place]; }
    double* values_of(std::size_t place) { return values_.data() + place * engine_.library_.value_count; }
    // A thread's share of the chunk's events.
    std::pair<std::size_t, std::size_t> share(unsigned thread) const;

    Engine& engine_;
    unsigned threads_;
    std::size_t units_;
    std::vector<std::unique_ptr<EventRow>> rows_;
    std::vector<Common> common_;
    std::vector<Effect> effects_;
    std::vector<double> values_;
    std::vector<Engine::Key> keys_;  // per group and event of the chunk
    std::vector<EventFault> faults_;
    std::vector<double> vectors_;  // FeatureColumns::at_once for each thread
    std::int64_t first_ = 0;       // number of the chunk's first event
    std::size_t events_ = 0;       // in the chunk
    bool one_by_one_ = false;
    std::atomic<std::size_t> next_unit_{0};
};

}  // namespace quickthorn

// event → features → forest → calibration → decision.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "quickthorn/calibration.hpp"
#include "quickthorn/decision.hpp"
#include "quickthorn/entity_history.hpp"
#include "quickthorn/event_fields.hpp"
#include "quickthorn/forest.hpp"
#include "quickthorn/library.hpp"
#include "quickthorn/seen_ids.hpp"

namespace quickthorn {

struct EngineLimits {
    HistoryLimits history;
    std::uint32_t remembered_ids = 1u << 20;
    std::size_t history_bytes = std::size_t{16} << 30;  // row space shared by all groups
};

struct Verdict {
    double score = 0;
    double margin = 0;
    Outcome outcome = Outcome::approve;
    Status status = Status::ok;
};

// How often what happened since load.
struct Counters {
    std::uint64_t decided = 0;
    std::uint64_t scored = 0;
    std::uint64_t observed = 0;
    std::uint64_t invalid = 0;
    std::uint64_t duplicates = 0;
    std::uint64_t late_in_place = 0;   // rows put where they belong, per entity
    std::uint64_t late_left_out = 0;   // rows older than the lateness allows, per entity
    std::uint64_t over_row_limit = 0;  // rows that cost an older one its place, per entity
    std::uint64_t out_of_space = 0;    // rows left out for want of keys or row space
    std::uint64_t reclaimed_keys = 0;  // entities that expired and whose memory is free again
};

// One bundle at work. Allocates at construction and never again. Any thread may call; calls run one at a time, and a
// batch lets waiting decisions through between its chunks.
class Engine {
public:
    Engine(const quickthorn_library& library, const EventSchema& schema, const Calibration& calibration,
           const Policy& policy, const EngineLimits& limits);

    const EventSchema& schema() const { return schema_; }
    const Policy& policy() const { return policy_; }
    std::uint32_t feature_count() const { return library_.feature_count; }
    bool has_forest() const { return forest_.has_value(); }
    const Forest& forest() const { return *forest_; }
    Counters counters() const;
    std::uint64_t keys() const;
    std::size_t history_bytes_used() const;

    // Read, score, then update.
    Verdict decide(const EventRow& event);
    // Read and score only.
    Verdict score(const EventRow& event);
    // Update only.
    Status observe(const EventRow& event);
    // Read only: the feature vector as it stands at the event's time.
    Status features(const EventRow& event, std::span<double> vector);
    // Read, then update: what replay does for every event.
    Status replay(const EventRow& event, std::span<double> vector);

    // An event that no row could be made of.
    void count_invalid();

    // Where a batch lets decisions through that wait for the engine.
    void give_way() const;

private:
    // An event met with what is remembered of its id and its entities.
    struct Meeting {
        Status status = Status::ok;
        bool duplicate = false;
    };

    class Turn;

    // The key of an event in one group: its entity's hash, or several entities' together.
    struct Key {
        Hash128 hash;
        bool present = false;         // false where an entity is missing
        KeyRecord* entity = nullptr;  // null when never seen
    };

    EventView view_of(const EventRow& event) const {
        return {event.time_us(), event.slots(), event.hashes(), clock_us_};
    }
    void prefetch(const EventRow& event);
    Meeting meet(const EventRow& event);
    Meeting read_features(const EventRow& event);
    Verdict decide_on(const Meeting& meeting);
    Status update(const EventRow& event, const Meeting& meeting);
    void count(Stored stored);

    const quickthorn_library& library_;
    const EventSchema& schema_;
    std::optional<Forest> forest_;
    Policy policy_;
    Region region_;
    SeenIds seen_ids_;
    RowSpace row_space_;
    std::vector<EntityHistory> histories_;
    std::vector<Key> keys_;                           // of the event at hand, per group
    std::vector<double> values_;                      // what the groups keep, read
    std::vector<double> vector_;                      // the feature vector
    std::int64_t clock_us_ = std::int64_t{-1} << 62;  // the largest time of an event that was let in
    Counters counters_;
    mutable std::mutex turn_;
    mutable std::atomic<int> waiting_{0};
};

}  // namespace quickthorn

// event → features → forest → calibration → decision.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "quickthorn/calibration.hpp"
#include "quickthorn/decision.hpp"
#include "quickthorn/engine_state.hpp"
#include "quickthorn/event_fields.hpp"
#include "quickthorn/forest.hpp"
#include "quickthorn/knot_table.hpp"
#include "quickthorn/library.hpp"
#include "quickthorn/reasons.hpp"

namespace quickthorn {

// One bundle at work. Allocates at construction and never again. Any thread may call; calls run one at a time, and a
// batch lets waiting decisions through between its chunks.
class Engine {
public:
    // Without knots, scores are what the forest's link makes of its margins.
    Engine(const quickthorn_library& library, const EventSchema& schema, const Calibration& link,
           const std::optional<KnotTable>& knots, const Policy& policy, const EngineLimits& limits);

    const EventSchema& schema() const { return schema_; }
    const Policy& policy() const { return policy_; }
    std::uint32_t feature_count() const { return library_.feature_count; }
    bool has_forest() const { return forest_.has_value(); }
    const Forest& forest() const { return *forest_; }
    Counters counters() const;
    std::uint64_t keys() const;
    std::size_t history_bytes_used() const;
    std::uint32_t remembered_ids() const;

    // Read, score, then update.
    Verdict decide(const EventRow& event, Explanation& explanation);
    // Read and score only.
    Verdict score(const EventRow& event, Explanation& explanation);
    Verdict decide(const EventRow& event) {
        Explanation none;
        return decide(event, none);
    }
    Verdict score(const EventRow& event) {
        Explanation none;
        return score(event, none);
    }
    // Update only.
    Status observe(const EventRow& event);
    // Read only: the feature vector as it stands at the event's time.
    Status features(const EventRow& event, std::span<double> vector);
    // Read, then update: what replay does for every event.
    Status replay(const EventRow& event, std::span<double> vector);

    // Whether the bundle has features of labels; without them no label is taken.
    bool takes_labels() const { return takes_labels_; }
    // Whether the event is remembered, so that a label can be told of it.
    bool knows(const Hash128& event) const;
    // From its time on the label is known. False, and nothing has changed, where the event is not remembered.
    bool label(const Label& label);

    // What another party says of a key; `source` is one of library_abi.h's numbers, below source_count().
    Told signal(std::uint32_t source, const Signal& signal);
    std::size_t source_count() const { return state_->signals.size(); }

    // An event that no row could be made of.
    Verdict decide_invalid();
    void count_invalid();

    // Writes the state as it stands between two calls to `file`, as state_snapshot.hpp says; calls wait only until a
    // copy of this process is made. Returns 0, or the errno of what went wrong.
    int save_state(int file) const;
    // A state as a new engine has it.
    std::unique_ptr<EngineState> new_state() const;
    std::size_t state_bytes() const { return state_->region.carved(); }
    // Goes on with that state; what was kept until now comes back in its place.
    void exchange_state(std::unique_ptr<EngineState>& state);

    // Which decisions get reasons, and by which map. Throws LibraryError where the forest has no contributions.
    void set_reasons(ReasonMap reasons);
    const std::optional<ReasonMap>& reasons() const { return reasons_; }

    // While a kill switch is on, every decision has its outcome.
    void set_kill_switch(Outcome outcome) { kill_switch_.store(outcome, std::memory_order_relaxed); }
    void release_kill_switch() { kill_switch_.store(no_outcome, std::memory_order_relaxed); }
    Outcome kill_switch() const { return kill_switch_.load(std::memory_order_relaxed); }

    // Where a batch lets decisions through that wait for the engine.
    void give_way() const;

private:
    friend class SharedReplay;

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
        return {event.time_us(), event.slots(), event.hashes(), state_->totals.clock_us, 0, state_->looked_up.data()};
    }
    // Where the key stays: a copy of one that was just written would wait for its parts.
    static void set_key(const EventRow& event, const quickthorn_group& group, Key& key) {
        key.hash = event.hash(group.entity_slots[0]);
        key.present = event.present(group.entity_slots[0]);
        for (std::uint32_t entity = 1; entity < group.entity_count; ++entity) {
            key.hash = joined(key.hash, event.hash(group.entity_slots[entity]));
            key.present = key.present && event.present(group.entity_slots[entity]);
        }
    }
    // Whether the limits left something out.
    static bool is_capped(Stored stored) { return stored == Stored::over_limit || stored == Stored::out_of_space; }
    static bool is_capped(Linked linked) { return linked == Linked::over_cap || linked == Linked::out_of_space; }
    Status replay_in_turn(const EventRow& event, std::span<double> vector);
    void prefetch(const EventRow& event);
    Meeting meet(const EventRow& event);
    Meeting read_features(const EventRow& event);
    void read_signals(const EventRow& event);
    Verdict decide_on(const EventRow& event);
    void settle(Status status, Verdict& verdict) const;
    void explain_to(const Verdict& verdict, Explanation& explanation);
    Status update(const EventRow& event, const Meeting& meeting);
    void count(Stored stored);
    void count(Linked linked);
    LabelledEvent* remember(const EventRow& event);
    void relabel(LabelledEvent& event, const std::optional<FraudSpan>& before);

    const quickthorn_library& library_;
    const EventSchema& schema_;
    std::optional<Forest> forest_;
    std::optional<KnotTable> knots_;
    Policy policy_;
    EngineLimits limits_;
    std::optional<ReasonMap> reasons_;
    std::vector<double> contributions_;  // of the event at hand, and the expected margin
    std::vector<double> reason_sums_;
    std::atomic<Outcome> kill_switch_{no_outcome};
    std::unique_ptr<EngineState> state_;  // all that is remembered from one event to the next
    bool takes_labels_;
    std::vector<Key> keys_;       // of the event at hand, per group
    std::vector<double> values_;  // what the groups keep, read
    std::vector<double> vector_;  // the feature vector
    mutable std::mutex turn_;
    mutable std::atomic<int> waiting_{0};
};

// One caller's turn with the engine; a batch that sees somebody waiting steps aside between chunks.
class Engine::Turn {
public:
    explicit Turn(const Engine& engine) : engine_(engine) {
        if (engine_.turn_.try_lock()) return;
        engine_.waiting_.fetch_add(1, std::memory_order_relaxed);
        engine_.turn_.lock();
        engine_.waiting_.fetch_sub(1, std::memory_order_relaxed);
    }
    ~Turn() { engine_.turn_.unlock(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

private:
    const Engine& engine_;
};

}  // namespace quickthorn

#include "quickthorn/engine.hpp"

#include <algorithm>
#include <limits>
#include <thread>

#if __has_include(<Python.h>)
#error "the C++ core is built without Python on its include path"
#endif

namespace quickthorn {
namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

std::span<const quickthorn_group> groups_of(const quickthorn_library& library) {
    return {library.groups, library.group_count};
}

std::size_t region_bytes(const quickthorn_library& library, const EngineLimits& limits) {
    std::size_t bytes = SeenIds::bytes(limits.remembered_ids) + limits.history_bytes + 4096;
    for (const quickthorn_group& group : groups_of(library)) {
        bytes += EntityHistory::table_bytes(group, limits.history);
    }
    return bytes;
}

Status worse(Status one, Status other) { return std::max(one, other); }

}  // namespace

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

Engine::Engine(const quickthorn_library& library, const EventSchema& schema, const Calibration& calibration,
               const Policy& policy, const EngineLimits& limits)
    : library_(library),
      schema_(schema),
      policy_(policy),
      region_(region_bytes(library, limits)),
      seen_ids_(region_, limits.remembered_ids),
      row_space_(region_, limits.history_bytes),
      keys_(library.group_count),
      values_(library.value_count, missing),
      vector_(library.feature_count, missing) {
    if (library.forest != nullptr) forest_.emplace(*library.forest, calibration);
    if (library.slot_count != schema.size()) {
        throw LibraryError("library: expected " + std::to_string(schema.size()) + " event fields, found " +
                           std::to_string(library.slot_count));
    }
    histories_.reserve(library.group_count);
    for (const quickthorn_group& group : groups_of(library)) {
        histories_.emplace_back(group, limits.history, region_, row_space_);
    }
}

Verdict Engine::decide(const EventRow& event) {
    const Turn turn(*this);
    ++counters_.decided;
    const Meeting meeting = read_features(event);
    Verdict verdict = decide_on(meeting);
    verdict.status = update(event, meeting);
    return verdict;
}

Verdict Engine::score(const EventRow& event) {
    const Turn turn(*this);
    ++counters_.scored;
    return decide_on(read_features(event));
}

Status Engine::observe(const EventRow& event) {
    const Turn turn(*this);
    ++counters_.observed;
    return update(event, meet(event));
}

Status Engine::features(const EventRow& event, std::span<double> vector) {
    const Turn turn(*this);
    const Meeting meeting = read_features(event);
    std::ranges::copy(vector_, vector.begin());
    return meeting.status;
}

Status Engine::replay(const EventRow& event, std::span<double> vector) {
    const Turn turn(*this);
    ++counters_.observed;
    const Meeting meeting = read_features(event);
    std::ranges::copy(vector_, vector.begin());
    return update(event, meeting);
}

void Engine::count_invalid() {
    const Turn turn(*this);
    ++counters_.invalid;
}

Counters Engine::counters() const {
    const Turn turn(*this);
    Counters counters = counters_;
    for (const EntityHistory& history : histories_) counters.reclaimed_keys += history.reclaimed();
    return counters;
}

std::size_t Engine::history_bytes_used() const {
    const Turn turn(*this);
    return row_space_.used_bytes();
}

std::uint64_t Engine::keys() const {
    const Turn turn(*this);
    std::uint64_t keys = 0;
    for (const EntityHistory& history : histories_) keys += history.keys();
    return keys;
}

void Engine::give_way() const {
    while (waiting_.load(std::memory_order_relaxed) != 0) std::this_thread::yield();
}

// All keys are hashed by the time an event arrives here: their first cache lines are fetched together, not in turn.
void Engine::prefetch(const EventRow& event) {
    seen_ids_.prefetch(event.id());
    for (std::size_t i = 0; i < histories_.size(); ++i) {
        const quickthorn_group& group = histories_[i].group();
        Key& key = keys_[i];
        key.hash = event.hash(group.entity_slots[0]);
        key.present = event.present(group.entity_slots[0]);
        for (std::uint32_t entity = 1; entity < group.entity_count; ++entity) {
            key.hash = joined(key.hash, event.hash(group.entity_slots[entity]));
            key.present = key.present && event.present(group.entity_slots[entity]);
        }
        histories_[i].prefetch(key.hash);
    }
}

Engine::Meeting Engine::meet(const EventRow& event) {
    prefetch(event);
    const EventView view = view_of(event);
    Meeting meeting;
    for (std::size_t i = 0; i < histories_.size(); ++i) {
        Key& key = keys_[i];
        key.entity = key.present ? histories_[i].find(key.hash, view) : nullptr;
        if (key.entity != nullptr && event.time_us() < key.entity->newest_us) meeting.status = Status::late;
    }
    meeting.duplicate = seen_ids_.contains(event.id());
    if (meeting.duplicate) meeting.status = Status::duplicate;
    return meeting;
}

Engine::Meeting Engine::read_features(const EventRow& event) {
    const Meeting meeting = meet(event);
    const EventView view = view_of(event);
    for (std::size_t i = 0; i < histories_.size(); ++i) {
        EntityHistory& history = histories_[i];
        const quickthorn_group& group = history.group();
        if (!keys_[i].present || history.too_late(keys_[i].entity, event.time_us())) {
            std::fill_n(values_.begin() + group.value_first, group.value_count, missing);
            continue;
        }
        // A retried event is in its windows already, as it stands there.
        history.read(keys_[i].entity, view, !meeting.duplicate, values_.data());
    }
    library_.derive(event.slots(), values_.data(), vector_.data());
    return meeting;
}

Verdict Engine::decide_on(const Meeting& meeting) {
    Verdict verdict;
    verdict.margin = forest_->margin(vector_.data());
    verdict.score = forest_->score_of(verdict.margin);
    verdict.outcome = policy_.outcome(verdict.score);
    verdict.status = meeting.status;
    return verdict;
}

Status Engine::update(const EventRow& event, const Meeting& meeting) {
    if (meeting.duplicate) {
        ++counters_.duplicates;
        return meeting.status;
    }
    seen_ids_.remember(event.id());
    const EventView view = view_of(event);
    Status status = meeting.status;
    for (std::size_t i = 0; i < histories_.size(); ++i) {
        if (!keys_[i].present) continue;
        const Stored stored = histories_[i].store(keys_[i].hash, keys_[i].entity, view);
        count(stored);
        if (stored == Stored::over_limit || stored == Stored::out_of_space) status = worse(status, Status::capped);
    }
    clock_us_ = std::max(clock_us_, event.time_us());
    return status;
}

void Engine::count(Stored stored) {
    switch (stored) {
        case Stored::in_order: break;
        case Stored::in_place: ++counters_.late_in_place; break;
        case Stored::too_late: ++counters_.late_left_out; break;
        case Stored::over_limit: ++counters_.over_row_limit; break;
        case Stored::out_of_space: ++counters_.out_of_space; break;
    }
}

}  // namespace quickthorn

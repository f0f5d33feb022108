#include "quickthorn/engine.hpp"

#include <algorithm>
#include <limits>
#include <thread>

#include "quickthorn/state_snapshot.hpp"

#if __has_include(<Python.h>)
#error "the C++ core is built without Python on its include path"
#endif

namespace quickthorn {
namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

std::span<const quickthorn_signal> signals_of(const quickthorn_library& library) {
    return {library.signals, library.signal_count};
}

Status worse(Status one, Status other) { return std::max(one, other); }

}  // namespace

Engine::Engine(const quickthorn_library& library, const EventSchema& schema, const Calibration& link,
               const std::optional<KnotTable>& knots, const Policy& policy, const EngineLimits& limits)
    : library_(library),
      schema_(schema),
      knots_(knots),
      policy_(policy),
      limits_(limits),
      state_(new_state()),
      takes_labels_(state_->labelled_events.any()),
      keys_(library.group_count),
      values_(library.value_count, missing),
      vector_(library.feature_count, missing) {
    if (library.forest != nullptr) forest_.emplace(*library.forest, link);
    policy_.check(library.policy);
    contributions_.resize(std::size_t{library.feature_count} + 1);
    if (library.slot_count != schema.size()) {
        throw LibraryError("library: expected " + std::to_string(schema.size()) + " event fields, found " +
                           std::to_string(library.slot_count));
    }
}

Verdict Engine::decide(const EventRow& event, Explanation& explanation) {
    const Turn turn(*this);
    ++state_->totals.counters.decided;
    const Meeting meeting = read_features(event);
    Verdict verdict = decide_on(event);
    settle(update(event, meeting), verdict);
    explain_to(verdict, explanation);
    return verdict;
}

Verdict Engine::score(const EventRow& event, Explanation& explanation) {
    const Turn turn(*this);
    ++state_->totals.counters.scored;
    const Meeting meeting = read_features(event);
    Verdict verdict = decide_on(event);
    settle(meeting.status, verdict);
    explain_to(verdict, explanation);
    return verdict;
}

Status Engine::observe(const EventRow& event) {
    const Turn turn(*this);
    ++state_->totals.counters.observed;
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
    return replay_in_turn(event, vector);
}

Status Engine::replay_in_turn(const EventRow& event, std::span<double> vector) {
    ++state_->totals.counters.observed;
    const Meeting meeting = read_features(event);
    std::ranges::copy(vector_, vector.begin());
    return update(event, meeting);
}

bool Engine::knows(const Hash128& event) const {
    const Turn turn(*this);
    return state_->seen_ids.contains(event);
}

bool Engine::label(const Label& label) {
    const Turn turn(*this);
    const std::optional<std::uint32_t> place = state_->seen_ids.place(label.event);
    if (!place) {
        ++state_->totals.counters.unknown_labels;
        return false;
    }
    ++state_->totals.counters.labels;
    LabelledEvent& event = state_->labelled_events.at(*place);
    const std::optional<FraudSpan> before = event.changes.known_as_fraud();
    if (event.changes.tell(label.available_us, label.fraud)) relabel(event, before);
    return true;
}

// Keepers of labels in the order of their words: groups, components, then both halves of each entity that is looked up.
void Engine::relabel(LabelledEvent& event, const std::optional<FraudSpan>& before) {
    LabelledEvents& events = state_->labelled_events;
    std::size_t keeper = 0;
    for (EntityHistory& history : state_->histories) {
        const std::uint32_t word = events.word(event, keeper++);
        if (history.keeps_labels()) history.relabel(word, event);
    }
    const std::optional<FraudSpan> after = event.changes.known_as_fraud();
    bool room = true;
    for (Components& components : state_->components) {
        const std::uint32_t word = events.word(event, keeper++);
        if (components.keeps_labels()) room = components.relabel(word, event.arrival, before, after) && room;
    }
    for (KnownFrauds& frauds : state_->known_frauds) {
        const std::uint64_t low = events.word(event, keeper++);
        const std::uint64_t entity = low | std::uint64_t{events.word(event, keeper++)} << 32;
        room = frauds.relabel(entity, before, after) && room;
    }
    if (!room) ++state_->totals.counters.out_of_space;
}

Told Engine::signal(std::uint32_t source, const Signal& signal) {
    const Turn turn(*this);
    Counters& counters = state_->totals.counters;
    ++counters.signals;
    const Told told = state_->signals[source].tell(signal, state_->totals.clock_us);
    if (told == Told::older) ++counters.signals_late;
    if (told == Told::out_of_space) ++counters.out_of_space;
    return told;
}

void Engine::count_invalid() {
    const Turn turn(*this);
    ++state_->totals.counters.invalid;
}

Verdict Engine::decide_invalid() {
    count_invalid();
    Verdict verdict = policy_.invalid();
    settle(Status::invalid, verdict);
    return verdict;
}

Counters Engine::counters() const {
    const Turn turn(*this);
    Counters counters = state_->totals.counters;
    for (const EntityHistory& history : state_->histories) counters.reclaimed_keys += history.reclaimed();
    for (const Components& components : state_->components) counters.reclaimed_keys += components.reclaimed();
    for (const SignalTable& signals : state_->signals) counters.reclaimed_keys += signals.reclaimed();
    return counters;
}

std::size_t Engine::history_bytes_used() const {
    const Turn turn(*this);
    return state_->row_space.used_bytes();
}

std::uint32_t Engine::remembered_ids() const {
    const Turn turn(*this);
    return state_->seen_ids.size();
}

std::uint64_t Engine::keys() const {
    const Turn turn(*this);
    std::uint64_t keys = 0;
    for (const EntityHistory& history : state_->histories) keys += history.keys();
    for (const Components& components : state_->components) keys += components.entities();
    for (const SignalTable& signals : state_->signals) keys += signals.keys();
    return keys;
}

int Engine::save_state(int file) const {
    pid_t writer = 0;
    {
        const Turn turn(*this);
        writer = begin_snapshot(state_->region, file);
    }
    return writer < 0 ? -writer : finish_snapshot(writer);
}

std::unique_ptr<EngineState> Engine::new_state() const { return std::make_unique<EngineState>(library_, limits_); }

void Engine::exchange_state(std::unique_ptr<EngineState>& state) {
    const Turn turn(*this);
    state_.swap(state);
}

void Engine::give_way() const {
    while (waiting_.load(std::memory_order_relaxed) != 0) std::this_thread::yield();
}

// All keys are hashed by the time an event arrives here: what they lead to is fetched for all of them together, not in
// turn. meet() goes on to their rows, so that nothing is waited for once the first kernel runs.
void Engine::prefetch(const EventRow& event) {
    state_->seen_ids.prefetch(event.id());
    const std::span<EntityHistory> histories = state_->histories;
    for (std::size_t i = 0; i < histories.size(); ++i) {
        set_key(event, histories[i].group(), keys_[i]);
        histories[i].prefetch(keys_[i].hash);
    }
    for (Components& components : state_->components) components.prefetch(event.slots(), event.hashes());
    for (const quickthorn_signal& signal : signals_of(library_)) {
        state_->signals[signal.source].prefetch(event.hash(signal.entity_slot));
    }
    for (std::size_t i = 0; i < histories.size(); ++i) histories[i].prefetch_record(keys_[i].hash, keys_[i].entity);
}

Engine::Meeting Engine::meet(const EventRow& event) {
    prefetch(event);
    const EventView view = view_of(event);
    Meeting meeting;
    const std::span<EntityHistory> histories = state_->histories;
    for (std::size_t i = 0; i < histories.size(); ++i) {
        Key& key = keys_[i];
        key.entity = key.present ? histories[i].find(key.hash, view, key.entity) : nullptr;
        if (key.entity == nullptr) continue;
        histories[i].prefetch_rows(*key.entity);
        if (event.time_us() < key.entity->newest_us) meeting.status = Status::late;
    }
    for (Components& components : state_->components) {
        components.find(view);
        if (components.late(event.time_us())) meeting.status = Status::late;
    }
    meeting.duplicate = state_->seen_ids.contains(event.id());
    if (meeting.duplicate) meeting.status = Status::duplicate;
    return meeting;
}

Engine::Meeting Engine::read_features(const EventRow& event) {
    const Meeting meeting = meet(event);
    const EventView view = view_of(event);
    const std::span<EntityHistory> histories = state_->histories;
    for (std::size_t i = 0; i < histories.size(); ++i) {
        EntityHistory& history = histories[i];
        const quickthorn_group& group = history.group();
        if (!keys_[i].present || history.too_late(keys_[i].entity, event.time_us())) {
            std::fill_n(values_.begin() + group.value_first, group.value_count, missing);
            continue;
        }
        // A retried event is in its windows already, as it stands there.
        history.read(keys_[i].entity, view, !meeting.duplicate, values_.data());
    }
    for (Components& components : state_->components) {
        const quickthorn_component& declared = components.declared();
        if (!components.any() || components.too_late(event.time_us())) {
            std::fill_n(values_.begin() + declared.value_first, declared.value_count, missing);
            continue;
        }
        components.read(view, !meeting.duplicate, values_.data());
    }
    read_signals(event);
    library_.derive(event.slots(), values_.data(), vector_.data());
    return meeting;
}

void Engine::read_signals(const EventRow& event) {
    for (const quickthorn_signal& signal : signals_of(library_)) {
        const std::int64_t* known = nullptr;
        if (event.present(signal.entity_slot)) {
            known = state_->signals[signal.source].find(event.hash(signal.entity_slot), event.time_us(),
                                                        state_->totals.clock_us);
        }
        signal.read(known, known != nullptr ? 1 : 0, event.time_us(), values_.data());
    }
}

Verdict Engine::decide_on(const EventRow& event) {
    Verdict verdict;
    verdict.margin = forest_->margin(vector_.data());
    verdict.score = knots_ ? (*knots_)(verdict.margin) : forest_->score_of(verdict.margin);
    policy_.judge(library_.policy, event.slots(), vector_.data(), event.id(), verdict);
    return verdict;
}

void Engine::set_reasons(ReasonMap reasons) {
    const bool fits = forest_ && forest_->has_contributions() && reasons.code_of.size() == library_.feature_count;
    if (!fits) throw LibraryError("reasons: expected a library with contributions for them, found one without");
    for (const std::uint32_t code : reasons.code_of) {
        if (code >= reasons.code_count) throw LibraryError("reasons: a feature has one that is not there");
    }
    reason_sums_.resize(reasons.code_count);
    reasons_ = std::move(reasons);
}

// The vector is still that of the event at hand: storing an event does not touch it.
void Engine::explain_to(const Verdict& verdict, Explanation& explanation) {
    if (!explanation.features.empty()) std::ranges::copy(vector_, explanation.features.begin());
    const bool with_reasons = reasons_ && (reasons_->outcomes >> verdict.outcome & 1u) != 0;
    if (!with_reasons && explanation.contributions.empty()) return;
    forest_->contributions(vector_.data(), contributions_.data());
    if (!explanation.contributions.empty()) std::ranges::copy(contributions_, explanation.contributions.begin());
    if (with_reasons) explain(*reasons_, contributions_, reason_sums_, explanation);
}

// The kill switch goes before everything that the policy says.
void Engine::settle(Status status, Verdict& verdict) const {
    policy_.settle(status, verdict);
    if (const Outcome outcome = kill_switch(); outcome != no_outcome) [[unlikely]] {
        verdict.outcome = outcome;
        verdict.rule = static_cast<std::int32_t>(Fixed::kill_switch);
        verdict.propensity = 1.0;
    }
}

Status Engine::update(const EventRow& event, const Meeting& meeting) {
    if (meeting.duplicate) {
        ++state_->totals.counters.duplicates;
        return meeting.status;
    }
    LabelledEvent* labelled = remember(event);
    EventView view = view_of(event);
    if (labelled != nullptr) view.arrival = labelled->arrival;
    Status status = meeting.status;
    const std::span<EntityHistory> histories = state_->histories;
    for (std::size_t i = 0; i < histories.size(); ++i) {
        if (!keys_[i].present) continue;
        const Stored stored = histories[i].store(keys_[i].hash, keys_[i].entity, view);
        if (labelled != nullptr) state_->labelled_events.word(*labelled, i) = histories[i].label_word(keys_[i].entity);
        count(stored);
        if (is_capped(stored)) status = worse(status, Status::capped);
    }
    std::size_t keeper = histories.size();
    for (Components& components : state_->components) {
        const std::size_t own = keeper++;
        if (!components.any()) continue;
        const Linked linked = components.store(view);
        if (labelled != nullptr) state_->labelled_events.word(*labelled, own) = components.label_word();
        count(linked);
        if (is_capped(linked)) status = worse(status, Status::capped);
    }
    for (const KnownFrauds& frauds : state_->known_frauds) {
        const std::uint64_t entity = frauds.entity_of(view);
        state_->labelled_events.word(*labelled, keeper++) = static_cast<std::uint32_t>(entity);
        state_->labelled_events.word(*labelled, keeper++) = static_cast<std::uint32_t>(entity >> 32);
    }
    state_->totals.clock_us = std::max(state_->totals.clock_us, event.time_us());
    return status;
}

// Remembers the event's id and, where there are features of labels, how a label will find the event; null where not.
LabelledEvent* Engine::remember(const EventRow& event) {
    const std::uint32_t place = state_->seen_ids.remember(event.id());
    return takes_labels() ? &state_->labelled_events.begin(place, event.time_us()) : nullptr;
}

void Engine::count(Stored stored) {
    switch (stored) {
        case Stored::in_order: break;
        case Stored::in_place: ++state_->totals.counters.late_in_place; break;
        case Stored::too_late: ++state_->totals.counters.late_left_out; break;
        case Stored::over_limit: ++state_->totals.counters.over_row_limit; break;
        case Stored::out_of_space: ++state_->totals.counters.out_of_space; break;
    }
}

void Engine::count(Linked linked) {
    switch (linked) {
        case Linked::in_order: break;
        case Linked::in_place: ++state_->totals.counters.late_in_place; break;
        case Linked::too_late: ++state_->totals.counters.late_left_out; break;
        case Linked::over_cap: ++state_->totals.counters.over_cap; break;
        case Linked::out_of_space: ++state_->totals.counters.out_of_space; break;
    }
}

}  // namespace quickthorn

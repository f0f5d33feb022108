#include "quickthorn/shared_replay.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <thread>

namespace quickthorn {
namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

}  // namespace

SharedReplay::SharedReplay(Engine& engine, unsigned threads)
    : engine_(engine),
      threads_(std::max(threads, 1u)),
      units_(engine.state_->histories.size() + engine.state_->components.size()),
      common_(chunk_events),
      effects_(units_ * chunk_events),
      values_(std::size_t{engine.library_.value_count} * chunk_events, missing),
      keys_(engine.state_->histories.size() * chunk_events),
      faults_(chunk_events),
      vectors_(threads_ * FeatureColumns::at_once * engine.feature_count()) {
    for (std::int64_t row = 0; row < chunk_events; ++row) rows_.push_back(std::make_unique<EventRow>(engine.schema()));
}

void SharedReplay::run(std::int64_t count, const ReadEvents& read_events, const FeatureColumns& columns,
                       std::span<std::uint8_t> statuses, std::vector<Refused>& refused) {
    const Call call{count, read_events, columns, statuses, refused};
    first_ = 0;
    std::barrier<> together(threads_);
    std::vector<std::jthread> others;
    for (unsigned thread = 1; thread < threads_; ++thread) {
        others.emplace_back([&, thread] { work(thread, call, together); });
    }
    work(0, call, together);
}

// What each thread does; thread 0 alone does what is in order, while the others wait.
void SharedReplay::work(unsigned thread, const Call& call, std::barrier<>& together) {
    for (std::int64_t first = 0; first < call.count; first += chunk_events) {
        std::optional<Engine::Turn> turn;
        if (thread == 0) {
            engine_.give_way();
            turn.emplace(engine_);
            first_ = first;
            events_ = static_cast<std::size_t>(std::min(chunk_events, call.count - first));
            next_unit_.store(0, std::memory_order_relaxed);
        }
        together.arrive_and_wait();
        read(thread, call);
        together.arrive_and_wait();
        if (thread == 0) {
            one_by_one_ = space_may_run_out();
            if (one_by_one_) {
                go_one_by_one(call);
            } else {
                meet(call);
            }
        }
        together.arrive_and_wait();
        if (!one_by_one_) {
            for (std::size_t unit; (unit = next_unit_.fetch_add(1, std::memory_order_relaxed)) < units_;) {
                take_unit(unit);
            }
            together.arrive_and_wait();
            if (thread == 0) count_effects();
            derive(thread, call);
        }
        together.arrive_and_wait();
    }
}

std::pair<std::size_t, std::size_t> SharedReplay::share(unsigned thread) const {
    return {events_ * thread / threads_, events_ * (thread + 1) / threads_};
}

void SharedReplay::read(unsigned thread, const Call& call) {
    const auto [begin, end] = share(thread);
    call.read_events(first_ + static_cast<std::int64_t>(begin), std::span(rows_).subspan(begin, end - begin),
                     std::span(faults_).subspan(begin, end - begin));
    for (std::size_t place = begin; place < end; ++place) {
        common_[place].valid = faults_[place].fault == Fault::none;
    }
}

// A ring of c rows that takes in n more asks for blocks of at most 2c + 8n rows in all: once the next power of two, and
// whatever comes beyond that is at most four times the rows that came in, with all the blocks on the way twice that. A
// block is rounded up to a cache line.
bool SharedReplay::space_may_run_out() const {
    const EngineState& state = *engine_.state_;
    std::uint64_t bytes = 2 * state.row_space.used_bytes();
    for (const EntityHistory& history : state.histories) {
        bytes += events_ * (8 * std::uint64_t{history.group().row_bytes} + 64);
    }
    return bytes > state.row_space.bytes() - state.row_space.used_bytes();
}

void SharedReplay::go_one_by_one(const Call& call) {
    for (std::size_t place = 0; place < events_; ++place) {
        const std::size_t number = number_of(place);
        if (!common_[place].valid) {
            ++engine_.state_->totals.counters.invalid;
            call.columns.put_missing(number);
            call.refuse(number, faults_[place]);
            continue;
        }
        call.set(number, engine_.replay_in_turn(*rows_[place], vectors_));
        call.columns.put(number, 1, vectors_.data());
    }
}

// The part of an event that all groups have in common: whether its id was seen, and how far the stream has come.
void SharedReplay::meet(const Call& call) {
    EngineState& state = *engine_.state_;
    Counters& counters = state.totals.counters;
    for (std::size_t place = 0; place < events_; ++place) {
        Common& common = common_[place];
        common.clock_us = state.totals.clock_us;
        if (!common.valid) {
            ++counters.invalid;
            call.refuse(number_of(place), faults_[place]);
            continue;
        }
        const EventRow& event = *rows_[place];
        if (place + bucket_ahead < events_) state.seen_ids.prefetch(rows_[place + bucket_ahead]->id(), bucket_ahead);
        ++counters.observed;
        common.duplicate = state.seen_ids.contains(event.id());
        if (common.duplicate) {
            ++counters.duplicates;
            continue;
        }
        state.seen_ids.remember(event.id());
        state.totals.clock_us = std::max(state.totals.clock_us, event.time_us());
    }
}

EventView SharedReplay::view_of(std::size_t place) const {
    const EventRow& event = *rows_[place];
    return {event.time_us(), event.slots(), event.hashes(), common_[place].clock_us};
}

void SharedReplay::take_unit(std::size_t unit) {
    EngineState& state = *engine_.state_;
    const std::size_t groups = state.histories.size();
    if (unit < groups) {
        take_group(unit, state.histories[unit]);
    } else {
        take_component(unit, state.components[unit - groups]);
    }
}

// While the event of this place has its turn, what later ones will look at is on its way.
[[gnu::always_inline]] inline void SharedReplay::fetch_ahead(EntityHistory& history, std::span<Engine::Key> keys,
                                                             std::size_t place) {
    const auto coming = [&](std::size_t ahead, const auto& fetch) {
        if (place + ahead < keys.size()) fetch(keys[place + ahead]);
    };
    coming(bucket_ahead, [&](Engine::Key& key) { history.prefetch(key.hash); });
    coming(record_ahead, [&](Engine::Key& key) { history.prefetch_record(key.hash, key.entity); });
    const auto next_record = [&](Engine::Key& key) { history.prefetch_next_record(key.hash, key.entity); };
    coming(next_record_ahead, next_record);
    coming(third_record_ahead, next_record);
    coming(rows_ahead, [&](Engine::Key& key) { history.prefetch_rows(key.hash, key.entity); });
}

void SharedReplay::take_group(std::size_t unit, EntityHistory& history) {
    const quickthorn_group& group = history.group();
    const std::span<Engine::Key> keys = std::span(keys_).subspan(unit * chunk_events, events_);
    for (std::size_t place = 0; place < events_; ++place) {
        keys[place].entity = nullptr;
        keys[place].present = false;
        if (common_[place].valid) Engine::set_key(*rows_[place], group, keys[place]);
    }
    for (std::size_t place = 0; place < events_; ++place) {
        fetch_ahead(history, keys, place);
        Effect& effect = this->effect(unit, place) = {};
        const Engine::Key& key = keys[place];
        const EventView view = view_of(place);
        KeyRecord* entity = key.present ? history.find(key.hash, view, key.entity) : nullptr;
        effect.late = entity != nullptr && view.at_us < entity->newest_us;
        if (!key.present || history.too_late(entity, view.at_us)) {
            std::fill_n(values_of(place) + group.value_first, group.value_count, missing);
        } else {
            history.read(entity, view, !common_[place].duplicate, values_of(place));
        }
        if (!key.present || common_[place].duplicate) continue;
        effect.stored = history.store(key.hash, entity, view);
        effect.happened = true;
    }
}

void SharedReplay::take_component(std::size_t unit, Components& components) {
    const quickthorn_component& declared = components.declared();
    for (std::size_t place = 0; place < events_; ++place) {
        Effect& effect = this->effect(unit, place) = {};
        if (!common_[place].valid) continue;
        const EventView view = view_of(place);
        components.prefetch(view.slots, view.hashes);
        components.find(view);
        effect.late = components.late(view.at_us);
        if (!components.any() || components.too_late(view.at_us)) {
            std::fill_n(values_of(place) + declared.value_first, declared.value_count, missing);
        } else {
            components.read(view, !common_[place].duplicate, values_of(place));
        }
        if (!components.any() || common_[place].duplicate) continue;
        effect.linked = components.store(view);
        effect.happened = true;
    }
}

void SharedReplay::count_effects() {
    const std::size_t groups = engine_.state_->histories.size();
    for (std::size_t unit = 0; unit < units_; ++unit) {
        for (std::size_t place = 0; place < events_; ++place) {
            const Effect& effect = this->effect(unit, place);
            if (!effect.happened) continue;
            if (unit < groups) {
                engine_.count(effect.stored);
            } else {
                engine_.count(effect.linked);
            }
        }
    }
}

void SharedReplay::derive(unsigned thread, const Call& call) {
    const std::size_t width = engine_.feature_count();
    const std::span<double> vectors = std::span(vectors_).subspan(thread * FeatureColumns::at_once * width);
    const auto [begin, end] = share(thread);
    for (std::size_t place = begin; place < end;) {
        const std::size_t first = place;
        for (; place < std::min(first + FeatureColumns::at_once, end); ++place) {
            double* vector = vectors.data() + (place - first) * width;
            if (common_[place].valid) {
                engine_.library_.derive(rows_[place]->slots(), values_of(place), vector);
            } else {
                std::fill_n(vector, width, missing);
            }
        }
        call.columns.put(number_of(first), place - first, vectors.data());
    }
    for (std::size_t place = begin; place < end; ++place) {
        if (common_[place].valid) call.set(number_of(place), status_of(place));
    }
}

Status SharedReplay::status_of(std::size_t place) {
    if (common_[place].duplicate) return Status::duplicate;
    Status status = Status::ok;
    for (std::size_t unit = 0; unit < units_; ++unit) {
        const Effect& effect = this->effect(unit, place);
        if (effect.late) return Status::late;
        if (Engine::is_capped(effect.stored) || Engine::is_capped(effect.linked)) status = Status::capped;
    }
    return status;
}

}  // namespace quickthorn

#include "quickthorn/entity_history.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>

namespace quickthorn {
EntityHistory::EntityHistory(const quickthorn_group& group, const HistoryLimits& limits, Region& region,
                             RowSpace& space)
    : group_(group),
      limits_(limits),
      sweep_(region.make<Sweep>()),
      table_(region, limits.max_keys, group.state_bytes),
      store_(space, group.row_bytes),
      nobody_(region.at<KeyRecord>(region.carve(sizeof(KeyRecord) + group.state_bytes))),
      scratch_(region.at<std::byte>(region.carve(group.record_bytes))) {}

std::byte* EntityHistory::row(KeyRecord& entity, std::int64_t position) {
    return store_.rows(entity.rows) + static_cast<std::size_t>(position & mask(entity)) * group_.row_bytes;
}

std::int64_t EntityHistory::row_time_us(KeyRecord& entity, std::int64_t position) {
    std::int64_t time_us = 0;
    std::memcpy(&time_us, row(entity, position), sizeof time_us);
    return time_us;
}

// Each line once, as far as that is seen at a glance: what is on its way holds up what comes after it.
void EntityHistory::prefetch_rows(KeyRecord& entity) {
    if (entity.capacity == 0) return;
    const auto fetch = [&](std::int64_t position) {
        const std::byte* place = row(entity, position);
        __builtin_prefetch(place);
        // As it moves on, a window soon comes to the row after next.
        __builtin_prefetch(place + 2 * group_.row_bytes);
    };
    const std::int64_t newest = entity.last - 1;
    __builtin_prefetch(row(entity, entity.last), 1);
    fetch(entity.first);
    fetch(newest);
    const auto* state = static_cast<const std::byte*>(entity.state());
    std::array<std::int64_t, 2> before{entity.first, newest};
    for (std::uint32_t window = 0; window < group_.window_count; ++window) {
        std::array<std::int64_t, 2> ends;
        std::memcpy(ends.data(), state + group_.window_offsets[window], sizeof ends);
        // Windows of one delay end at the same row.
        if (ends[0] != before[0]) fetch(ends[0]);
        if (ends[1] != before[1] && ends[1] < newest) fetch(ends[1]);
        before = ends;
    }
}

void EntityHistory::read(KeyRecord* entity, const EventView& event, bool with_current, double* values) {
    KeyRecord& seen = entity != nullptr ? *entity : *nobody_;
    const void* rows = seen.capacity != 0 ? store_.rows(seen.rows) : nullptr;
    group_.read(seen.state(), scratch_, rows, mask(seen), seen.first, seen.last, event.at_us, with_current ? 1 : 0,
                event.slots, event.hashes, event.frauds, values);
}

Stored EntityHistory::store(const Hash128& hash, KeyRecord*& entity, const EventView& event) {
    const std::int64_t event_us = event.at_us;
    if (entity == nullptr) {
        entity = add(hash, event);
        if (entity == nullptr) return Stored::out_of_space;
    }
    if (too_late(entity, event_us)) return Stored::too_late;

    const bool in_order = event_us >= entity->newest_us;
    shed(*entity, std::max(entity->newest_us, event_us));

    bool over_limit = false;
    if (entity->last - entity->first == limits_.row_limit) {
        // The oldest goes, whichever it is: the ring keeps the newest row_limit rows.
        if (event_us < row_time_us(*entity, entity->first)) return Stored::over_limit;
        drop_oldest(*entity);
        over_limit = true;
    }
    if (entity->last - entity->first == entity->capacity && !grow(*entity)) return Stored::out_of_space;

    put(*entity, event);
    entity->newest_us = std::max(entity->newest_us, event_us);
    if (group_.fold != nullptr) {
        group_.fold(entity->state(), store_.rows(entity->rows), mask(*entity), entity->last,
                    entity->newest_us - limits_.lateness_us);
    }
    if (limits_.expire_after_us != 0) {
        reclaim(records_per_event, std::max(event.clock_us, event_us) - limits_.lateness_us);
    }
    if (over_limit) return Stored::over_limit;
    return in_order ? Stored::in_order : Stored::in_place;
}

KeyRecord* EntityHistory::add(const Hash128& hash, const EventView& event) {
    if (limits_.expire_after_us != 0) {
        // What find() did not show may still be there, expired.
        if (KeyRecord* stale = table_.find(hash); stale != nullptr) forget(*stale);
    }
    KeyRecord* added = table_.insert(hash);
    if (added == nullptr && limits_.expire_after_us != 0) {
        reclaim(records_when_full, std::max(event.clock_us, event.at_us) - limits_.lateness_us);
        added = table_.insert(hash);
    }
    if (added != nullptr) added->newest_us = before_all_time;
    return added;
}

void EntityHistory::forget(KeyRecord& entity) {
    if (entity.capacity != 0) store_.give_back(entity.rows, static_cast<unsigned>(std::countr_zero(entity.capacity)));
    table_.erase(&entity);
    ++sweep_->reclaimed;
}

void EntityHistory::reclaim(std::uint32_t records, std::int64_t at_us) {
    for (std::uint32_t looked_at = 0; looked_at < std::min(records, table_.records()); ++looked_at) {
        const std::uint32_t number = static_cast<std::uint32_t>(sweep_->hand) % table_.records() + 1;
        sweep_->hand = number;
        KeyRecord& candidate = *table_.record(number);
        if (expired(candidate, at_us)) forget(candidate);
    }
}

void EntityHistory::shed(KeyRecord& entity, std::int64_t newest_us) {
    const std::int64_t unreachable_us = newest_us - group_.horizon_us - limits_.lateness_us;
    while (entity.first < entity.last && row_time_us(entity, entity.first) <= unreachable_us) drop_oldest(entity);
}

void EntityHistory::drop_oldest(KeyRecord& entity) {
    assert(entity.first < entity.last);
    group_.release(entity.state(), store_.rows(entity.rows), mask(entity), entity.first);
    ++entity.first;
}

bool EntityHistory::grow(KeyRecord& entity) {
    const unsigned log2_rows =
        entity.capacity == 0 ? first_log2_rows : static_cast<unsigned>(std::countr_zero(entity.capacity)) + 1;
    const auto block = store_.acquire(log2_rows);
    if (!block) return false;

    const std::uint32_t capacity = std::uint32_t{1} << log2_rows;
    std::byte* rows = store_.rows(*block);
    // As many at a time as are next to each other in both rings.
    for (std::int64_t position = entity.first; position < entity.last;) {
        const std::int64_t place = position & (std::int64_t{capacity} - 1);
        const std::int64_t count = std::min({entity.last - position, std::int64_t{capacity} - place,
                                             std::int64_t{entity.capacity} - (position & mask(entity))});
        std::memcpy(rows + static_cast<std::size_t>(place) * group_.row_bytes, row(entity, position),
                    static_cast<std::size_t>(count) * group_.row_bytes);
        position += count;
    }
    if (entity.capacity != 0) store_.give_back(entity.rows, log2_rows - 1);
    entity.rows = *block;
    entity.capacity = capacity;
    return true;
}

void EntityHistory::put(KeyRecord& entity, const EventView& event) {
    // Rows of the same time stay in order of arrival: only strictly newer ones move up.
    std::int64_t position = entity.last;
    for (; position > entity.first && row_time_us(entity, position - 1) > event.at_us; --position) {
        std::memcpy(row(entity, position), row(entity, position - 1), group_.row_bytes);
    }
    std::byte* place = row(entity, position);
    std::memcpy(place, &event.at_us, sizeof event.at_us);
    group_.fill(event.slots, event.hashes, place);
    if (keeps_labels()) *row_label(entity, position) = {event.arrival, {QUICKTHORN_NO_LABEL, QUICKTHORN_NO_LABEL}};
    const bool appended = position == entity.last;
    ++entity.last;
    if (!appended) group_.absorb(entity.state(), store_.rows(entity.rows), mask(entity), position);
}

quickthorn_row_label* EntityHistory::row_label(KeyRecord& entity, std::int64_t position) {
    return reinterpret_cast<quickthorn_row_label*>(row(entity, position) + group_.label_offset);
}

std::optional<std::int64_t> EntityHistory::position_of(KeyRecord& entity, const LabelledEvent& event) {
    std::int64_t low = entity.first;
    std::int64_t high = entity.last;
    while (low < high) {
        const std::int64_t middle = low + (high - low) / 2;
        const std::int64_t at_us = row_time_us(entity, middle);
        const bool before =
            at_us != event.at_us ? at_us < event.at_us : row_label(entity, middle)->arrival < event.arrival;
        (before ? low : high) = before ? middle + 1 : middle;
    }
    // The row may have left, and the record may be another entity's by now: only the event's own number will do.
    if (low == entity.last || row_label(entity, low)->arrival != event.arrival) return std::nullopt;
    return low;
}

void EntityHistory::relabel(std::uint32_t word, const LabelledEvent& event) {
    if (word == 0) return;
    KeyRecord& entity = *table_.record(word);
    if (entity.newest_us == KeyTable::no_time) return;  // forgotten
    const std::optional<std::int64_t> position = position_of(entity, event);
    if (!position) return;
    const void* rows = store_.rows(entity.rows);
    group_.label(entity.state(), rows, mask(entity), *position, -1);
    std::ranges::copy(event.changes.words(), row_label(entity, *position)->changes);
    group_.label(entity.state(), rows, mask(entity), *position, 1);
}

}  // namespace quickthorn

// What one group keeps: for every entity a ring of past rows in event-time order, and the state that reads make of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "quickthorn/key_table.hpp"
#include "quickthorn/labelled_events.hpp"
#include "quickthorn/library_abi.h"
#include "quickthorn/row_store.hpp"

namespace quickthorn {

struct HistoryLimits {
    std::uint32_t max_keys = 1u << 24;  // entities kept per group
    std::uint32_t row_limit = 65'536;   // rows kept per entity
    std::int64_t lateness_us = 0;       // how far behind an entity's newest row a row may still be put in place
    std::int64_t expire_after_us = 0;   // how long after its newest row an entity is forgotten; 0 for never
};

// An event as the library's functions take it.
struct EventView {
    std::int64_t at_us;
    const quickthorn_slot* slots;
    const Hash128* hashes;                            // of identifiers, one place per field
    std::int64_t clock_us;                            // the largest time of an event before this one
    std::int64_t arrival = 0;                         // its number, where labels are kept
    const quickthorn_known_frauds* frauds = nullptr;  // one for each field
};

enum class Stored : std::uint8_t {
    in_order,      // appended as the entity's newest
    in_place,      // older than the newest, within the lateness: put where it belongs
    too_late,      // older than the lateness allows: left out
    over_limit,    // stored or left out at the cost of the oldest row: the ring holds row_limit rows
    out_of_space,  // left out: no more keys or no more row space
};

// Owns keys, order and time; computes nothing. Values come from the library's kernels over memory owned here.
class EntityHistory {
public:
    EntityHistory(const quickthorn_group& group, const HistoryLimits& limits, Region& region, RowSpace& space);

    // Bytes that are carved from the region beside rows.
    static std::size_t table_bytes(const quickthorn_group& group, const HistoryLimits& limits) {
        return sizeof(Sweep) + KeyTable::bytes(limits.max_keys, group.state_bytes) + RowStore::table_bytes +
               sizeof(KeyRecord) + group.state_bytes + group.record_bytes + 256;
    }

    const quickthorn_group& group() const { return group_; }
    std::uint32_t keys() const { return table_.keys(); }

    // What read() and store() will look at, in steps each of which needs what the one before fetched: where the entity
    // is found, the record that is there, the one behind it if it is another's, and of its rows the oldest, the newest,
    // the next and those at which windows begin and end. `known` is a record that may be the entity's, or null, and
    // goes from each step to the next, and at last to find().
    [[gnu::always_inline]] void prefetch(const Hash128& entity) const { table_.prefetch(entity); }
    void prefetch_record(const Hash128& entity, KeyRecord*& known) { known = table_.first_record(entity); }
    void prefetch_next_record(const Hash128& entity, KeyRecord*& known) { known = table_.next_record(entity, known); }
    void prefetch_rows(KeyRecord& entity);
    void prefetch_rows(const Hash128& entity, KeyRecord*& known) {
        if (known == nullptr) return;
        if (known->hash != entity) known = table_.find(entity);
        if (known != nullptr) prefetch_rows(*known);
    }
    // The entity as the event finds it: null for one never seen, or forgotten.
    KeyRecord* find(const Hash128& entity, const EventView& event, KeyRecord* known = nullptr) {
        // A record that was given up since says so, or has another's hash.
        const bool stands = known != nullptr && known->hash == entity && known->newest_us != KeyTable::no_time;
        if (!stands) known = table_.find(entity);
        return known != nullptr && expired(*known, judged_us(event)) ? nullptr : known;
    }
    // Entities that were forgotten and whose memory is free again.
    std::uint64_t reclaimed() const { return sweep_->reclaimed; }

    bool too_late(const KeyRecord* entity, std::int64_t event_us) const {
        return entity != nullptr && event_us < entity->newest_us - limits_.lateness_us;
    }

    // Writes the group's values as of `now_us`; `entity` is null for one never seen.
    void read(KeyRecord* entity, const EventView& event, bool with_current, double* values);

    // Stores one row; `entity` is what find() returned for the hash, and becomes the entity that keeps the row.
    Stored store(const Hash128& hash, KeyRecord*& entity, const EventView& event);

    // Whether rows keep their event's label: a keeper of labels, whose word is the number of the entity's record.
    bool keeps_labels() const { return group_.label != nullptr; }
    std::uint32_t label_word(const KeyRecord* entity) const {
        return entity != nullptr ? table_.number_of(*entity) : 0;
    }

    // The event's label has changed, in its row too where that is still there.
    void relabel(std::uint32_t word, const LabelledEvent& event);

private:
    // New keys start at minus infinity; lateness must not wrap around below it.
    static constexpr std::int64_t before_all_time = std::int64_t{-1} << 62;
    static constexpr unsigned first_log2_rows = 2;
    static constexpr std::uint32_t records_per_event = 2;  // looked at for being expired
    static constexpr std::uint32_t records_when_full = 64;

    std::int64_t mask(const KeyRecord& entity) const { return static_cast<std::int64_t>(entity.capacity) - 1; }
    std::byte* row(KeyRecord& entity, std::int64_t position);
    std::int64_t row_time_us(KeyRecord& entity, std::int64_t position);

    // Expiry is a matter of event time alone: of the event's own, or of how far the stream has come where the event is
    // later than late. So it does not matter when memory is looked through.
    std::int64_t judged_us(const EventView& event) const {
        return std::max(event.at_us, event.clock_us - limits_.lateness_us);
    }
    bool expired(const KeyRecord& entity, std::int64_t at_us) const {
        return limits_.expire_after_us != 0 && entity.newest_us != KeyTable::no_time &&
               at_us - entity.newest_us >= limits_.expire_after_us;
    }
    KeyRecord* add(const Hash128& hash, const EventView& event);
    void forget(KeyRecord& entity);
    void reclaim(std::uint32_t records, std::int64_t at_us);
    void shed(KeyRecord& entity, std::int64_t newest_us);
    void drop_oldest(KeyRecord& entity);
    bool grow(KeyRecord& entity);
    void put(KeyRecord& entity, const EventView& event);
    quickthorn_row_label* row_label(KeyRecord& entity, std::int64_t position);
    std::optional<std::int64_t> position_of(KeyRecord& entity, const LabelledEvent& event);

    // Of the search for expired entities.
    struct Sweep {
        std::uint64_t hand = 0;  // the record that was looked at last
        std::uint64_t reclaimed = 0;
    };

    const quickthorn_group& group_;
    HistoryLimits limits_;
    Sweep* sweep_;
    KeyTable table_;
    RowStore store_;
    KeyRecord* nobody_;  // an empty record: what a never-seen entity reads from
    std::byte* scratch_;
};

}  // namespace quickthorn

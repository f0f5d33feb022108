// Connected components over shared entities: all entities of one event belong together, and so does whatever else was
// ever seen with any of them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "quickthorn/entity_history.hpp"
#include "quickthorn/fraud_counts.hpp"
#include "quickthorn/key_table.hpp"
#include "quickthorn/labelled_events.hpp"
#include "quickthorn/library_abi.h"
#include "quickthorn/region.hpp"

namespace quickthorn {

enum class Linked : std::uint8_t {
    in_order,      // not older than anything its entities belong to
    in_place,      // older, within the lateness
    too_late,      // older than the lateness allows: left out
    over_cap,      // two of its entities were not linked: together they would be more than the cap
    out_of_space,  // an entity was left out: no more memory for entities
};

// Disjoint sets (Galler and Fischer, "An improved equivalence algorithm", 1964), united by size, so that no way to a
// root is longer than the logarithm of the cap; ways are halved where they are gone for an update (van Leeuwen and van
// der Weide, 1977). Sets only ever grow, and what was linked in any order is linked the same: an event that is late is
// linked too, but nothing can be read as of a time before a component's newest event any more.
//
// A component is forgotten as a whole, `expire_after_us` after its newest event. Its entities leave one by one, as they
// are met or come by; the members of a set are a circle, which becomes free as one when the last entity has left.
class Components {
public:
    // `most_labelled`: of how many events labels are taken, where the component keeps them.
    Components(const quickthorn_component& declared, const HistoryLimits& limits, std::uint32_t most_labelled,
               Region& region);

    // Bytes that are carved from the region.
    static std::size_t table_bytes(const quickthorn_component& declared, const HistoryLimits& limits,
                                   std::uint32_t most_labelled);

    const quickthorn_component& declared() const { return declared_; }
    std::uint32_t entities() const { return nodes_.keys(); }
    // Entities that were forgotten and whose memory is free again.
    std::uint64_t reclaimed() const { return extent_->reclaimed; }

    // Takes in the event's entities, which the calls after it are about.
    void prefetch(const quickthorn_slot* slots, const Hash128* hashes);
    // Finds what they belong to.
    void find(const EventView& event);

    bool late(std::int64_t event_us) const { return event_us < newest_us_; }
    bool too_late(std::int64_t event_us) const { return event_us < newest_us_ - limits_.lateness_us; }
    // Whether the event has any of the entities.
    bool any() const { return any_; }

    // Writes the values as of the event's time.
    void read(const EventView& event, bool with_current, double* values);

    // Links the entities.
    Linked store(const EventView& event);

    // Whether frauds are counted: a keeper of labels, whose word is the number of an entity of the event.
    bool keeps_labels() const { return declared_.keeps_labels != 0; }
    // The word of the event that was just stored, or left out.
    std::uint32_t label_word() const { return label_word_; }

    // When the event is known to be fraud was `before` and is `after`. False where there was no room for it.
    bool relabel(std::uint32_t word, std::int64_t arrival, const std::optional<FraudSpan>& before,
                 const std::optional<FraudSpan>& after);

private:
    static constexpr std::int64_t before_all_time = std::int64_t{-1} << 62;
    static constexpr std::uint32_t records_per_event = 2;  // looked at for being expired
    static constexpr std::uint32_t records_when_full = 64;

    // A set, where `parent` is its own number; else one that has become part of another.
    struct Set {
        std::uint32_t parent;
        std::uint32_t next;     // in the circle of all that are part of one set
        std::uint32_t size;     // entities
        std::uint32_t present;  // entities that have not left since it was forgotten
        std::int64_t first_us;
        std::int64_t newest_us;
    };
    struct Node {
        std::uint32_t set;
        std::uint32_t reserved;
    };
    struct Extent {
        std::uint64_t reclaimed = 0;
        std::uint32_t sets = 0;  // given out so far, free ones included
        std::uint32_t free = 0;  // number of a free one, which leads to the others; 0 where there is none
        std::uint64_t hand = 0;  // the entity that was looked at last for being expired
    };
    // An entity of the event at hand.
    struct Place {
        Hash128 hash;
        bool present;
        std::uint32_t set;       // its root; 0 when never seen, or forgotten
        std::uint32_t joined;    // the first place that it is together with once the event is stored
        std::uint32_t entities;  // how many that are, at that first place
    };

    static std::uint32_t most_entities(const quickthorn_component& declared, const HistoryLimits& limits);

    static Node& node_of(KeyRecord& record) { return *static_cast<Node*>(record.state()); }
    std::uint32_t root(std::uint32_t set) const;
    std::uint32_t root_halving(std::uint32_t set);
    bool expired(const Set& set, std::int64_t at_us) const {
        return limits_.expire_after_us != 0 && at_us - set.newest_us >= limits_.expire_after_us;
    }
    // An entity has no rows: where its record would have the position of the first is the number of the event that made
    // it known.
    static std::int64_t& first_arrival(KeyRecord& node) { return node.first; }
    bool count(std::uint32_t set, const std::optional<FraudSpan>& fraud, int sign);
    void join();
    std::uint32_t first_known();
    bool add(Place& place, const EventView& event);
    std::uint32_t unite(std::uint32_t one, std::uint32_t other);
    bool has_room() const;
    std::uint32_t take_set();
    void leave(KeyRecord& node);
    void reclaim(std::uint32_t records, std::int64_t at_us);

    const quickthorn_component& declared_;
    HistoryLimits limits_;
    std::uint32_t most_entities_;
    Extent* extent_;
    KeyTable nodes_;
    Set* sets_;  // by number, from 1
    std::optional<FraudCounts> frauds_;
    std::vector<Place> places_;
    std::vector<quickthorn_member> members_;
    std::int64_t newest_us_ = before_all_time;  // of everything the event's entities belong to
    std::uint32_t label_word_ = 0;
    bool any_ = false;
};

}  // namespace quickthorn

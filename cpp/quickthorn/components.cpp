#include "quickthorn/components.hpp"

#include <algorithm>
#include <utility>

namespace quickthorn {
namespace {

// An event begins to be known as fraud at one time at most, and ceases to be at one.
std::uint32_t most_changes(std::uint32_t most_labelled) { return 2 * most_labelled; }

}  // namespace

std::uint32_t Components::most_entities(const quickthorn_component& declared, const HistoryLimits& limits) {
    const std::uint64_t wanted = std::uint64_t{limits.max_keys} * declared.entity_count;
    return static_cast<std::uint32_t>(std::min(wanted, std::uint64_t{1} << 31));
}

std::size_t Components::table_bytes(const quickthorn_component& declared, const HistoryLimits& limits,
                                    std::uint32_t most_labelled) {
    const std::uint32_t entities = most_entities(declared, limits);
    return sizeof(Extent) + KeyTable::bytes(entities, sizeof(Node)) + sizeof(Set) * (std::size_t{entities} + 1) + 256 +
           (declared.keeps_labels != 0 ? FraudCounts::bytes(entities, most_changes(most_labelled)) : 0);
}

Components::Components(const quickthorn_component& declared, const HistoryLimits& limits, std::uint32_t most_labelled,
                       Region& region)
    : declared_(declared),
      limits_(limits),
      most_entities_(most_entities(declared, limits)),
      extent_(region.make<Extent>()),
      nodes_(region, most_entities_, sizeof(Node)),
      sets_(region.at<Set>(region.carve(sizeof(Set) * (std::size_t{most_entities_} + 1)))),
      places_(declared.entity_count),
      members_(declared.entity_count) {
    if (keeps_labels()) frauds_.emplace(region, most_entities_, most_changes(most_labelled));
}

void Components::prefetch(const quickthorn_slot* slots, const Hash128* hashes) {
    constexpr std::uint64_t weight = 0x9e3779b97f4a7c15;
    for (std::uint32_t place = 0; place < declared_.entity_count; ++place) {
        const std::uint32_t slot = declared_.entity_slots[place];
        // A card and a device of one name are two entities.
        places_[place].hash = {hashes[slot].low + (place + 1) * weight, hashes[slot].high};
        places_[place].present = slots[slot] != 0;
        nodes_.prefetch(places_[place].hash);
    }
}

void Components::find(const EventView& event) {
    any_ = false;
    for (Place& place : places_) {
        KeyRecord* node = place.present ? nodes_.find(place.hash) : nullptr;
        place.set = node != nullptr ? node_of(*node).set : 0;
        __builtin_prefetch(&sets_[place.set]);
        any_ = any_ || place.present;
    }
    newest_us_ = before_all_time;
    const std::int64_t judged_us = std::max(event.at_us, event.clock_us - limits_.lateness_us);
    for (Place& place : places_) {
        if (place.set == 0) continue;
        place.set = root(place.set);
        const Set& set = sets_[place.set];
        if (expired(set, judged_us)) {
            place.set = 0;
        } else {
            newest_us_ = std::max(newest_us_, set.newest_us);
        }
    }
    join();
}

// Every two of the event's entities are linked, in the order they are declared, unless they would be too many together.
void Components::join() {
    const auto count = static_cast<std::uint32_t>(places_.size());
    for (std::uint32_t i = 0; i < count; ++i) {
        Place& place = places_[i];
        place.joined = i;
        place.entities = place.set != 0 ? sets_[place.set].size : 1;
        for (std::uint32_t before = 0; before < i && place.set != 0; ++before) {
            if (places_[before].set == place.set) {
                place.joined = before;
                break;
            }
        }
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        for (std::uint32_t j = i + 1; j < count && places_[i].present; ++j) {
            const std::uint32_t first = std::min(places_[i].joined, places_[j].joined);
            const std::uint32_t other = std::max(places_[i].joined, places_[j].joined);
            if (!places_[j].present || first == other) continue;
            const std::uint64_t together = std::uint64_t{places_[first].entities} + places_[other].entities;
            if (together > declared_.cap) continue;
            places_[first].entities = static_cast<std::uint32_t>(together);
            for (Place& place : places_) {
                if (place.joined == other) place.joined = first;
            }
        }
    }
}

void Components::read(const EventView& event, bool with_current, double* values) {
    for (std::size_t i = 0; i < places_.size(); ++i) {
        const Place& place = places_[i];
        quickthorn_member& member = members_[i];
        member = {place.present ? 1 : 0, place.set, place.joined, 0, 0, 0, 0};
        if (place.set == 0) continue;
        const Set& set = sets_[place.set];
        member.size = set.size;
        member.first_us = set.first_us;
        member.newest_us = set.newest_us;
        if (frauds_) member.fraud_count = frauds_->known_at(place.set, event.at_us);
    }
    declared_.read(members_.data(), event.at_us, with_current ? 1 : 0, values);
}

Linked Components::store(const EventView& event) {
    label_word_ = 0;
    if (too_late(event.at_us)) return Linked::too_late;
    Linked result = late(event.at_us) ? Linked::in_place : Linked::in_order;
    for (Place& place : places_) {
        if (place.present && place.set == 0 && !add(place, event)) result = Linked::out_of_space;
    }
    for (Place& place : places_) {
        if (!place.present || place.set == 0) continue;
        for (Place& before : places_) {
            if (&before == &place || before.set == 0) continue;
            if (before.joined == place.joined) {
                place.set = unite(before.set, place.set);
            } else if (before.present && result != Linked::out_of_space) {
                result = Linked::over_cap;
            }
        }
    }
    for (const Place& place : places_) {
        if (place.set == 0) continue;
        Set& set = sets_[root(place.set)];
        set.first_us = std::min(set.first_us, event.at_us);
        set.newest_us = std::max(set.newest_us, event.at_us);
        if (frauds_) frauds_->settle(root(place.set), set.newest_us);
    }
    if (frauds_) label_word_ = first_known();
    if (limits_.expire_after_us != 0) {
        reclaim(records_per_event, std::max(event.clock_us, event.at_us) - limits_.lateness_us);
    }
    return result;
}

// An event whose entities were not all linked belongs to what the first of them does.
std::uint32_t Components::first_known() {
    for (const Place& place : places_) {
        if (place.set != 0) return nodes_.number_of(*nodes_.find(place.hash));
    }
    return 0;
}

bool Components::relabel(std::uint32_t word, std::int64_t arrival, const std::optional<FraudSpan>& before,
                         const std::optional<FraudSpan>& after) {
    if (word == 0) return true;
    KeyRecord& node = *nodes_.record(word);
    // The entity may have been forgotten since, and the record may be another's by now.
    if (node.newest_us == KeyTable::no_time || first_arrival(node) > arrival) return true;
    const std::uint32_t set = root(node_of(node).set);
    const bool taken_back = count(set, before, -1);
    return count(set, after, 1) && taken_back;
}

bool Components::count(std::uint32_t set, const std::optional<FraudSpan>& fraud, int sign) {
    if (!fraud) return true;
    const std::int64_t settled_us = sets_[set].newest_us;
    if (!frauds_->change(set, fraud->from_us, sign, settled_us)) return false;
    return fraud->until_us == FraudSpan::for_good || frauds_->change(set, fraud->until_us, -sign, settled_us);
}

bool Components::add(Place& place, const EventView& event) {
    if (limits_.expire_after_us != 0) {
        if (KeyRecord* stale = nodes_.find(place.hash); stale != nullptr) {
            // Of a component that has expired; that one is gone from here on, for all its entities.
            sets_[root(node_of(*stale).set)].newest_us = before_all_time;
            leave(*stale);
        }
    }
    if (!has_room() && limits_.expire_after_us != 0) {
        reclaim(records_when_full, std::max(event.clock_us, event.at_us) - limits_.lateness_us);
    }
    if (!has_room()) return false;
    KeyRecord* node = nodes_.insert(place.hash);
    node->newest_us = event.at_us;
    first_arrival(*node) = event.arrival;
    place.set = take_set();
    node_of(*node).set = place.set;
    sets_[place.set] = {place.set, place.set, 1, 1, event.at_us, event.at_us};
    return true;
}

std::uint32_t Components::root(std::uint32_t set) const {
    while (sets_[set].parent != set) set = sets_[set].parent;
    return set;
}

std::uint32_t Components::root_halving(std::uint32_t set) {
    while (sets_[set].parent != set) {
        sets_[set].parent = sets_[sets_[set].parent].parent;
        set = sets_[set].parent;
    }
    return set;
}

std::uint32_t Components::unite(std::uint32_t one, std::uint32_t other) {
    one = root_halving(one);
    other = root_halving(other);
    if (one == other) return one;
    if (sets_[one].size < sets_[other].size) std::swap(one, other);
    Set& kept = sets_[one];
    Set& taken = sets_[other];
    taken.parent = one;
    kept.size += taken.size;
    kept.present += taken.present;
    kept.first_us = std::min(kept.first_us, taken.first_us);
    kept.newest_us = std::max(kept.newest_us, taken.newest_us);
    if (frauds_) frauds_->unite(one, other);
    std::swap(kept.next, taken.next);  // two circles become one
    return one;
}

bool Components::has_room() const {
    return nodes_.keys() < most_entities_ && (extent_->free != 0 || extent_->sets < most_entities_);
}

std::uint32_t Components::take_set() {
    if (extent_->free != 0) return std::exchange(extent_->free, sets_[extent_->free].next);
    return ++extent_->sets;
}

void Components::leave(KeyRecord& node) {
    const std::uint32_t number = root(node_of(node).set);
    nodes_.erase(&node);
    ++extent_->reclaimed;
    Set& set = sets_[number];
    if (--set.present != 0) return;
    if (frauds_) frauds_->clear(number);
    extent_->free = std::exchange(set.next, extent_->free);
}

void Components::reclaim(std::uint32_t records, std::int64_t at_us) {
    for (std::uint32_t looked_at = 0; looked_at < std::min(records, nodes_.records()); ++looked_at) {
        extent_->hand = extent_->hand % nodes_.records() + 1;
        KeyRecord& candidate = *nodes_.record(static_cast<std::uint32_t>(extent_->hand));
        if (candidate.newest_us == KeyTable::no_time) continue;
        if (expired(sets_[root(node_of(candidate).set)], at_us)) leave(candidate);
    }
}

}  // namespace quickthorn

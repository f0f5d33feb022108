// Which entities of one field are known to be fraudulent, and when: what neighbours are looked up in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "quickthorn/entity_history.hpp"
#include "quickthorn/labelled_events.hpp"
#include "quickthorn/library_abi.h"
#include "quickthorn/region.hpp"

namespace quickthorn {

// An open-addressing table that kernels read: an entry for each event that is known to be fraud, by the hash of the
// entity that it was of. Of one entity the few are kept that were known first, so that a look-up has an end.
class KnownFrauds {
public:
    static constexpr std::uint32_t kept_per_entity = 8;

    static std::size_t bytes(std::uint32_t limit);

    // Of the entities in the field at `slot`, with so many entries in all.
    KnownFrauds(Region& region, std::uint32_t slot, std::uint32_t limit);

    // The entity that the event has there, as rows keep it: the low half of its hash, 1 for 0; 0 where it has none.
    std::uint64_t entity_of(const EventView& event) const {
        return event.slots[slot_] == 0 ? 0 : std::max<std::uint64_t>(event.hashes[slot_].low, 1);
    }

    // When an event of the entity is known to be fraud was `before` and is `after`. False where there was no room for
    // it.
    bool relabel(std::uint64_t entity, const std::optional<FraudSpan>& before, const std::optional<FraudSpan>& after) {
        if (entity == 0) return true;
        if (before) remove(entity, *before);
        return !after || add(entity, *after);
    }

    // One more fraud of the entity. False, and nothing has changed, where the table is full.
    bool add(std::uint64_t entity, const FraudSpan& fraud);

    // Takes one back; nothing happens where it is not kept.
    void remove(std::uint64_t entity, const FraudSpan& fraud);

    quickthorn_known_frauds view() const { return {entries_, mask_}; }

private:
    static std::uint64_t slots(std::uint32_t limit);

    std::int64_t home(std::uint64_t entity) const { return static_cast<std::int64_t>(entity >> 32) & mask_; }
    void close(std::int64_t gap);

    std::uint64_t* kept_;
    quickthorn_known_fraud* entries_;
    std::int64_t mask_;
    std::uint32_t slot_;
    std::uint32_t limit_;
};

}  // namespace quickthorn

// Recognises a retried event: remembers the hashes of the last ids that were accepted, and no more.
#pragma once

#include <cstdint>
#include <optional>

#include "quickthorn/identity.hpp"
#include "quickthorn/region.hpp"

namespace quickthorn {

// A first-in first-out ring of hashes with an open-addressing index over it. When the ring is full, remembering one
// more id forgets the oldest.
class SeenIds {
public:
    static std::size_t bytes(std::uint32_t limit);

    SeenIds(Region& region, std::uint32_t limit);

    // The lines that contains() and remember() look at first, where so many other ids come before this one.
    // Inlined always: GCC takes a call of what only prefetches for one without an effect, and drops it.
    [[gnu::always_inline]] void prefetch(const Hash128& id, std::uint32_t others = 0) const {
        __builtin_prefetch(&index_[home(tag(id))], 1);
        // A search may go on into the next line.
        __builtin_prefetch(&index_[(home(tag(id)) + 2) & mask_], 1);
        if (ring_->full == 0) return;
        __builtin_prefetch(&index_[home(tag(ids_[leaving(others)]))], 1);
        __builtin_prefetch(&ids_[leaving(others + far_ahead)]);
    }

    bool contains(const Hash128& id) const { return index_[find(id)] != 0; }

    // How many ids are remembered.
    std::uint32_t size() const { return ring_->full != 0 ? limit_ : ring_->next; }

    // Where the id is remembered, from 0 up to the limit; nothing where it is not.
    std::optional<std::uint32_t> place(const Hash128& id) const {
        const std::uint64_t entry = index_[find(id)];
        return entry != 0 ? std::optional(place_of(entry)) : std::nullopt;
    }

    // Remembers an id that contains() denied, at the returned place.
    std::uint32_t remember(const Hash128& id);

private:
    static constexpr std::uint32_t far_ahead = 64;

    static std::uint32_t index_slots(std::uint32_t limit);

    // Whose place is the next one's once so many others have come.
    std::uint32_t leaving(std::uint32_t others) const {
        const std::uint64_t place = std::uint64_t{ring_->next} + (others < limit_ ? others : others % limit_);
        return static_cast<std::uint32_t>(place < limit_ ? place : place - limit_);
    }

    // An entry of the index is 0, or 1 + the place in ids_ and above that 32 bits of the hash: enough to tell nearly
    // all others from the id that is looked for, and to know where an entry belongs, without a look at a distant hash.
    static std::uint32_t tag(const Hash128& id) { return static_cast<std::uint32_t>(id.high); }
    static std::uint32_t tag_of(std::uint64_t entry) { return static_cast<std::uint32_t>(entry >> 32); }
    static std::uint32_t place_of(std::uint64_t entry) { return static_cast<std::uint32_t>(entry) - 1; }
    static std::uint64_t entry_of(const Hash128& id, std::uint32_t place) {
        return std::uint64_t{tag(id)} << 32 | (place + 1);
    }
    std::uint32_t home(std::uint32_t tag) const { return tag & mask_; }

    // The index slot that holds the id, or the empty one where it belongs.
    std::uint32_t find(const Hash128& id) const;

    // The id at that place, which is remembered.
    void forget(std::uint32_t place);

    struct Ring {
        std::uint32_t next = 0;  // where the next id goes
        std::uint32_t full = 0;  // 1 once an older id has to give way
    };

    Ring* ring_;
    Hash128* ids_;
    std::uint64_t* index_;
    std::uint32_t limit_;
    std::uint32_t mask_;
};

}  // namespace quickthorn

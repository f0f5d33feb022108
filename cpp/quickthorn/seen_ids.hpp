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

    // The lines that contains() and remember() look at first.
    void prefetch(const Hash128& id) const {
        __builtin_prefetch(&index_[home(id)], 1);
        if (ring_->full != 0) __builtin_prefetch(&index_[home(ids_[ring_->next])], 1);
    }

    bool contains(const Hash128& id) const { return index_[find(id)] != 0; }

    // How many ids are remembered.
    std::uint32_t size() const { return ring_->full != 0 ? limit_ : ring_->next; }

    // Where the id is remembered, from 0 up to the limit; nothing where it is not.
    std::optional<std::uint32_t> place(const Hash128& id) const {
        const std::uint32_t entry = index_[find(id)];
        return entry != 0 ? std::optional(entry - 1) : std::nullopt;
    }

    // Remembers an id that contains() denied, at the returned place.
    std::uint32_t remember(const Hash128& id);

private:
    static std::uint32_t index_slots(std::uint32_t limit);

    std::uint32_t home(const Hash128& id) const { return static_cast<std::uint32_t>(id.high) & mask_; }

    // The index slot that holds the id, or the empty one where it belongs.
    std::uint32_t find(const Hash128& id) const;

    void forget(const Hash128& id);

    struct Ring {
        std::uint32_t next = 0;  // where the next id goes
        std::uint32_t full = 0;  // 1 once an older id has to give way
    };

    Ring* ring_;
    Hash128* ids_;
    std::uint32_t* index_;  // 1 + place in ids_, 0 when empty
    std::uint32_t limit_;
    std::uint32_t mask_;
};

}  // namespace quickthorn

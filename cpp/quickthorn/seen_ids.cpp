#include "quickthorn/seen_ids.hpp"

#include <bit>

namespace quickthorn {

std::uint32_t SeenIds::index_slots(std::uint32_t limit) { return std::bit_ceil(2 * limit); }

std::size_t SeenIds::bytes(std::uint32_t limit) {
    return sizeof(Ring) + 64 + sizeof(Hash128) * limit + 64 + sizeof(std::uint64_t) * std::size_t{index_slots(limit)} +
           64;
}

SeenIds::SeenIds(Region& region, std::uint32_t limit) : limit_(limit), mask_(index_slots(limit) - 1) {
    ring_ = region.make<Ring>();
    ids_ = region.at<Hash128>(region.carve(sizeof(Hash128) * limit));
    index_ = region.at<std::uint64_t>(region.carve(sizeof(std::uint64_t) * std::size_t{index_slots(limit)}));
}

std::uint32_t SeenIds::find(const Hash128& id) const {
    std::uint32_t slot = home(tag(id));
    for (std::uint64_t entry; (entry = index_[slot]) != 0; slot = (slot + 1) & mask_) {
        if (tag_of(entry) == tag(id) && ids_[place_of(entry)] == id) break;
    }
    return slot;
}

std::uint32_t SeenIds::remember(const Hash128& id) {
    const std::uint32_t place = ring_->next;
    if (ring_->full != 0) forget(place);
    ids_[place] = id;
    std::uint32_t slot = home(tag(id));
    while (index_[slot] != 0) slot = (slot + 1) & mask_;
    index_[slot] = entry_of(id, place);
    if (place + 1 == limit_) {
        *ring_ = {.next = 0, .full = 1};
    } else {
        ring_->next = place + 1;
    }
    return place;
}

void SeenIds::forget(std::uint32_t place) {
    const std::uint64_t leaving = entry_of(ids_[place], place);
    std::uint32_t gap = home(tag_of(leaving));
    while (index_[gap] != leaving) gap = (gap + 1) & mask_;
    index_[gap] = 0;
    // Later members of the run move back into the gap, so that a search never has to step over a tombstone.
    for (std::uint32_t slot = (gap + 1) & mask_; index_[slot] != 0; slot = (slot + 1) & mask_) {
        const std::uint32_t wanted = home(tag_of(index_[slot]));
        if (((slot - wanted) & mask_) >= ((slot - gap) & mask_)) {
            index_[gap] = index_[slot];
            index_[slot] = 0;
            gap = slot;
        }
    }
}

}  // namespace quickthorn

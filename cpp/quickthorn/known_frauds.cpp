#include "quickthorn/known_frauds.hpp"

#include <bit>

namespace quickthorn {

std::uint64_t KnownFrauds::slots(std::uint32_t limit) { return std::bit_ceil(2 * std::uint64_t{limit}); }

std::size_t KnownFrauds::bytes(std::uint32_t limit) {
    return sizeof(std::uint64_t) + 64 + sizeof(quickthorn_known_fraud) * slots(limit) + 64;
}

KnownFrauds::KnownFrauds(Region& region, std::uint32_t slot, std::uint32_t limit)
    : kept_(region.make<std::uint64_t>()),
      entries_(region.at<quickthorn_known_fraud>(region.carve(sizeof(quickthorn_known_fraud) * slots(limit)))),
      mask_(static_cast<std::int64_t>(slots(limit)) - 1),
      slot_(slot),
      limit_(limit) {}

bool KnownFrauds::add(std::uint64_t entity, const FraudSpan& fraud) {
    std::uint32_t of_entity = 0;
    std::int64_t last_known = -1;
    std::int64_t place = home(entity);
    for (; entries_[place].entity != 0; place = (place + 1) & mask_) {
        if (entries_[place].entity != entity) continue;
        ++of_entity;
        if (last_known < 0 || entries_[place].from_us > entries_[last_known].from_us) last_known = place;
    }
    if (of_entity == kept_per_entity) {
        // The one that was known last gives way, if it is not the new one.
        if (fraud.from_us < entries_[last_known].from_us)
            entries_[last_known] = {entity, fraud.from_us, fraud.until_us};
        return true;
    }
    if (*kept_ == limit_) return false;
    ++*kept_;
    entries_[place] = {entity, fraud.from_us, fraud.until_us};
    return true;
}

void KnownFrauds::remove(std::uint64_t entity, const FraudSpan& fraud) {
    for (std::int64_t place = home(entity); entries_[place].entity != 0; place = (place + 1) & mask_) {
        const quickthorn_known_fraud& entry = entries_[place];
        if (entry.entity != entity || entry.from_us != fraud.from_us || entry.until_us != fraud.until_us) continue;
        --*kept_;
        close(place);
        return;
    }
}

// Later members of the run move back into the gap, so that a search never has to step over a tombstone.
void KnownFrauds::close(std::int64_t gap) {
    entries_[gap].entity = 0;
    for (std::int64_t place = (gap + 1) & mask_; entries_[place].entity != 0; place = (place + 1) & mask_) {
        if (((place - home(entries_[place].entity)) & mask_) >= ((place - gap) & mask_)) {
            entries_[gap] = entries_[place];
            entries_[place].entity = 0;
            gap = place;
        }
    }
}

}  // namespace quickthorn

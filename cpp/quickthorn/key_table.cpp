#include "quickthorn/key_table.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace quickthorn {

std::size_t KeyTable::record_stride(std::uint32_t state_bytes) {
    // Whole cache lines, so that a record never shares its first line with a neighbour.
    return (sizeof(KeyRecord) + state_bytes + 63) / 64 * 64;
}

std::size_t KeyTable::bytes(std::uint32_t max_keys, std::uint32_t state_bytes) {
    const std::size_t heads = sizeof(std::uint32_t) * std::size_t{std::max(max_keys, first_buckets)};
    return sizeof(Extent) + 64 + heads + 64 + record_stride(state_bytes) * max_keys + 64;
}

KeyTable::KeyTable(Region& region, std::uint32_t max_keys, std::uint32_t state_bytes)
    : extent_(region.make<Extent>()),
      stride_(record_stride(state_bytes)),
      max_keys_(max_keys) {
    const std::size_t most_buckets = std::max(max_keys, first_buckets);
    heads_ = region.at<std::uint32_t>(region.carve(sizeof(std::uint32_t) * most_buckets));
    records_ = region.at<std::byte>(region.carve(stride_ * max_keys));
}

KeyRecord* KeyTable::find(const Hash128& hash) {
    for (std::uint32_t number = heads_[bucket(hash)]; number != 0;) {
        KeyRecord* candidate = record(number);
        if (candidate->hash == hash) return candidate;
        number = candidate->next;
    }
    return nullptr;
}

KeyRecord* KeyTable::insert(const Hash128& hash) {
    if (extent_->keys == max_keys_) return nullptr;
    if (extent_->keys >= extent_->buckets) split_one_bucket();
    ++extent_->keys;
    const std::uint32_t number = extent_->erased != 0 ? extent_->erased : ++extent_->records;
    KeyRecord* added = record(number);
    if (number == extent_->erased) {
        extent_->erased = added->next;
        std::memset(static_cast<void*>(added), 0, stride_);
    }
    std::uint32_t& head = heads_[bucket(hash)];
    added->hash = hash;
    added->newest_us = std::numeric_limits<std::int64_t>::min();
    added->next = head;
    head = number;
    return added;
}

void KeyTable::erase(KeyRecord* known) {
    std::uint32_t* link = &heads_[bucket(known->hash)];
    while (record(*link) != known) link = &record(*link)->next;
    const std::uint32_t number = *link;
    *link = known->next;
    known->next = extent_->erased;
    known->newest_us = no_time;
    extent_->erased = number;
    --extent_->keys;
}

void KeyTable::split_one_bucket() {
    const std::uint32_t level = extent_->level;
    const std::uint32_t into = extent_->buckets;
    const std::uint32_t from = into - level;
    std::uint32_t stays = 0;
    std::uint32_t moves = 0;
    for (std::uint32_t number = heads_[from]; number != 0;) {
        KeyRecord* current = record(number);
        const std::uint32_t next = current->next;
        std::uint32_t& chain = (static_cast<std::uint32_t>(current->hash.low) & level) != 0 ? moves : stays;
        current->next = chain;
        chain = number;
        number = next;
    }
    heads_[from] = stays;
    heads_[into] = moves;
    if (++extent_->buckets == 2 * level) extent_->level = 2 * level;
}

}  // namespace quickthorn

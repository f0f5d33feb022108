// Finds an entity's record by its hash; grows one bucket at a time, so that no decision ever pays for a rehash.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "quickthorn/identity.hpp"
#include "quickthorn/region.hpp"

namespace quickthorn {

// What is kept per entity, followed in memory by the group's state.
struct KeyRecord {
    Hash128 hash;
    Region::Offset rows;     // the ring block, meaningless while capacity is 0
    std::int64_t first;      // position of the oldest row kept
    std::int64_t last;       // one past the newest
    std::int64_t newest_us;  // largest event time stored
    std::uint32_t next;      // next record of the same bucket, 0 at the end
    std::uint32_t capacity;  // rows the block holds, a power of two or 0

    void* state() { return this + 1; }
};
static_assert(sizeof(KeyRecord) == 56, "records are part of the state layout");

// Linear hashing (Litwin, "Linear hashing: a new tool for file and table addressing", 1980) over arrays that are
// reserved at their largest size: inserting a key splits at most one bucket.
class KeyTable {
public:
    // Bytes the table carves from a region.
    static std::size_t bytes(std::uint32_t max_keys, std::uint32_t state_bytes);

    KeyTable(Region& region, std::uint32_t max_keys, std::uint32_t state_bytes);

    // What find() looks at, in steps between which there are to be the same ones of other keys: the line where the
    // bucket begins; its first record, which mostly is the one that is looked for; where that is another key's, the one
    // behind it. The records, state and all, are on their way into the cache when they are returned; null where there
    // is none. Inlined always: GCC takes a call of what only prefetches for one without an effect, and drops it.
    [[gnu::always_inline]] void prefetch(const Hash128& hash) const { __builtin_prefetch(&heads_[bucket(hash)]); }
    KeyRecord* first_record(const Hash128& hash) { return fetched(heads_[bucket(hash)]); }
    KeyRecord* next_record(const Hash128& hash, KeyRecord* first) {
        return first == nullptr || first->hash == hash ? first : fetched(first->next);
    }

    KeyRecord* find(const Hash128& hash);

    // Adds a key that find() did not return. Null when max_keys are kept already.
    KeyRecord* insert(const Hash128& hash);

    // Forgets a key; its record is the next one that insert() gives out, zeroed.
    void erase(KeyRecord* known);

    // The record of a number from 1 to records(), for going over all of them; erased ones have no_time as newest.
    KeyRecord* record(std::uint32_t number) { return reinterpret_cast<KeyRecord*>(records_ + (number - 1) * stride_); }
    std::uint32_t number_of(const KeyRecord& known) const {
        return static_cast<std::uint32_t>((reinterpret_cast<const std::byte*>(&known) - records_) /
                                          static_cast<std::ptrdiff_t>(stride_)) +
               1;
    }
    std::uint32_t records() const { return extent_->records; }
    static constexpr std::int64_t no_time = INT64_MAX;

    std::uint32_t keys() const { return extent_->keys; }

private:
    static constexpr std::uint32_t first_buckets = 1024;
    static constexpr std::size_t cache_line = 64;
    static constexpr std::size_t prefetched_bytes = 16 * cache_line;  // of a record, if it has so many

    struct Extent {
        std::uint32_t keys = 0;
        std::uint32_t records = 0;  // given out so far, erased ones included
        std::uint32_t erased = 0;  // number of the last erased record, which leads to the others; 0 where there is none
        std::uint32_t buckets = first_buckets;
        std::uint32_t level = first_buckets;  // buckets at the start of this round of splits, a power of two
    };

    static std::size_t record_stride(std::uint32_t state_bytes);

    KeyRecord* fetched(std::uint32_t number) {
        if (number == 0) return nullptr;
        KeyRecord* const found = record(number);
        const auto* first = reinterpret_cast<const std::byte*>(found);
        const std::size_t bytes = std::min(stride_, prefetched_bytes);
        for (std::size_t at = 0; at < bytes; at += cache_line) __builtin_prefetch(first + at, 1);
        return found;
    }
    std::uint32_t bucket(const Hash128& hash) const {
        const auto low = static_cast<std::uint32_t>(hash.low);
        const std::uint32_t wide = low & (2 * extent_->level - 1);
        return wide < extent_->buckets ? wide : low & (extent_->level - 1);
    }

    void split_one_bucket();

    Extent* extent_;
    std::uint32_t* heads_;
    std::byte* records_;
    std::size_t stride_;
    std::uint32_t max_keys_;
};

}  // namespace quickthorn

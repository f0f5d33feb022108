// What another party last said of every key: the latest signal of one source, by event time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "quickthorn/entity_history.hpp"
#include "quickthorn/key_table.hpp"
#include "quickthorn/library_abi.h"

namespace quickthorn {

// One signal as it comes in: `values` are the source's slots, in the order they are declared.
struct Signal {
    Hash128 key;
    std::int64_t at_us;
    const quickthorn_slot* values;
};

enum class Told : std::uint8_t {
    latest,        // kept: nothing newer is known of the key
    older,         // left out: a newer one is known, or this one has expired
    out_of_space,  // left out: as many keys are kept as may be
};

// Keeps one signal per key, no history: an event that is older than it is told nothing, rather than what came later.
class SignalTable {
public:
    static std::size_t table_bytes(std::uint32_t slot_count, const HistoryLimits& limits) {
        return sizeof(Sweep) + 64 + KeyTable::bytes(limits.max_keys, signal_bytes(slot_count)) + 64;
    }

    SignalTable(std::uint32_t slot_count, const HistoryLimits& limits, Region& region)
        : slot_count_(slot_count),
          limits_(limits),
          sweep_(region.make<Sweep>()),
          table_(region, limits.max_keys, signal_bytes(slot_count)) {}

    std::uint32_t keys() const { return table_.keys(); }
    std::uint64_t reclaimed() const { return sweep_->reclaimed; }

    void prefetch(const Hash128& key) const { table_.prefetch(key); }

    // The key's signal as a kernel reads it, its time and then its slots; null where none is known, or it was forgotten
    // because the key has been idle for too long.
    const std::int64_t* find(const Hash128& key, std::int64_t event_us, std::int64_t clock_us) {
        KeyRecord* known = table_.find(key);
        const bool kept = known != nullptr && !expired(known->newest_us, judged_us(event_us, clock_us));
        return kept ? static_cast<const std::int64_t*>(known->state()) : nullptr;
    }

    Told tell(const Signal& signal, std::int64_t clock_us);

private:
    struct Sweep {
        std::uint64_t hand = 0;
        std::uint64_t reclaimed = 0;
    };
    static constexpr std::uint32_t records_per_signal = 2;  // looked at for being expired
    static constexpr std::uint32_t records_when_full = 64;

    static std::uint32_t signal_bytes(std::uint32_t slot_count) { return 8 * (1 + slot_count); }

    // As entities expire: of the event's own time, or of how far the stream has come where the event is later than
    // late.
    std::int64_t judged_us(std::int64_t event_us, std::int64_t clock_us) const {
        return std::max(event_us, clock_us - limits_.lateness_us);
    }
    bool expired(std::int64_t at_us, std::int64_t judged_us) const {
        return limits_.expire_after_us != 0 && judged_us - at_us >= limits_.expire_after_us;
    }
    void reclaim(std::uint32_t records, std::int64_t judged_us);

    std::uint32_t slot_count_;
    HistoryLimits limits_;
    Sweep* sweep_;
    KeyTable table_;
};

}  // namespace quickthorn

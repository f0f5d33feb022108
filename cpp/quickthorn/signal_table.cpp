#include "quickthorn/signal_table.hpp"

#include <algorithm>
#include <cstring>

namespace quickthorn {

Told SignalTable::tell(const Signal& signal, std::int64_t clock_us) {
    const std::int64_t stream_us = clock_us - limits_.lateness_us;
    // What no event can be told any more is not kept, whatever has or has not been reclaimed meanwhile.
    if (expired(signal.at_us, stream_us)) return Told::older;
    if (limits_.expire_after_us != 0) reclaim(records_per_signal, stream_us);
    KeyRecord* known = table_.find(signal.key);
    if (known != nullptr && signal.at_us < known->newest_us) return Told::older;
    if (known == nullptr) known = table_.insert(signal.key);
    if (known == nullptr && limits_.expire_after_us != 0) {
        reclaim(records_when_full, stream_us);
        known = table_.insert(signal.key);
    }
    if (known == nullptr) return Told::out_of_space;
    known->newest_us = signal.at_us;
    auto* words = static_cast<std::int64_t*>(known->state());
    words[0] = signal.at_us;
    std::memcpy(words + 1, signal.values, sizeof(quickthorn_slot) * slot_count_);
    return Told::latest;
}

void SignalTable::reclaim(std::uint32_t records, std::int64_t judged_us) {
    for (std::uint32_t looked_at = 0; looked_at < std::min(records, table_.records()); ++looked_at) {
        const std::uint32_t number = static_cast<std::uint32_t>(sweep_->hand) % table_.records() + 1;
        sweep_->hand = number;
        KeyRecord& candidate = *table_.record(number);
        if (candidate.newest_us == KeyTable::no_time || !expired(candidate.newest_us, judged_us)) continue;
        table_.erase(&candidate);
        ++sweep_->reclaimed;
    }
}

}  // namespace quickthorn

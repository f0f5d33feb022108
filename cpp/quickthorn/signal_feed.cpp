#include "quickthorn/signal_feed.hpp"

#include <algorithm>
#include <limits>

namespace quickthorn {

void SignalFeed::add(std::uint32_t source, const Signal& signal, std::size_t slot_count) {
    signals_.push_back({signal.key, signal.at_us, values_.size(), source});
    values_.insert(values_.end(), signal.values, signal.values + slot_count);
}

void SignalFeed::sort() { std::ranges::stable_sort(signals_, {}, &Waiting::at_us); }

void SignalFeed::advance(Engine& engine, std::int64_t now_us) {
    for (; next_ < signals_.size() && signals_[next_].at_us <= now_us; ++next_) {
        const Waiting& waiting = signals_[next_];
        engine.signal(waiting.source, {waiting.key, waiting.at_us, values_.data() + waiting.values});
    }
}

void SignalFeed::finish(Engine& engine) { advance(engine, std::numeric_limits<std::int64_t>::max()); }

}  // namespace quickthorn

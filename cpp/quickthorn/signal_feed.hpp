// Signals on their way to an engine beside a log of events: each is told once the log has come to its time.
#pragma once

#include <cstdint>
#include <vector>

#include "quickthorn/engine.hpp"

namespace quickthorn {

// The replay of logged signals: one is told before the first event at or after its time. Those of one time are told in
// the order they were added, so that of one key the last is what is known.
class SignalFeed {
public:
    // One more signal; its values are copied.
    void add(std::uint32_t source, const Signal& signal, std::size_t slot_count);

    // Once all are added.
    void sort();

    // Tells what there is up to and at that time.
    void advance(Engine& engine, std::int64_t now_us);

    // Tells the rest.
    void finish(Engine& engine);

private:
    struct Waiting {
        Hash128 key;
        std::int64_t at_us;
        std::size_t values;  // where in values_ they begin
        std::uint32_t source;
    };

    std::vector<Waiting> signals_;
    std::vector<quickthorn_slot> values_;
    std::size_t next_ = 0;
};

}  // namespace quickthorn

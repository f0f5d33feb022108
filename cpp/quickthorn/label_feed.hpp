// Labels on their way to an engine beside a log of events: each is told once the log has come to its time.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "quickthorn/engine.hpp"

namespace quickthorn {

// The replay of a label stream: a label is told before the first event at or after the time it is available from. One
// whose event is yet to come by then waits for it, and is told right after it.
class LabelFeed {
public:
    // One more label, from a row of the caller's table.
    void add(const Label& label, std::int64_t row) { labels_.push_back({label, row}); }

    // Once all are added: puts them in order of time, those of one time as they were added.
    void sort();

    // Tells what is available by that time.
    void advance(Engine& engine, std::int64_t now_us);

    // Tells what has waited for this event.
    void stored(Engine& engine, const Hash128& event);

    // Tells the rest; the rows of labels whose event has not come, in order.
    std::vector<std::int64_t> finish(Engine& engine);

private:
    struct Waiting {
        Label label;
        std::int64_t row;
    };
    struct HashOfHash {
        std::size_t operator()(const Hash128& hash) const { return hash.low; }
    };

    void tell(Engine& engine, const Waiting& waiting);

    std::vector<Waiting> labels_;
    std::size_t next_ = 0;
    std::unordered_map<Hash128, std::vector<Waiting>, HashOfHash> early_;
};

}  // namespace quickthorn

#include "quickthorn/label_feed.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace quickthorn {

void LabelFeed::sort() {
    std::ranges::sort(labels_, {},
                      [](const Waiting& waiting) { return std::pair(waiting.label.available_us, waiting.row); });
}

void LabelFeed::advance(Engine& engine, std::int64_t now_us) {
    while (next_ < labels_.size() && labels_[next_].label.available_us <= now_us) tell(engine, labels_[next_++]);
}

void LabelFeed::tell(Engine& engine, const Waiting& waiting) {
    if (!engine.knows(waiting.label.event)) {
        early_[waiting.label.event].push_back(waiting);
    } else {
        engine.label(waiting.label);
    }
}

void LabelFeed::stored(Engine& engine, const Hash128& event) {
    if (early_.empty()) return;
    const auto found = early_.find(event);
    if (found == early_.end()) return;
    for (const Waiting& waiting : found->second) engine.label(waiting.label);
    early_.erase(found);
}

std::vector<std::int64_t> LabelFeed::finish(Engine& engine) {
    advance(engine, std::numeric_limits<std::int64_t>::max());
    std::vector<std::int64_t> rows;
    for (const auto& [event, waiting] : early_) {
        for (const Waiting& label : waiting) {
            engine.label(label.label);  // counted as one of an unknown event
            rows.push_back(label.row);
        }
    }
    early_.clear();
    std::ranges::sort(rows);
    return rows;
}

}  // namespace quickthorn

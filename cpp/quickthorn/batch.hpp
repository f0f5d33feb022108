// Many events in one call: the same stages in the same order, over Arrow data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quickthorn/arrow_events.hpp"
#include "quickthorn/engine.hpp"
#include "quickthorn/feature_columns.hpp"
#include "quickthorn/label_feed.hpp"
#include "quickthorn/shared_replay.hpp"
#include "quickthorn/signal_feed.hpp"

namespace quickthorn {

// What is done with every event of a batch.
enum class Pass : std::uint8_t {
    decide,   // read, score, update
    score,    // read, score
    observe,  // update
    replay,   // read, update: fills the features' columns
};

struct BatchFault {
    std::int64_t row = 0;
    std::size_t field = 0;
    Fault fault = Fault::none;
    std::string found;
};

// One entry per event, in the events' order; what a pass does not compute stays empty.
struct BatchResult {
    std::vector<double> scores;          // NaN where invalid
    std::vector<double> margins;         // NaN where invalid
    std::vector<std::uint8_t> outcomes;  // Outcome
    std::vector<std::int32_t> rules;     // what decided, −1 for the thresholds
    std::vector<std::int16_t> reasons;   // most per event, the weightiest first, −1 where there is none
    std::vector<double> propensities;    // 1 where nothing was left to chance
    std::vector<std::uint8_t> statuses;  // Status
    std::vector<BatchFault> faults;      // one per invalid event
};

// What is told to the engine between the events of a batch, by time; null where there is nothing.
struct Feeds {
    LabelFeed* labels = nullptr;
    SignalFeed* signals = nullptr;
};

// Runs every event of the opened Arrow batch and appends to the result; what the feeds have that is due is told
// before each event. `columns` has room for the features of the events in the result and of these; only a replay looks
// at it. Needs no lock held and no interpreter.
void run(Engine& engine, const ArrowEvents& events, EventRow& event, Pass pass, const Feeds& feeds,
         const FeatureColumns& columns, BatchResult& result);

// The same for the pass of replay without feeds, by as many threads as the replay has.
void run(SharedReplay& replay, const ArrowEvents& events, const FeatureColumns& columns, BatchResult& result);

}  // namespace quickthorn

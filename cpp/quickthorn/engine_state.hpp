// Everything an engine remembers: one region, and the subjects that keep themselves in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "quickthorn/components.hpp"
#include "quickthorn/entity_history.hpp"
#include "quickthorn/known_frauds.hpp"
#include "quickthorn/labelled_events.hpp"
#include "quickthorn/library_abi.h"
#include "quickthorn/region.hpp"
#include "quickthorn/row_store.hpp"
#include "quickthorn/seen_ids.hpp"
#include "quickthorn/signal_table.hpp"

namespace quickthorn {

struct EngineLimits {
    HistoryLimits history;
    std::uint32_t remembered_ids = 1u << 20;
    std::size_t history_bytes = std::size_t{16} << 30;  // row space shared by all groups
};

// How often what happened since load.
struct Counters {
    std::uint64_t decided = 0;
    std::uint64_t scored = 0;
    std::uint64_t observed = 0;
    std::uint64_t signals = 0;       // told
    std::uint64_t signals_late = 0;  // of these, older than what was known of their key
    std::uint64_t invalid = 0;
    std::uint64_t duplicates = 0;
    std::uint64_t late_in_place = 0;   // rows put where they belong, per entity, and links, per component
    std::uint64_t late_left_out = 0;   // rows and links older than the lateness allows
    std::uint64_t over_row_limit = 0;  // rows that cost an older one its place, per entity
    std::uint64_t over_cap = 0;        // events with links left out, as they would make a component larger than its cap
    std::uint64_t out_of_space = 0;    // rows and links left out for want of keys or row space
    std::uint64_t reclaimed_keys = 0;  // entities that expired and whose memory is free again
    std::uint64_t labels = 0;          // labels told of events that are remembered
    std::uint64_t unknown_labels = 0;  // labels refused because their event is not
};

// What belongs to no id and no entity.
struct EngineTotals {
    std::int64_t clock_us = std::int64_t{-1} << 62;  // the largest time of an event that was let in
    Counters counters;
};

// Allocates at construction and never again. A subject that remembers something is a member here, and carves all of it
// from the region, the last scalar included: the region's carved bytes are the state, to be saved and restored.
struct EngineState {
    EngineState(const quickthorn_library& library, const EngineLimits& limits);
    EngineState(const EngineState&) = delete;  // its parts know each other by address
    EngineState& operator=(const EngineState&) = delete;

    Region region;
    EngineTotals& totals;
    SeenIds seen_ids;
    LabelledEvents labelled_events;
    RowSpace row_space;
    std::vector<EntityHistory> histories;            // one per group of the library
    std::vector<Components> components;              // one per component of the library
    std::vector<KnownFrauds> known_frauds;           // one per field whose entities are looked up
    std::vector<quickthorn_known_frauds> looked_up;  // the same for kernels, one per field of the event
    std::vector<SignalTable> signals;                // one per source of signals
};

}  // namespace quickthorn

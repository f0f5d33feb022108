#include "quickthorn/engine_state.hpp"

#include <algorithm>
#include <span>

namespace quickthorn {
namespace {

std::span<const quickthorn_group> groups_of(const quickthorn_library& library) {
    return {library.groups, library.group_count};
}

std::span<const quickthorn_component> components_of(const quickthorn_library& library) {
    return {library.components, library.component_count};
}

std::span<const std::uint32_t> fraud_slots_of(const quickthorn_library& library) {
    return {library.fraud_slots, library.fraud_count};
}

// Where anything looks at labels there is one keeper for each group and each component, and two words for each field
// whose entities are looked up, for both halves of a hash.
std::uint32_t label_keepers(const quickthorn_library& library) {
    const bool any =
        library.fraud_count != 0 ||
        std::ranges::any_of(groups_of(library), [](const auto& group) { return group.label != nullptr; }) ||
        std::ranges::any_of(components_of(library), [](const auto& one) { return one.keeps_labels != 0; });
    return any ? library.group_count + library.component_count + 2 * library.fraud_count : 0;
}

// The number of values of every source of signals.
std::vector<std::uint32_t> sources_of(const quickthorn_library& library) {
    std::vector<std::uint32_t> slot_counts;
    for (std::uint32_t index = 0; index < library.signal_count; ++index) {
        const quickthorn_signal& signal = library.signals[index];
        if (signal.source == slot_counts.size()) slot_counts.push_back(signal.slot_count);
    }
    return slot_counts;
}

// How many frauds are kept of a field's entities or of a component's. Where few ids are remembered, frauds of events
// that are forgotten still have room.
std::uint32_t most_frauds(const EngineLimits& limits) { return std::max<std::uint32_t>(limits.remembered_ids, 1024); }

std::size_t region_bytes(const quickthorn_library& library, const EngineLimits& limits) {
    std::size_t bytes = SeenIds::bytes(limits.remembered_ids) + limits.history_bytes + 4096;
    bytes += LabelledEvents::bytes(limits.remembered_ids, label_keepers(library));
    for (const quickthorn_group& group : groups_of(library)) {
        bytes += EntityHistory::table_bytes(group, limits.history);
    }
    for (const quickthorn_component& component : components_of(library)) {
        bytes += Components::table_bytes(component, limits.history, most_frauds(limits));
    }
    for (const std::uint32_t slot_count : sources_of(library)) {
        bytes += SignalTable::table_bytes(slot_count, limits.history);
    }
    return bytes + library.fraud_count * KnownFrauds::bytes(most_frauds(limits));
}

}  // namespace

EngineState::EngineState(const quickthorn_library& library, const EngineLimits& limits)
    : region(region_bytes(library, limits)),
      totals(*region.make<EngineTotals>()),
      seen_ids(region, limits.remembered_ids),
      labelled_events(region, limits.remembered_ids, label_keepers(library)),
      row_space(region, limits.history_bytes) {
    histories.reserve(library.group_count);
    for (const quickthorn_group& group : groups_of(library)) {
        histories.emplace_back(group, limits.history, region, row_space);
    }
    components.reserve(library.component_count);
    for (const quickthorn_component& component : components_of(library)) {
        components.emplace_back(component, limits.history, most_frauds(limits), region);
    }
    known_frauds.reserve(library.fraud_count);
    looked_up.resize(library.slot_count);
    for (const std::uint32_t slot : fraud_slots_of(library)) {
        known_frauds.emplace_back(region, slot, most_frauds(limits));
        looked_up[slot] = known_frauds.back().view();
    }
    const std::vector<std::uint32_t> sources = sources_of(library);
    signals.reserve(sources.size());
    for (const std::uint32_t slot_count : sources) signals.emplace_back(slot_count, limits.history, region);
}

}  // namespace quickthorn

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

// One keeper of labels for each group, if any of them looks at labels.
std::uint32_t label_keepers(const quickthorn_library& library) {
    const auto groups = groups_of(library);
    const bool any = std::ranges::any_of(groups, [](const quickthorn_group& group) { return group.label != nullptr; });
    return any ? library.group_count : 0;
}

std::size_t region_bytes(const quickthorn_library& library, const EngineLimits& limits) {
    std::size_t bytes = SeenIds::bytes(limits.remembered_ids) + limits.history_bytes + 4096;
    bytes += LabelledEvents::bytes(limits.remembered_ids, label_keepers(library));
    for (const quickthorn_group& group : groups_of(library)) {
        bytes += EntityHistory::table_bytes(group, limits.history);
    }
    for (const quickthorn_component& component : components_of(library)) {
        bytes += Components::table_bytes(component, limits.history);
    }
    return bytes;
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
        components.emplace_back(component, limits.history, region);
    }
}

}  // namespace quickthorn

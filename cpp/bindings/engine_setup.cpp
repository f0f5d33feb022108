// Where an engine's parts come from: the keyword arguments that quickthorn.serving hands over from a verified bundle.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>

#include "engine_object.hpp"
#include "numbered.hpp"

namespace py = pybind11;

namespace quickthorn::python {
namespace {

constexpr std::array<const char*, 8> kind_names = {"id",     "event_time", "entity", "money",
                                                   "number", "category",   "text",   "boolean"};

FieldSpec field_from(const py::dict& given) {
    FieldSpec field;
    field.name = given["name"].cast<std::string>();
    field.kind = numbered<FieldKind>(given["kind"].cast<std::string>(), kind_names, "an unknown kind of field");
    field.required = given["required"].cast<bool>();
    field.scale = given["scale"].cast<int>();
    field.minor_units = given["minor_units"].cast<bool>();
    field.is_signed = given["signed"].cast<bool>();
    field.closed = given["closed"].cast<bool>();
    field.as_text = given["as_text"].cast<bool>();
    field.values = given["values"].cast<std::vector<std::string>>();
    return field;
}

HashKey hash_key_from(const std::string& bytes) {
    std::array<std::uint8_t, 16> key{};
    if (bytes.size() != key.size()) throw py::value_error("hash_key: expected 16 bytes");
    std::memcpy(key.data(), bytes.data(), key.size());
    return HashKey::from_bytes(key);
}

// A library's bytes, or an engine whose library is shared.
std::shared_ptr<const Library> library_from(const py::object& given) {
    if (is_engine(given.ptr())) return body_of(given.ptr()).library();
    const auto image = given.cast<py::buffer>().request();
    return std::make_shared<const Library>(
        std::span(static_cast<const std::byte*>(image.ptr), static_cast<std::size_t>(image.size * image.itemsize)));
}

std::size_t source_count(const quickthorn_library& entry) {
    std::size_t count = 0;
    for (std::uint32_t index = 0; index < entry.signal_count; ++index) {
        count = std::max(count, std::size_t{entry.signals[index].source} + 1);
    }
    return count;
}

EngineLimits limits_from(const py::dict& given) {
    EngineLimits limits;
    limits.history.max_keys = given["max_keys"].cast<std::uint32_t>();
    limits.history.row_limit = given["row_limit"].cast<std::uint32_t>();
    limits.history.lateness_us = given["lateness_us"].cast<std::int64_t>();
    limits.history.expire_after_us = given["expire_after_us"].cast<std::int64_t>();
    limits.remembered_ids = given["remembered_ids"].cast<std::uint32_t>();
    limits.history_bytes = given["history_bytes"].cast<std::size_t>();
    return limits;
}

// The bytes of as many float64 margins and then probabilities, or None.
std::optional<KnotTable> knots_from(const py::handle& given) {
    if (given.is_none()) return std::nullopt;
    const auto bytes = given.cast<py::buffer>().request();
    const auto count = static_cast<std::size_t>(bytes.size * bytes.itemsize) / (2 * sizeof(double));
    std::vector<double> values(2 * count);
    std::memcpy(values.data(), bytes.ptr, values.size() * sizeof(double));
    const std::span<const double> all(values);
    return KnotTable(all.first(count), all.subspan(count));
}

Outcome outcome_from(const py::handle& given, std::uint32_t count) {
    const auto place = given.cast<std::uint32_t>();
    if (place >= count) throw PolicyError("policy: expected one of " + std::to_string(count) + " outcomes");
    return static_cast<Outcome>(place);
}

std::vector<Outcome> outcomes_from(const py::handle& given, std::uint32_t count) {
    std::vector<Outcome> outcomes;
    for (const py::handle place : given) outcomes.push_back(outcome_from(place, count));
    return outcomes;
}

constexpr std::array<const char*, 3> scale_names = {"score", "aligned_score", "expected_loss"};

Thresholds thresholds_from(const py::dict& given, std::uint32_t outcome_count) {
    Thresholds thresholds;
    thresholds.on = numbered<Scale>(given["on"].cast<std::string>(), scale_names, "an unknown scale");
    for (const py::handle step : given["steps"]) {
        if (thresholds.count == thresholds.steps.size()) throw PolicyError("policy: too many thresholds");
        const auto pair = step.cast<py::tuple>();
        thresholds.steps[thresholds.count++] = {pair[0].cast<double>(), outcome_from(pair[1], outcome_count)};
    }
    return thresholds;
}

Policy policy_from(const py::dict& given) {
    Policy policy;
    policy.outcome_count = given["outcome_count"].cast<std::uint32_t>();
    if (policy.outcome_count == 0 || policy.outcome_count > most_outcomes) {
        throw PolicyError("policy: expected 1 to 8 outcomes");
    }
    policy.thresholds = thresholds_from(given["thresholds"].cast<py::dict>(), policy.outcome_count);
    for (const py::handle segment : given["segments"]) {
        policy.segments.push_back(thresholds_from(segment.cast<py::dict>(), policy.outcome_count));
    }
    policy.rules = outcomes_from(given["rules"], policy.outcome_count);
    policy.caps = outcomes_from(given["caps"], policy.outcome_count);
    std::size_t status = 0;
    for (const py::handle outcome : given["fallback"]) {
        if (status == policy.fallback.size()) throw PolicyError("policy: too many fallbacks");
        policy.fallback[status++] = outcome.is_none() ? no_outcome : outcome_from(outcome, policy.outcome_count);
    }
    policy.unscored = outcome_from(given["unscored"], policy.outcome_count);
    policy.exploration.share = given["exploration_share"].cast<double>();
    policy.exploration.outcome = outcome_from(given["exploration_outcome"], policy.outcome_count);
    policy.exploration.instead_of = given["exploration_instead_of"].cast<std::uint32_t>();
    policy.exploration.seed = given["exploration_seed"].cast<std::uint64_t>();
    return policy;
}

void take_reasons(const py::dict& given, EngineParts& parts) {
    ReasonMap map;
    map.code_of = given["code_of"].cast<std::vector<std::uint32_t>>();
    for (const py::handle code : given["codes"]) parts.reason_codes.emplace_back(Ref::borrow(code.ptr()));
    map.code_count = static_cast<std::uint32_t>(parts.reason_codes.size());
    map.most = given["most"].cast<std::uint32_t>();
    map.outcomes = given["outcomes"].cast<std::uint32_t>();
    if (map.most == 0 || map.most > most_reasons) throw PolicyError("reasons: expected 1 to 16 for a decision");
    parts.reason_type = Ref::borrow(py::object(given["type"]).ptr());
    parts.reasons = std::move(map);
}

// Every number that a verdict can have must have its name.
void check_names(const EngineParts& parts) {
    const std::size_t rules = static_cast<std::size_t>(Fixed::count) + parts.policy.rules.size() +
                              parts.policy.caps.size() + parts.policy.segments.size();
    if (parts.outcomes.size() != parts.policy.outcome_count || parts.rules.size() != rules) {
        throw PolicyError("policy: expected a name for every outcome and every rule");
    }
}

}  // namespace

EngineParts parts_from(PyObject* keywords) {
    const auto given = py::reinterpret_borrow<py::dict>(keywords);
    EngineParts parts;
    parts.library = library_from(given["library"]);

    std::vector<FieldSpec> fields;
    for (const py::handle field : given["fields"].cast<py::sequence>())
        fields.push_back(field_from(field.cast<py::dict>()));
    const quickthorn_library& entry = parts.library->entry();
    for (std::uint32_t index = 0; index < entry.hashed_count; ++index) {
        if (entry.hashed_slots[index] < fields.size()) fields[entry.hashed_slots[index]].hashed = true;
    }
    parts.schema =
        std::make_unique<EventSchema>(std::move(fields), hash_key_from(given["hash_key"].cast<std::string>()));

    for (const py::handle source : given["signals"].cast<py::sequence>()) {
        const auto described = source.cast<py::dict>();
        std::vector<FieldSpec> of_source;
        for (const py::handle field : described["fields"].cast<py::sequence>()) {
            of_source.push_back(field_from(field.cast<py::dict>()));
        }
        parts.sources.emplace_back(described["name"].cast<std::string>(),
                                   std::make_unique<EventSchema>(std::move(of_source), parts.schema->key()));
    }
    if (parts.sources.size() != source_count(entry)) throw LibraryError("library: expected the bundle's signals");

    parts.link.link = numbered<Link>(given["link"].cast<std::string>(), link_names, "an unknown link");
    parts.link.scale = given["link_scale"].cast<double>();
    parts.knots = knots_from(given["knots"]);
    parts.scores_are_probabilities = given["scores_are_probabilities"].cast<bool>();
    parts.policy = policy_from(given["policy"].cast<py::dict>());
    parts.outcomes = given["outcomes"].cast<std::vector<std::string>>();
    parts.rules = given["rules"].cast<std::vector<std::string>>();
    parts.features = given["features"].cast<std::vector<std::string>>();
    check_names(parts);
    if (!given["reasons"].is_none()) take_reasons(given["reasons"].cast<py::dict>(), parts);
    parts.limits = limits_from(given["limits"].cast<py::dict>());
    parts.bundle_id = given["bundle_id"].cast<std::string>();
    parts.raise_errors = given["raise_errors"].cast<bool>();
    return parts;
}

}  // namespace quickthorn::python

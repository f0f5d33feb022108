// Where an engine's parts come from: the keyword arguments that quickthorn.serving hands over from a verified bundle.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

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

}  // namespace

EngineParts parts_from(PyObject* keywords) {
    const auto given = py::reinterpret_borrow<py::dict>(keywords);
    EngineParts parts;
    const auto image = given["library"].cast<py::buffer>().request();
    parts.library = std::make_unique<Library>(
        std::span(static_cast<const std::byte*>(image.ptr), static_cast<std::size_t>(image.size * image.itemsize)));

    std::vector<FieldSpec> fields;
    for (const py::handle field : given["fields"].cast<py::sequence>())
        fields.push_back(field_from(field.cast<py::dict>()));
    const quickthorn_library& entry = parts.library->entry();
    for (std::uint32_t index = 0; index < entry.hashed_count; ++index) {
        if (entry.hashed_slots[index] < fields.size()) fields[entry.hashed_slots[index]].hashed = true;
    }
    parts.schema =
        std::make_unique<EventSchema>(std::move(fields), hash_key_from(given["hash_key"].cast<std::string>()));

    parts.calibration.link = numbered<Link>(given["link"].cast<std::string>(), link_names, "an unknown link");
    parts.calibration.scale = given["link_scale"].cast<double>();
    parts.policy.review = given["review"].cast<double>();
    parts.policy.decline = given["decline"].cast<double>();
    parts.policy.invalid =
        numbered<Outcome>(given["fallback"].cast<std::string>(), outcome_names, "an unknown outcome");
    parts.limits = limits_from(given["limits"].cast<py::dict>());
    parts.bundle_id = given["bundle_id"].cast<std::string>();
    parts.raise_errors = given["raise_errors"].cast<bool>();
    return parts;
}

}  // namespace quickthorn::python

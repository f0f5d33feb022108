#include "quickthorn/event_fields.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "quickthorn/event_text.hpp"

namespace quickthorn {
namespace {

std::string list_of(const std::vector<std::string>& values) {
    constexpr std::size_t most_shown = 8;
    std::string text;
    for (std::size_t i = 0; i < values.size() && i < most_shown; ++i) {
        text += (i == 0 ? "'" : ", '") + values[i] + "'";
    }
    return values.size() > most_shown ? text + ", …" : text;
}

std::string expected_money(const FieldSpec& field, Fault fault) {
    switch (fault) {
        case Fault::negative: return "an amount of money of at least 0";
        case Fault::too_large: return "an amount of at most 8796093022208 minor units";
        case Fault::too_fine: return "an amount with at most " + std::to_string(field.scale) + " decimals";
        default: break;
    }
    if (field.minor_units) return "an amount of money as an int of minor units";
    return "an amount of money in major units such as \"59.90\"";
}

}  // namespace

std::string FieldSpec::expected(Fault fault) const {
    switch (kind) {
        case FieldKind::id:
            if (fault == Fault::unknown_event) return "the id of an event that is remembered";
            [[fallthrough]];
        case FieldKind::entity: return "a non-empty str or an int";
        case FieldKind::event_time:
            return fault == Fault::too_large
                       ? "an event time within 73,000 years of 1970"
                       : "int microseconds UTC, an aware datetime or an RFC 3339 string with a zone";
        case FieldKind::money: return expected_money(*this, fault);
        case FieldKind::number: return "a finite number";
        case FieldKind::category: return fault == Fault::unlisted_category ? "one of " + list_of(values) : "a str";
        case FieldKind::text: return "a str";
        case FieldKind::boolean: return "True or False";
    }
    return "a value";
}

EventSchema::EventSchema(std::vector<FieldSpec> fields, const HashKey& key)
    : fields_(std::move(fields)),
      codes_(fields_.size()),
      scale_factor_(fields_.size(), 1),
      key_(key) {
    for (std::uint32_t index = 0; index < fields_.size(); ++index) {
        const FieldSpec& field = fields_[index];
        if (field.kind == FieldKind::id) id_slot_ = index;
        if (field.kind == FieldKind::event_time) time_slot_ = index;
        for (int i = 0; i < field.scale; ++i) scale_factor_[index] *= 10;
        double code = 0;
        for (const std::string& value : field.values) codes_[index].emplace(value, code++);
    }
}

double EventSchema::category_code(std::size_t field, std::string_view value) const {
    const auto found = codes_[field].find(value);
    return found == codes_[field].end() ? unknown_category : found->second;
}

EventRow::EventRow(const EventSchema& schema) : schema_(schema), hashes_(schema.size()) {
    constexpr std::size_t field_bytes = sizeof(quickthorn_text) + sizeof(quickthorn_slot);
    std::size_t kept = 0;
    for (std::size_t field = 0; field < schema.size(); ++field) kept += schema[field].as_text ? 1 : 0;
    memory_.resize(schema.size() * field_bytes + kept * QUICKTHORN_TEXT_BYTES);
    texts_ = reinterpret_cast<quickthorn_text*>(memory_.data());
    slots_ = reinterpret_cast<quickthorn_slot*>(texts_ + schema.size());
    auto* bytes = reinterpret_cast<char*>(slots_ + schema.size());
    for (std::size_t field = 0; field < schema.size(); ++field) {
        text(field) = {nullptr, -1};
        if (!schema[field].as_text) continue;
        text(field).bytes = bytes;
        bytes += QUICKTHORN_TEXT_BYTES;
    }
}

// The value is copied: what it was read from may be gone (a decoded document, a property's result) when kernels run.
void EventRow::keep_text(std::size_t field, std::string_view value) {
    if (!schema_[field].as_text) return;
    quickthorn_text& kept = text(field);
    kept.length = static_cast<std::int64_t>(value.size());
    std::memcpy(const_cast<char*>(kept.bytes), value.data(),
                std::min<std::size_t>(value.size(), QUICKTHORN_TEXT_BYTES));
}

Fault EventRow::set_missing(std::size_t field) {
    const FieldSpec& spec = schema_[field];
    if (spec.required) return Fault::missing;
    keep_no_text(field);
    switch (spec.kind) {
        case FieldKind::money: slots_[field] = missing_money; break;
        case FieldKind::number:
        case FieldKind::boolean:
        case FieldKind::category: put_real(field, std::numeric_limits<double>::quiet_NaN()); break;
        default: slots_[field] = 0;
    }
    return Fault::none;
}

Fault EventRow::set_identifier(std::size_t field, std::string_view value) {
    if (value.empty()) return Fault::empty;
    hashes_[field] = keyed_hash(schema_.key(), value);
    slots_[field] = 1;
    keep_text(field, value);
    return Fault::none;
}

Fault EventRow::set_text(std::size_t field, std::string_view value) {
    const FieldSpec& spec = schema_[field];
    if (spec.hashed) hashes_[field] = keyed_hash(schema_.key(), value);
    switch (spec.kind) {
        case FieldKind::id:
        case FieldKind::entity: return set_identifier(field, value);
        case FieldKind::text:
            slots_[field] = 1;
            keep_text(field, value);
            return Fault::none;
        case FieldKind::category: {
            const double code = schema_.category_code(field, value);
            if (spec.closed && code == unknown_category) return Fault::unlisted_category;
            put_real(field, code);
            keep_text(field, value);
            return Fault::none;
        }
        case FieldKind::money: {
            if (spec.minor_units) return Fault::wrong_type;
            std::int64_t minor = 0;
            const Fault fault = parse_money(value, spec.scale, minor);
            return fault == Fault::none ? set_minor_units(field, minor) : fault;
        }
        case FieldKind::event_time: {
            std::int64_t time_us = 0;
            const Fault fault = parse_time(value, time_us);
            return fault == Fault::none ? set_time_us(field, time_us) : fault;
        }
        default: return Fault::wrong_type;
    }
}

Fault EventRow::set_integer(std::size_t field, std::int64_t value) {
    const FieldSpec& spec = schema_[field];
    switch (spec.kind) {
        case FieldKind::id:
        case FieldKind::entity: {
            const DecimalText digits(value);
            return set_identifier(field, digits.view());
        }
        case FieldKind::event_time: return set_time_us(field, value);
        case FieldKind::money: {
            if (spec.minor_units) return set_minor_units(field, value);
            std::int64_t minor = 0;
            if (__builtin_mul_overflow(value, schema_.scale_factor(field), &minor)) return Fault::too_large;
            return set_minor_units(field, minor);
        }
        case FieldKind::number: put_real(field, static_cast<double>(value)); return Fault::none;
        default: return Fault::wrong_type;
    }
}

Fault EventRow::set_real(std::size_t field, double value) {
    const FieldSpec& spec = schema_[field];
    if (spec.kind == FieldKind::number) {
        if (std::isnan(value)) return set_missing(field);
        if (std::isinf(value)) return Fault::not_finite;
        put_real(field, value);
        return Fault::none;
    }
    if (spec.kind != FieldKind::money || spec.minor_units) return Fault::wrong_type;
    if (!std::isfinite(value)) return Fault::not_finite;
    const auto factor = static_cast<double>(schema_.scale_factor(field));
    const double minor = std::nearbyint(value * factor);
    if (std::fabs(minor) > static_cast<double>(money_limit)) return Fault::too_large;
    // A float is an amount only when it is the float nearest to one: 59.9 is, 59.999999 is not.
    if (minor / factor != value) return Fault::too_fine;
    return set_minor_units(field, static_cast<std::int64_t>(minor));
}

}  // namespace quickthorn

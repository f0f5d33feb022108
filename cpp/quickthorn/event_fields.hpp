// The event schema as the core sees it, and how each kind of value becomes one slot of an event row.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "quickthorn/identity.hpp"
#include "quickthorn/library_abi.h"

namespace quickthorn {

enum class FieldKind : std::uint8_t { id, event_time, entity, money, number, category, text, boolean };

// Why a value does not fit its field. Data is never an exception in the core.
enum class Fault : std::uint8_t {
    none,
    missing,            // a required field has no value
    wrong_type,         // the value is of a type the field does not take
    empty,              // an identifier without a character
    not_finite,         // an infinite number, or money that is not a number
    negative,           // money below zero in a field that is not signed
    too_large,          // beyond the field's limit
    too_fine,           // money with more decimals than the field has
    not_money,          // text that is not a decimal amount
    not_a_time,         // text that is not an RFC 3339 time, or a time without a zone
    unlisted_category,  // a value outside a closed category
    not_an_event,       // the whole event is not of a form that is understood
    unknown_event,      // an id of an event that is not remembered
};

inline constexpr std::int64_t missing_money = INT64_MIN;
inline constexpr std::int64_t money_limit = std::int64_t{1} << 43;
inline constexpr std::int64_t event_time_limit_us = std::int64_t{1} << 61;
inline constexpr double unknown_category = -1.0;

struct FieldSpec {
    std::string name;
    FieldKind kind = FieldKind::text;
    bool required = true;
    int scale = 2;             // money: decimal digits of the minor unit
    bool minor_units = false;  // money: numbers that come in are whole minor units
    bool is_signed = false;    // money: may be negative
    bool closed = false;       // category: other values are a fault
    bool as_text = false;      // entity, category, text: kernels want the value's text
    bool hashed = false;       // category or text: its hash is wanted
    std::vector<std::string> values;

    // Ends the sentence "<field>: expected …".
    std::string expected(Fault fault) const;
};

struct TransparentHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

// The fields with what is prepared at load for reading them.
class EventSchema {
public:
    EventSchema(std::vector<FieldSpec> fields, const HashKey& key);

    std::size_t size() const { return fields_.size(); }
    const FieldSpec& operator[](std::size_t index) const { return fields_[index]; }
    const HashKey& key() const { return key_; }
    std::uint32_t id_slot() const { return id_slot_; }
    std::uint32_t time_slot() const { return time_slot_; }

    // The ordinal of a category value, −1 when it is not listed.
    double category_code(std::size_t field, std::string_view value) const;

    std::int64_t scale_factor(std::size_t field) const { return scale_factor_[field]; }

private:
    using Codes = std::unordered_map<std::string, double, TransparentHash, std::equal_to<>>;

    std::vector<FieldSpec> fields_;
    std::vector<Codes> codes_;
    std::vector<std::int64_t> scale_factor_;
    HashKey key_;
    std::uint32_t id_slot_ = 0;
    std::uint32_t time_slot_ = 0;
};

// One event on its way through the stages: a slot and, for identifiers, a hash per field, and the text of those whose
// kernels want it. Filled by a reader (a Python event, an Arrow row), allocated once. Every setter returns why the
// value does not fit, or Fault::none.
class EventRow {
public:
    explicit EventRow(const EventSchema& schema);
    EventRow(const EventRow&) = delete;  // its texts know where they are
    EventRow& operator=(const EventRow&) = delete;

    Fault set_missing(std::size_t field);
    Fault set_text(std::size_t field, std::string_view value);
    Fault set_integer(std::size_t field, std::int64_t value);
    Fault set_real(std::size_t field, double value);
    Fault set_boolean(std::size_t field, bool value) {
        if (schema_[field].kind != FieldKind::boolean) return Fault::wrong_type;
        put_real(field, value ? 1.0 : 0.0);
        return Fault::none;
    }
    Fault set_time_us(std::size_t field, std::int64_t value) {
        if (schema_[field].kind != FieldKind::event_time) return Fault::wrong_type;
        if (value > event_time_limit_us || value < -event_time_limit_us) return Fault::too_large;
        slots_[field] = value;
        return Fault::none;
    }

    // An identifier by its hash, where nobody wants its text.
    void set_hashed(std::size_t field, const Hash128& hash) {
        hashes_[field] = hash;
        slots_[field] = 1;
    }

    // Money as minor units of the field's own scale, whatever form it came in.
    Fault set_minor_units(std::size_t field, std::int64_t minor) {
        const FieldSpec& spec = schema_[field];
        if (spec.kind != FieldKind::money) return Fault::wrong_type;
        if (minor < 0 && !spec.is_signed) return Fault::negative;
        if (minor > money_limit || minor < -money_limit) return Fault::too_large;
        slots_[field] = minor;
        return Fault::none;
    }

    const EventSchema& schema() const { return schema_; }
    const quickthorn_slot* slots() const { return slots_; }
    std::int64_t time_us() const { return slots_[schema_.time_slot()]; }
    const Hash128& id() const { return hashes_[schema_.id_slot()]; }
    bool present(std::size_t field) const { return slots_[field] != 0; }  // of entities and text
    const Hash128& hash(std::size_t field) const { return hashes_[field]; }
    const Hash128* hashes() const { return hashes_.data(); }

private:
    Fault set_identifier(std::size_t field, std::string_view value);
    void put_real(std::size_t field, double value) { slots_[field] = std::bit_cast<quickthorn_slot>(value); }
    void keep_text(std::size_t field, std::string_view value);
    void keep_no_text(std::size_t field) { text(field).length = -1; }
    quickthorn_text& text(std::size_t field) { return texts_[schema_.size() - 1 - field]; }

    const EventSchema& schema_;
    std::vector<std::byte> memory_;  // the texts, the slots, then the texts' bytes
    quickthorn_text* texts_;
    quickthorn_slot* slots_;
    std::vector<Hash128> hashes_;
};

}  // namespace quickthorn

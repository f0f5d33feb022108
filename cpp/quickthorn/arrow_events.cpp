#include "quickthorn/arrow_events.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

namespace quickthorn {
namespace {

constexpr std::int64_t us_per_second = 1'000'000;

// Whether a field takes values of a column type at all; single values may still not fit.
bool takes(const FieldSpec& field, ArrowType type) {
    if (type == ArrowType::null) return true;
    switch (field.kind) {
        case FieldKind::id:
        case FieldKind::entity: return is_text(type) || is_integer(type);
        case FieldKind::event_time: return type == ArrowType::timestamp || type == ArrowType::int64 || is_text(type);
        case FieldKind::money:
            if (is_integer(type)) return true;
            return !field.minor_units && (type == ArrowType::float64 || is_text(type) || type == ArrowType::decimal128);
        case FieldKind::number: return is_integer(type) || is_real(type);
        case FieldKind::category:
        case FieldKind::text: return is_text(type);
        case FieldKind::boolean: return type == ArrowType::boolean;
    }
    return false;
}

[[noreturn]] void refuse(const FieldSpec& field, const std::string& found) {
    throw ArrowError(field.name + ": expected " + field.expected(Fault::wrong_type) + ", found " + found);
}

ArrowColumn column_of(const FieldSpec& field, const ArrowSchema& schema) {
    std::optional<ArrowColumn> column = described_column(schema);
    if (!column || !takes(field, column->dictionary.empty() ? column->type : column->dictionary[0].type)) {
        refuse(field, std::string("an Arrow column of format \"") +
                          (schema.dictionary != nullptr ? schema.dictionary->format : schema.format) + "\"");
    }
    return *column;
}

std::int64_t floor_divide(std::int64_t value, std::int64_t divisor) {
    const std::int64_t quotient = value / divisor;
    return value % divisor < 0 ? quotient - 1 : quotient;
}

Fault set_timestamp(const ArrowColumn& column, std::int64_t value, std::size_t field, EventRow& event) {
    std::int64_t time_us = 0;
    if (column.unit_per_second > us_per_second) {
        time_us = floor_divide(value, column.unit_per_second / us_per_second);
    } else if (__builtin_mul_overflow(value, us_per_second / column.unit_per_second, &time_us)) {
        return Fault::too_large;
    }
    return event.set_time_us(field, time_us);
}

// A decimal column has its own scale; the field's may be finer or, for trailing zeros, coarser.
Fault set_decimal(std::int64_t value, int scale, std::size_t field, EventRow& event) {
    for (; scale < event.schema()[field].scale; ++scale) {
        if (__builtin_mul_overflow(value, std::int64_t{10}, &value)) return Fault::too_large;
    }
    for (; scale > event.schema()[field].scale; --scale) {
        if (value % 10 != 0) return Fault::too_fine;
        value /= 10;
    }
    return event.set_minor_units(field, value);
}

}  // namespace

ArrowEvents::ArrowEvents(const EventSchema& schema, const ArrowSchema& columns, std::string rows)
    : schema_(schema),
      rows_(std::move(rows)),
      columns_(schema.size()),
      places_(schema.size(), -1),
      child_count_(columns.n_children) {
    if (columns.format == nullptr || std::string_view(columns.format) != "+s") {
        throw ArrowError(rows_ + ": expected an Arrow table or record batch, found data without columns");
    }
    for (std::size_t field = 0; field < schema.size(); ++field) {
        for (std::int64_t place = 0; place < columns.n_children; ++place) {
            const ArrowSchema& child = *columns.children[place];
            if (child.name == nullptr || schema[field].name != child.name) continue;
            if (places_[field] >= 0) throw ArrowError(schema[field].name + ": expected one column, found two");
            places_[field] = place;
            columns_[field] = column_of(schema[field], child);
        }
        if (places_[field] < 0 && schema[field].required) {
            refuse(schema[field], "no column of that name");
        }
    }
}

void ArrowEvents::open(const ArrowArray& batch) {
    if (batch.n_children != child_count_) {
        throw ArrowError(rows_ + ": expected a batch of " + std::to_string(child_count_) + " columns, found " +
                         std::to_string(batch.n_children));
    }
    batch_ = &batch;
    length_ = batch.length;
    batch_offset_ = batch.offset;
    for (std::size_t field = 0; field < columns_.size(); ++field) {
        if (places_[field] < 0) continue;
        columns_[field].open(*batch.children[places_[field]]);
    }
}

EventFault ArrowEvents::read(std::int64_t row, EventRow& event) const {
    for (std::size_t field = 0; field < columns_.size(); ++field) {
        const Fault fault = read_field(columns_[field], batch_offset_ + row, field, event);
        if (fault != Fault::none) return {fault, field};
    }
    return {};
}

void ArrowEvents::read(std::int64_t first, std::span<const std::unique_ptr<EventRow>> rows,
                       std::span<EventFault> faults) const {
    std::ranges::fill(faults, EventFault{});
    for (std::size_t field = 0; field < columns_.size(); ++field) {
        if (read_plain(field, first, rows, faults)) continue;
        for (std::size_t place = 0; place < rows.size(); ++place) {
            if (faults[place].fault != Fault::none) continue;
            const std::int64_t row = batch_offset_ + first + static_cast<std::int64_t>(place);
            faults[place] = {read_field(columns_[field], row, field, *rows[place]), field};
        }
    }
}

// Without a decision for each value, where a column has no gaps and its values are what its kind of field mostly comes
// as. False where it is another one, and nothing is read. A row that a field before has spoilt may be read on.
bool ArrowEvents::read_plain(std::size_t field, std::int64_t first, std::span<const std::unique_ptr<EventRow>> rows,
                             std::span<EventFault> faults) const {
    const ArrowColumn& column = columns_[field];
    if (!column.is_plain()) return false;
    const bool of_microseconds = column.type == ArrowType::timestamp && column.unit_per_second == us_per_second;
    const bool signed_words = is_integer(column.type) && column.type != ArrowType::uint64;
    const bool reals = is_real(column.type);
    if (!signed_words && !of_microseconds && !reals && column.type != ArrowType::boolean) return false;
    for (std::size_t begin = 0; begin < rows.size(); begin += plain_rows) {
        const std::size_t count = std::min(plain_rows, rows.size() - begin);
        const std::int64_t from = batch_offset_ + first + static_cast<std::int64_t>(begin);
        if (reals) {
            read_reals(field, from, rows.subspan(begin, count), faults.subspan(begin, count));
        } else {
            read_integers(field, from, rows.subspan(begin, count), faults.subspan(begin, count));
        }
    }
    return true;
}

template <class Value, class Set>
void ArrowEvents::set_each(std::size_t field, std::span<const Value> values,
                           std::span<const std::unique_ptr<EventRow>> rows, std::span<EventFault> faults, Set&& set) {
    for (std::size_t place = 0; place < rows.size(); ++place) {
        if (faults[place].fault == Fault::none) faults[place] = {set(*rows[place], values[place]), field};
    }
}

void ArrowEvents::read_reals(std::size_t field, std::int64_t from, std::span<const std::unique_ptr<EventRow>> rows,
                             std::span<EventFault> faults) const {
    std::array<double, plain_rows> memory;
    const auto values = std::span(memory).first(rows.size());
    columns_[field].reals(from, values);
    set_each<double>(field, values, rows, faults,
                     [&](EventRow& row, double value) { return row.set_real(field, value); });
}

void ArrowEvents::read_integers(std::size_t field, std::int64_t from, std::span<const std::unique_ptr<EventRow>> rows,
                                std::span<EventFault> faults) const {
    const FieldSpec& spec = schema_[field];
    std::array<std::int64_t, plain_rows> memory;
    const auto values = std::span(memory).first(rows.size());
    columns_[field].integers(from, values);
    const auto set = [&](auto&& function) { set_each<std::int64_t>(field, values, rows, faults, function); };
    if ((spec.kind == FieldKind::id || spec.kind == FieldKind::entity) && !spec.as_text) {
        std::array<Hash128, plain_rows> hashes;
        keyed_hashes(schema_.key(), values, hashes.data());
        for (std::size_t place = 0; place < rows.size(); ++place) rows[place]->set_hashed(field, hashes[place]);
    } else if (spec.kind == FieldKind::event_time) {
        set([&](EventRow& row, std::int64_t value) { return row.set_time_us(field, value); });
    } else if (spec.kind == FieldKind::money && spec.minor_units) {
        set([&](EventRow& row, std::int64_t value) { return row.set_minor_units(field, value); });
    } else if (spec.kind == FieldKind::boolean) {
        set([&](EventRow& row, std::int64_t value) { return row.set_boolean(field, value != 0); });
    } else {
        set([&](EventRow& row, std::int64_t value) { return row.set_integer(field, value); });
    }
}

Fault ArrowEvents::read_field(const ArrowColumn& column, std::int64_t row, std::size_t field, EventRow& event) const {
    if (column.is_null(row)) return event.set_missing(field);
    if (!column.dictionary.empty()) {
        if (!column.names_a_value(row)) return Fault::wrong_type;
        return read_field(column.dictionary[0], column.integer(row), field, event);
    }
    switch (column.type) {
        case ArrowType::text:
        case ArrowType::large_text:
        case ArrowType::text_view: return event.set_text(field, column.text(row));
        case ArrowType::float32:
        case ArrowType::float64: return event.set_real(field, column.real(row));
        case ArrowType::boolean: return event.set_boolean(field, column.integer(row) != 0);
        case ArrowType::timestamp: return set_timestamp(column, column.integer(row), field, event);
        case ArrowType::decimal128: return set_decimal(column.integer(row), column.decimal_scale, field, event);
        case ArrowType::uint64:
            // Above the signed range only an identifier could still mean something, and it would hash as negative.
            return column.integer(row) < 0 ? Fault::too_large : event.set_integer(field, column.integer(row));
        default: return event.set_integer(field, column.integer(row));
    }
}

std::string ArrowEvents::shown(std::int64_t row, std::size_t field) const {
    const ArrowColumn* column = &columns_[field];
    std::int64_t index = batch_offset_ + row;
    if (column->is_null(index)) return "nothing";
    if (!column->dictionary.empty()) {
        if (!column->names_a_value(index)) return "an index outside the column's dictionary";
        index = column->integer(index);
        column = &column->dictionary[0];
    }
    if (is_text(column->type)) return std::string("'").append(column->text(index).substr(0, 80)).append("'");
    if (is_real(column->type)) {
        char text[32];
        std::snprintf(text, sizeof text, "%.17g", column->real(index));
        return text;
    }
    return std::to_string(column->integer(index));
}

}  // namespace quickthorn

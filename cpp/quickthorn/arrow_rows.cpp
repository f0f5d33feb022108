#include "quickthorn/arrow_rows.hpp"

#include <cstdio>
#include <limits>

#if __has_include(<Python.h>)
#error "the C++ core is built without Python on its include path"
#endif

namespace quickthorn {
namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

std::string quoted(std::string_view text) { return std::string("'").append(text.substr(0, 80)).append("'"); }

std::string shown(double number) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", number);
    return text;
}

// A column of plain numbers, by far the most usual, without a decision per value.
template <class Value>
void copy(const ArrowColumn& column, std::int64_t first, std::size_t count, double* values) {
    const Value* source = static_cast<const Value*>(column.array->buffers[1]) + column.offset + first;
    for (std::size_t row = 0; row < count; ++row) values[row] = static_cast<double>(source[row]);
}

}  // namespace

ArrowRows::ArrowRows(const RowLayout& layout, const ArrowSchema& columns)
    : layout_(layout),
      columns_(layout.feature_count),
      places_(layout.feature_count, -1),
      entries_(layout.feature_count),
      child_count_(columns.n_children) {
    if (columns.format == nullptr || std::string_view(columns.format) != "+s") {
        throw ArrowError("rows: expected an Arrow table or record batch, found data without columns");
    }
    if (layout.names.empty()) {
        if (columns.n_children != static_cast<std::int64_t>(layout.feature_count)) {
            throw ArrowError("rows: expected " + std::to_string(layout.feature_count) +
                             " columns, as the model has no feature names, found " +
                             std::to_string(columns.n_children));
        }
        for (std::size_t feature = 0; feature < places_.size(); ++feature) {
            places_[feature] = static_cast<std::int64_t>(feature);
        }
    } else {
        std::unordered_map<std::string_view, std::int64_t> by_name;
        for (std::int64_t place = 0; place < columns.n_children; ++place) {
            const char* name = columns.children[place]->name;
            if (name == nullptr) continue;
            const auto [entry, is_new] = by_name.emplace(name, place);
            if (!is_new) entry->second = -2;
        }
        for (std::size_t feature = 0; feature < places_.size(); ++feature) {
            const auto entry = by_name.find(layout.names[feature]);
            if (entry == by_name.end() || entry->second < 0) {
                throw ArrowError("rows: " + name_of(feature) + ": expected one column of that name, found " +
                                 (entry == by_name.end() ? "none" : "two"));
            }
            places_[feature] = entry->second;
        }
    }
    for (std::size_t feature = 0; feature < places_.size(); ++feature) {
        const ArrowSchema& schema = *columns.children[places_[feature]];
        const auto column = described_column(schema);
        const ArrowType type = !column                      ? ArrowType::absent
                               : column->dictionary.empty() ? column->type
                                                            : column->dictionary[0].type;
        const bool text = is_text(type) && !layout_.codes.empty() && layout_.codes[feature].takes_text();
        if (!text && !is_integer(type) && !is_real(type) && type != ArrowType::boolean && type != ArrowType::null) {
            throw ArrowError("rows: " + name_of(feature) + ": expected a column of numbers" +
                             (layout_.codes.empty() || !layout_.codes[feature].takes_text() ? "" : " or categories") +
                             ", found an Arrow column of format \"" +
                             (schema.dictionary != nullptr ? schema.dictionary->format : schema.format) + "\"");
        }
        columns_[feature] = *column;
    }
}

void ArrowRows::open(const ArrowArray& batch) {
    if (batch.n_children != child_count_) {
        throw ArrowError("rows: expected a batch of " + std::to_string(child_count_) + " columns, found " +
                         std::to_string(batch.n_children));
    }
    batch_ = &batch;
    length_ = static_cast<std::size_t>(batch.length);
    batch_offset_ = batch.offset;
    for (std::size_t feature = 0; feature < columns_.size(); ++feature) {
        ArrowColumn& column = columns_[feature];
        column.open(*batch.children[places_[feature]]);
        entries_[feature].clear();
        if (column.dictionary.empty() || layout_.codes.empty() || layout_.codes[feature].empty()) continue;
        // A dictionary's entries are looked up once, and an unknown one is refused where a row uses it.
        const ArrowColumn& values = column.dictionary[0];
        entries_[feature].resize(static_cast<std::size_t>(values.array->length), missing);
        for (std::size_t entry = 0; entry < entries_[feature].size(); ++entry) {
            const auto row = static_cast<std::int64_t>(entry);
            if (values.is_null(row)) continue;
            const CategoryCodes& codes = layout_.codes[feature];
            const double* code = is_text(values.type)   ? codes.find(values.text(row))
                                 : is_real(values.type) ? codes.find(values.real(row))
                                                        : codes.find(static_cast<double>(values.integer(row)));
            // Below zero, a row's value is looked up by itself, and is refused or unmatched there.
            constexpr double unknown = -1.0;
            entries_[feature][entry] = code != nullptr                               ? *code
                                       : layout_.unknown == UnknownCategory::missing ? missing
                                                                                     : unknown;
        }
    }
}

void ArrowRows::read(std::size_t first, std::size_t count, std::size_t stride, double* values) const {
    const std::int64_t begin = batch_offset_ + static_cast<std::int64_t>(first);
    for (std::size_t feature = 0; feature < columns_.size(); ++feature) {
        read_column(feature, begin, count, values + feature * stride);
    }
}

std::string ArrowRows::name_of(std::size_t feature) const {
    return layout_.names.empty() ? "feature " + std::to_string(feature) : quoted(layout_.names[feature]);
}

void ArrowRows::read_column(std::size_t feature, std::int64_t first, std::size_t count, double* values) const {
    const ArrowColumn& column = columns_[feature];
    const bool plain = layout_.codes.empty() || layout_.codes[feature].empty();
    const bool whole =
        column.type != ArrowType::null && (column.array->null_count == 0 || column.array->buffers[0] == nullptr);
    if (plain && whole && column.dictionary.empty()) {
        switch (column.type) {
            case ArrowType::float64: return copy<double>(column, first, count, values);
            case ArrowType::float32: return copy<float>(column, first, count, values);
            case ArrowType::int64: return copy<std::int64_t>(column, first, count, values);
            case ArrowType::int32: return copy<std::int32_t>(column, first, count, values);
            default: break;
        }
    }
    for (std::size_t row = 0; row < count; ++row) {
        values[row] = value_of(feature, column, first + static_cast<std::int64_t>(row));
    }
}

double ArrowRows::value_of(std::size_t feature, const ArrowColumn& column, std::int64_t row) const {
    if (column.is_null(row)) return missing;
    if (!column.dictionary.empty()) {
        if (!column.names_a_value(row)) {
            throw ArrowError("rows: " + name_of(feature) + ": expected an index into the column's dictionary, found " +
                             std::to_string(column.integer(row)));
        }
        const std::int64_t entry = column.integer(row);
        if (entries_[feature].empty()) return value_of(feature, column.dictionary[0], entry);
        const double code = entries_[feature][static_cast<std::size_t>(entry)];
        return code < 0 ? value_of(feature, column.dictionary[0], entry) : code;
    }
    if (is_text(column.type)) {
        const std::string_view text = column.text(row);
        const double* code = layout_.codes[feature].find(text);
        return code != nullptr ? *code : unknown_category(feature, quoted(text));
    }
    double number = is_real(column.type) ? column.real(row) : static_cast<double>(column.integer(row));
    if (column.type == ArrowType::uint64) {
        number = static_cast<double>(static_cast<std::uint64_t>(column.integer(row)));
    }
    if (number != number || layout_.codes.empty() || layout_.codes[feature].empty()) return number;
    const double* code = layout_.codes[feature].find(number);
    return code != nullptr ? *code : unknown_category(feature, shown(number));
}

double ArrowRows::unknown_category(std::size_t feature, const std::string& found) const {
    if (layout_.unknown == UnknownCategory::missing) return missing;
    if (layout_.unknown == UnknownCategory::unmatched) return unmatched_code;
    throw ArrowError("rows: " + name_of(feature) + ": expected a category that the model was trained on, found " +
                     found);
}

}  // namespace quickthorn

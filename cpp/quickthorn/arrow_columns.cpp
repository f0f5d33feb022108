#include "quickthorn/arrow_columns.hpp"

#include <cstdio>
#include <cstring>
#include <limits>

namespace quickthorn {
namespace {

template <class T>
T value_at(const ArrowArray& array, std::size_t buffer, std::int64_t index) {
    T value;
    std::memcpy(&value, static_cast<const char*>(array.buffers[buffer]) + index * std::int64_t{sizeof(T)},
                sizeof value);
    return value;
}

bool bit_at(const void* bits, std::int64_t index) {
    return (static_cast<const std::uint8_t*>(bits)[index / 8] >> (index % 8) & 1) != 0;
}

template <class Offset>
std::string_view text_between(const ArrowArray& array, std::int64_t index) {
    const auto begin = value_at<Offset>(array, 1, index);
    const auto end = value_at<Offset>(array, 1, index + 1);
    return {static_cast<const char*>(array.buffers[2]) + begin, static_cast<std::size_t>(end - begin)};
}

// A view holds up to 12 bytes in place, else names a data buffer and an offset into it.
std::string_view text_viewed(const ArrowArray& array, std::int64_t index) {
    const char* view = static_cast<const char*>(array.buffers[1]) + index * 16;
    std::int32_t length = 0;
    std::memcpy(&length, view, 4);
    if (length <= 12) return {view + 4, static_cast<std::size_t>(length)};
    std::int32_t buffer = 0;
    std::int32_t start = 0;
    std::memcpy(&buffer, view + 8, 4);
    std::memcpy(&start, view + 12, 4);
    return {static_cast<const char*>(array.buffers[2 + buffer]) + start, static_cast<std::size_t>(length)};
}

template <class T, class Wide>
void widen(const ArrowArray& array, std::int64_t index, std::span<Wide> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<Wide>(value_at<T>(array, 1, index + static_cast<std::int64_t>(i)));
    }
}

struct ColumnType {
    ArrowType type = ArrowType::null;
    std::int64_t unit_per_second = 1;
    int decimal_scale = 0;
};

std::optional<ColumnType> timestamp_type(std::string_view format) {
    // "tsu:UTC": the third letter is the unit; nothing after the colon would be a time without a zone.
    if (format.size() < 5 || format[3] != ':') return std::nullopt;
    switch (format[2]) {
        case 's': return ColumnType{ArrowType::timestamp, 1, 0};
        case 'm': return ColumnType{ArrowType::timestamp, 1'000, 0};
        case 'u': return ColumnType{ArrowType::timestamp, 1'000'000, 0};
        case 'n': return ColumnType{ArrowType::timestamp, 1'000'000'000, 0};
        default: return std::nullopt;
    }
}

std::optional<ColumnType> decimal_type(const char* format) {
    int precision = 0;
    int scale = 0;
    int bits = 128;
    if (std::sscanf(format, "d:%d,%d,%d", &precision, &scale, &bits) < 2 || bits != 128) return std::nullopt;
    if (scale < 0 || scale > 18) return std::nullopt;
    return ColumnType{ArrowType::decimal128, 1, scale};
}

std::optional<ColumnType> column_type(const char* text) {
    const std::string_view format = text;
    if (format.starts_with("ts")) return timestamp_type(format);
    if (format.starts_with("d:")) return decimal_type(text);
    if (format == "vu") return ColumnType{ArrowType::text_view};
    if (format.size() != 1) return std::nullopt;
    switch (format[0]) {
        case 'n': return ColumnType{ArrowType::null};
        case 'b': return ColumnType{ArrowType::boolean};
        case 'c': return ColumnType{ArrowType::int8};
        case 'C': return ColumnType{ArrowType::uint8};
        case 's': return ColumnType{ArrowType::int16};
        case 'S': return ColumnType{ArrowType::uint16};
        case 'i': return ColumnType{ArrowType::int32};
        case 'I': return ColumnType{ArrowType::uint32};
        case 'l': return ColumnType{ArrowType::int64};
        case 'L': return ColumnType{ArrowType::uint64};
        case 'f': return ColumnType{ArrowType::float32};
        case 'g': return ColumnType{ArrowType::float64};
        case 'u': return ColumnType{ArrowType::text};
        case 'U': return ColumnType{ArrowType::large_text};
        default: return std::nullopt;
    }
}

}  // namespace

bool is_text(ArrowType type) {
    return type == ArrowType::text || type == ArrowType::large_text || type == ArrowType::text_view;
}

bool is_integer(ArrowType type) { return type >= ArrowType::int8 && type <= ArrowType::uint64; }

bool is_real(ArrowType type) { return type == ArrowType::float32 || type == ArrowType::float64; }

std::optional<ArrowColumn> described_column(const ArrowSchema& schema) {
    const auto type = column_type(schema.format);
    if (!type) return std::nullopt;
    ArrowColumn column{type->type, type->unit_per_second, type->decimal_scale, 0, nullptr, {}};
    if (schema.dictionary != nullptr) {
        const auto inner = column_type(schema.dictionary->format);
        if (!inner || schema.dictionary->dictionary != nullptr || !is_integer(type->type)) return std::nullopt;
        column.dictionary.push_back({inner->type, inner->unit_per_second, inner->decimal_scale, 0, nullptr, {}});
    }
    return column;
}

void ArrowColumn::open(const ArrowArray& values) {
    array = &values;
    offset = values.offset;
    if (!dictionary.empty()) dictionary[0].open(*values.dictionary);
}

bool ArrowColumn::names_a_value(std::int64_t row) const {
    const std::int64_t value = integer(row);
    return value >= 0 && value < dictionary[0].array->length;
}

bool ArrowColumn::is_null(std::int64_t row) const {
    if (type == ArrowType::absent || type == ArrowType::null) return true;
    const std::int64_t index = offset + row;
    if (array->null_count != 0 && array->buffers[0] != nullptr && !bit_at(array->buffers[0], index)) return true;
    return !dictionary.empty() && names_a_value(row) && dictionary[0].is_null(integer(row));
}

std::int64_t ArrowColumn::integer(std::int64_t row) const {
    const std::int64_t index = offset + row;
    switch (type) {
        case ArrowType::boolean: return bit_at(array->buffers[1], index) ? 1 : 0;
        case ArrowType::int8: return value_at<std::int8_t>(*array, 1, index);
        case ArrowType::uint8: return value_at<std::uint8_t>(*array, 1, index);
        case ArrowType::int16: return value_at<std::int16_t>(*array, 1, index);
        case ArrowType::uint16: return value_at<std::uint16_t>(*array, 1, index);
        case ArrowType::int32: return value_at<std::int32_t>(*array, 1, index);
        case ArrowType::uint32: return value_at<std::uint32_t>(*array, 1, index);
        case ArrowType::uint64:
        case ArrowType::int64:
        case ArrowType::timestamp: return value_at<std::int64_t>(*array, 1, index);
        case ArrowType::decimal128: {
            // The low 64 bits; a value that does not fit them is shown as the largest, which no money field takes.
            const auto low = value_at<std::int64_t>(*array, 1, 2 * index);
            const auto high = value_at<std::int64_t>(*array, 1, 2 * index + 1);
            return high == (low >> 63) ? low : std::numeric_limits<std::int64_t>::max();
        }
        default: return 0;
    }
}

void ArrowColumn::integers(std::int64_t first, std::span<std::int64_t> values) const {
    const std::int64_t index = offset + first;
    switch (type) {
        case ArrowType::boolean:
            for (std::size_t i = 0; i < values.size(); ++i) {
                values[i] = bit_at(array->buffers[1], index + static_cast<std::int64_t>(i)) ? 1 : 0;
            }
            return;
        case ArrowType::int8: return widen<std::int8_t>(*array, index, values);
        case ArrowType::uint8: return widen<std::uint8_t>(*array, index, values);
        case ArrowType::int16: return widen<std::int16_t>(*array, index, values);
        case ArrowType::uint16: return widen<std::uint16_t>(*array, index, values);
        case ArrowType::int32: return widen<std::int32_t>(*array, index, values);
        case ArrowType::uint32: return widen<std::uint32_t>(*array, index, values);
        default: return widen<std::int64_t>(*array, index, values);
    }
}

double ArrowColumn::real(std::int64_t row) const {
    const std::int64_t index = offset + row;
    return type == ArrowType::float32 ? value_at<float>(*array, 1, index) : value_at<double>(*array, 1, index);
}

void ArrowColumn::reals(std::int64_t first, std::span<double> values) const {
    const std::int64_t index = offset + first;
    if (type == ArrowType::float32) return widen<float>(*array, index, values);
    widen<double>(*array, index, values);
}

std::string_view ArrowColumn::text(std::int64_t row) const {
    const std::int64_t index = offset + row;
    switch (type) {
        case ArrowType::large_text: return text_between<std::int64_t>(*array, index);
        case ArrowType::text_view: return text_viewed(*array, index);
        default: return text_between<std::int32_t>(*array, index);
    }
}

}  // namespace quickthorn

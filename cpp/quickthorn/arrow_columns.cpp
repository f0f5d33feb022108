// One Arrow column: its type from the format string, its values from the buffers.
#include <bit>
#include <cstring>
#include <limits>

#include "quickthorn/arrow_events.hpp"

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

}  // namespace

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

double ArrowColumn::real(std::int64_t row) const {
    const std::int64_t index = offset + row;
    return type == ArrowType::float32 ? value_at<float>(*array, 1, index) : value_at<double>(*array, 1, index);
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

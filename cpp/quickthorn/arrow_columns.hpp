// Arrow columns through the C data interface: types from format strings, values from buffers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "quickthorn/arrow_abi.h"

namespace quickthorn {

// The table as a whole does not fit the schema; what() names the column, what was found and what was expected.
struct ArrowError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// What an Arrow column holds.
enum class ArrowType : std::uint8_t {
    absent,  // the column is not there: its values are missing in every row
    null,
    boolean,
    int8,
    uint8,
    int16,
    uint16,
    int32,
    uint32,
    int64,
    uint64,
    float32,
    float64,
    text,        // 32-bit offsets
    large_text,  // 64-bit offsets
    text_view,   // views of 16 bytes
    timestamp,   // with a time zone
    decimal128,
};

// One column's buffers; a dictionary column points at its values.
struct ArrowColumn {
    ArrowType type = ArrowType::absent;
    std::int64_t unit_per_second = 1;  // of a timestamp
    int decimal_scale = 0;
    std::int64_t offset = 0;
    const ArrowArray* array = nullptr;
    std::vector<ArrowColumn> dictionary;  // empty, or the one column of dictionary values

    // The column of a batch that was described by the same schema as this; the array must outlive its use.
    void open(const ArrowArray& values);

    bool is_null(std::int64_t row) const;
    // Of a dictionary column: whether the row's index lies in the dictionary.
    bool names_a_value(std::int64_t row) const;
    // Whether every row has a value, and that in the column itself.
    bool is_plain() const {
        return type > ArrowType::null && dictionary.empty() && (array->null_count == 0 || array->buffers[0] == nullptr);
    }
    std::int64_t integer(std::int64_t row) const;
    // The same for rows first, first + 1 and so on, of a column of integers, timestamps or booleans.
    void integers(std::int64_t first, std::span<std::int64_t> values) const;
    double real(std::int64_t row) const;
    void reals(std::int64_t first, std::span<double> values) const;
    std::string_view text(std::int64_t row) const;
};

bool is_text(ArrowType type);
bool is_integer(ArrowType type);
bool is_real(ArrowType type);

// The column that a schema describes, with no values yet; nothing for a type that is none of the above.
std::optional<ArrowColumn> described_column(const ArrowSchema& schema);

}  // namespace quickthorn

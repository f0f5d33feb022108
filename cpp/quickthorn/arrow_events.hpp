// Reads events from Arrow data through the C data interface: one column per declared field, found by name.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "quickthorn/arrow_abi.h"
#include "quickthorn/event_fields.hpp"

namespace quickthorn {

// The table as a whole does not fit the schema; what() names the column, what was found and what was expected.
struct ArrowError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A value on its way from an Arrow column to an event row.
enum class ArrowType : std::uint8_t {
    absent,  // the column is not there: its optional field is missing in every row
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

    bool is_null(std::int64_t row) const;
    // Of a dictionary column: whether the row's index lies in the dictionary.
    bool names_a_value(std::int64_t row) const;
    std::int64_t integer(std::int64_t row) const;
    double real(std::int64_t row) const;
    std::string_view text(std::int64_t row) const;
};

struct EventFault {
    Fault fault = Fault::none;
    std::size_t field = 0;
};

// Binds a schema's columns once, then reads batch after batch.
class ArrowEvents {
public:
    // Throws ArrowError for a required field without a column, or a column of a type its field does not take.
    ArrowEvents(const EventSchema& schema, const ArrowSchema& columns);

    // The batch must outlive its use and match the columns given at construction; throws ArrowError where it does not.
    void open(const ArrowArray& batch);

    std::int64_t length() const { return length_; }

    // Fills the event row; says which field does not fit, and why.
    EventFault read(std::int64_t row, EventRow& event) const;

    // The value as text, for messages.
    std::string shown(std::int64_t row, std::size_t field) const;

private:
    Fault read_field(const ArrowColumn& column, std::int64_t row, std::size_t field, EventRow& event) const;

    const EventSchema& schema_;
    std::vector<ArrowColumn> columns_;  // one per field
    std::vector<std::int64_t> places_;  // of each field's column among the batch's children, −1 when absent
    std::int64_t child_count_ = 0;
    std::int64_t length_ = 0;
    std::int64_t batch_offset_ = 0;
    const ArrowArray* batch_ = nullptr;
};

}  // namespace quickthorn

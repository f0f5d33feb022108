// Reads events from Arrow data through the C data interface: one column per declared field, found by name.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quickthorn/arrow_columns.hpp"
#include "quickthorn/event_fields.hpp"

namespace quickthorn {

struct EventFault {
    Fault fault = Fault::none;
    std::size_t field = 0;
};

// Binds a schema's columns once, then reads batch after batch.
class ArrowEvents {
public:
    // Throws ArrowError for a required field without a column, or a column of a type its field does not take; `rows` is
    // what its messages call the rows.
    ArrowEvents(const EventSchema& schema, const ArrowSchema& columns, std::string rows = "events");

    // The batch must outlive its use and match the columns given at construction; throws ArrowError where it does not.
    void open(const ArrowArray& batch);

    std::int64_t length() const { return length_; }

    // Fills the event row; says which field does not fit, and why.
    EventFault read(std::int64_t row, EventRow& event) const;

    // The same for rows first, first + 1 and so on, column by column.
    void read(std::int64_t first, std::span<const std::unique_ptr<EventRow>> rows, std::span<EventFault> faults) const;

    // The value as text, for messages.
    std::string shown(std::int64_t row, std::size_t field) const;

private:
    static constexpr std::size_t plain_rows = 64;  // of a plain column are read at a time

    bool read_plain(std::size_t field, std::int64_t first, std::span<const std::unique_ptr<EventRow>> rows,
                    std::span<EventFault> faults) const;
    void read_integers(std::size_t field, std::int64_t from, std::span<const std::unique_ptr<EventRow>> rows,
                       std::span<EventFault> faults) const;
    void read_reals(std::size_t field, std::int64_t from, std::span<const std::unique_ptr<EventRow>> rows,
                    std::span<EventFault> faults) const;
    template <class Value, class Set>
    static void set_each(std::size_t field, std::span<const Value> values,
                         std::span<const std::unique_ptr<EventRow>> rows, std::span<EventFault> faults, Set&& set);
    Fault read_field(const ArrowColumn& column, std::int64_t row, std::size_t field, EventRow& event) const;

    const EventSchema& schema_;
    std::string rows_;
    std::vector<ArrowColumn> columns_;  // one per field
    std::vector<std::int64_t> places_;  // of each field's column among the batch's children, −1 when absent
    std::int64_t child_count_ = 0;
    std::int64_t length_ = 0;
    std::int64_t batch_offset_ = 0;
    const ArrowArray* batch_ = nullptr;
};

}  // namespace quickthorn

#include "quickthorn/arrow_events.hpp"

#include <cstring>
#include <string>

#include "check.hpp"
#include "plain_library.hpp"

using namespace quickthorn;

namespace {

// A batch of the plain schema's columns, laid out by hand: 2 rows and an offset of 1 into 3.
struct HandMadeBatch {
    std::int64_t ids[3] = {0, 11, 12};
    std::int64_t times[3] = {0, 5'000, 7'000};  // milliseconds
    std::int32_t customer_ends[4] = {0, 1, 4, 4};
    char customers[5] = "?c-9";
    std::uint8_t customer_valid[1] = {0b011};
    std::int32_t amounts[3] = {0, 250, -3};

    const void* id_buffers[2] = {nullptr, ids};
    const void* time_buffers[2] = {nullptr, times};
    const void* customer_buffers[3] = {customer_valid, customer_ends, customers};
    const void* amount_buffers[2] = {nullptr, amounts};

    ArrowSchema field_schemas[4] = {};
    ArrowArray field_arrays[4] = {};
    ArrowSchema* schema_children[4];
    ArrowArray* array_children[4];
    ArrowSchema schema = {};
    ArrowArray batch = {};

    HandMadeBatch() {
        const char* names[] = {"event_id", "at", "customer", "amount"};
        const char* formats[] = {"l", "tsm:UTC", "u", "i"};
        const void** buffers[] = {id_buffers, time_buffers, customer_buffers, amount_buffers};
        for (int i = 0; i < 4; ++i) {
            field_schemas[i].name = names[i];
            field_schemas[i].format = formats[i];
            field_arrays[i].buffers = buffers[i];
            field_arrays[i].length = 2;
            field_arrays[i].offset = 1;
            field_arrays[i].null_count = i == 2 ? -1 : 0;
            schema_children[i] = &field_schemas[i];
            array_children[i] = &field_arrays[i];
        }
        schema.format = "+s";
        schema.n_children = batch.n_children = 4;
        schema.children = schema_children;
        batch.children = array_children;
        batch.length = 2;
    }
};

void rows_are_read_through_offsets_and_null_bits() {
    const EventSchema schema = plain::schema();
    HandMadeBatch made;
    ArrowEvents events(schema, made.schema);
    events.open(made.batch);
    EventRow row(schema);
    CHECK(events.length() == 2);
    CHECK(events.read(0, row).fault == Fault::none);
    CHECK(row.time_us() == 5'000'000);
    CHECK(row.id() == keyed_hash(schema.key(), "11"));
    CHECK(row.present(2) && row.hash(2) == keyed_hash(schema.key(), "c-9"));
    CHECK(row.slots()[3] == 250);
    const EventFault fault = events.read(1, row);
    CHECK(fault.fault == Fault::negative && fault.field == 3);
    CHECK(!row.present(2));
    CHECK(events.shown(1, 3) == "-3" && events.shown(1, 2) == "nothing" && events.shown(0, 2) == "'c-9'");
}

std::string refusal(const EventSchema& schema, const HandMadeBatch& made) {
    try {
        const ArrowEvents events(schema, made.schema);
    } catch (const ArrowError& error) {
        return error.what();
    }
    return "";
}

void columns_that_do_not_fit_are_refused_by_name() {
    const EventSchema schema = plain::schema();
    HandMadeBatch made;
    made.field_schemas[1].format = "tsm:";  // a time without a zone
    CHECK(refusal(schema, made).starts_with("at: expected int microseconds"));
    made.field_schemas[1].format = "tsm:UTC";
    made.field_schemas[3].format = "u";  // minor units come as integers
    CHECK(refusal(schema, made).starts_with("amount: expected an amount of money as an int of minor units"));
    made.field_schemas[3].format = "i";
    made.field_schemas[3].name = "customer";
    CHECK(refusal(schema, made) == "customer: expected one column, found two");
    made.field_schemas[3].name = "amounts";
    CHECK(refusal(schema, made).ends_with("found no column of that name"));
    made.schema.format = "l";
    CHECK(refusal(schema, made).starts_with("events: expected an Arrow table"));
}

}  // namespace

int main() {
    rows_are_read_through_offsets_and_null_bits();
    columns_that_do_not_fit_are_refused_by_name();
}

#include <climits>
#include <string>

#include "check.hpp"
#include "quickthorn/event_fields.hpp"

using namespace quickthorn;

namespace {

FieldSpec field(const char* name, FieldKind kind, bool required, bool as_text) {
    FieldSpec spec;
    spec.name = name;
    spec.kind = kind;
    spec.required = required;
    spec.as_text = as_text;
    return spec;
}

EventSchema schema() {
    FieldSpec country = field("country", FieldKind::category, false, true);
    country.values = {"DE"};
    return EventSchema({field("event_id", FieldKind::id, true, false), field("at", FieldKind::event_time, true, false),
                        field("customer", FieldKind::entity, false, true), country,
                        field("note", FieldKind::text, false, true), field("plain", FieldKind::text, false, false)},
                       HashKey{1, 2});
}

// As a bundle's library finds it: 16 * (i + 1) bytes before the slots.
quickthorn_text text_of(const EventRow& row, std::size_t field) {
    return reinterpret_cast<const quickthorn_text*>(row.slots())[-1 - static_cast<std::ptrdiff_t>(field)];
}

std::string seen(const EventRow& row, std::size_t field) {
    const quickthorn_text text = text_of(row, field);
    return {text.bytes, static_cast<std::size_t>(text.length)};
}

void texts_lie_before_the_slots() {
    const EventSchema fields = schema();
    EventRow row(fields);
    CHECK(row.set_text(2, "c-9") == Fault::none && row.set_text(3, "FR") == Fault::none);
    CHECK(row.set_text(4, "") == Fault::none && row.set_text(5, "unwanted") == Fault::none);
    CHECK(seen(row, 2) == "c-9" && seen(row, 3) == "FR" && seen(row, 4).empty());
    CHECK(row.slots()[2] == 1 && row.slots()[4] == 1);
    for (const std::size_t other : {0, 1, 5}) CHECK(text_of(row, other).length == -1);
}

void an_integer_identifier_is_its_digits() {
    const EventSchema fields = schema();
    EventRow row(fields);
    CHECK(row.set_integer(2, INT64_MIN) == Fault::none);
    CHECK(seen(row, 2) == "-9223372036854775808");
    CHECK(row.hash(2) == keyed_hash(fields.key(), "-9223372036854775808"));
}

void a_long_text_keeps_its_length_and_its_first_bytes() {
    const EventSchema fields = schema();
    EventRow row(fields);
    const std::string text = std::string(QUICKTHORN_TEXT_BYTES, 'x') + "beyond";
    CHECK(row.set_text(2, "before") == Fault::none && row.set_text(4, text) == Fault::none);
    CHECK(text_of(row, 4).length == QUICKTHORN_TEXT_BYTES + 6);
    CHECK(std::string(text_of(row, 4).bytes, QUICKTHORN_TEXT_BYTES) == text.substr(0, QUICKTHORN_TEXT_BYTES));
    CHECK(seen(row, 2) == "before");
}

void a_missing_value_leaves_no_text_behind() {
    const EventSchema fields = schema();
    EventRow row(fields);
    for (const std::size_t field : {2, 3, 4}) {
        CHECK(row.set_text(field, "before") == Fault::none);
        CHECK(row.set_missing(field) == Fault::none);
        CHECK(text_of(row, field).length == -1);
    }
}

}  // namespace

int main() {
    texts_lie_before_the_slots();
    an_integer_identifier_is_its_digits();
    a_long_text_keeps_its_length_and_its_first_bytes();
    a_missing_value_leaves_no_text_behind();
}

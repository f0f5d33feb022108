#include "quickthorn/label_fields.hpp"

#include <bit>

namespace quickthorn {
namespace {

enum Slot : std::size_t { event_id, fraud, available_at };

}  // namespace

EventSchema label_schema(const HashKey& key) {
    std::vector<FieldSpec> fields(3);
    fields[event_id].name = "event_id";
    fields[event_id].kind = FieldKind::id;
    fields[fraud].name = "fraud";
    fields[fraud].kind = FieldKind::boolean;
    fields[available_at].name = "available_at";
    fields[available_at].kind = FieldKind::event_time;
    return {std::move(fields), key};
}

Label label_of(const EventRow& row) {
    return {row.id(), std::bit_cast<double>(row.slots()[fraud]) != 0.0, row.time_us()};
}

}  // namespace quickthorn

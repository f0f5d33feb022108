// What a label is made of, read like an event of three fields: event_id, fraud, available_at.
#pragma once

#include "quickthorn/event_fields.hpp"
#include "quickthorn/labelled_events.hpp"

namespace quickthorn {

// Ids hash to what events' ids do under the same key.
EventSchema label_schema(const HashKey& key);

// The label that a row of that schema is.
Label label_of(const EventRow& row);

}  // namespace quickthorn

// The engine's methods that take labels: one at a time, a table of them, or a feed beside a log of events.
#include <pybind11/pybind11.h>

#include <memory>
#include <utility>

#include "arrow_capsules.hpp"
#include "engine_object.hpp"
#include "feed_capsule.hpp"
#include "guarded.hpp"

namespace py = pybind11;

namespace quickthorn::python {

template <>
inline constexpr const char* feed_name<LabelFeed> = "quickthorn.label_feed";

namespace {

PyObject* without_labels() {
    return raise_error("LabelError", "label: expected a bundle with features of labels, found none in this one");
}

std::string unknown(const EngineBody& body, const std::string& found) {
    const EventSchema& schema = body.label_schema();
    return PythonEvents::message_of(schema[schema.id_slot()], Fault::unknown_event, found);
}

// Calls take(label, row, shown id) for every label of an Arrow object; those that cannot be read go to `refused` as
// (row, message), and so does what take() says is wrong with one.
template <class Take>
py::list each_label(const EngineBody& body, PyObject* labels, Take&& take) {
    const char* protocol = ArrowStream::protocol_of(labels);
    if (protocol == nullptr) {
        throw ArrowError("labels: expected an object with the Arrow PyCapsule interface, found " + shown(labels));
    }
    const EventSchema& schema = body.label_schema();
    ArrowStream stream(labels, protocol);
    ArrowEvents reader(schema, stream.schema(), "labels");
    EventRow row(schema);
    py::list refused;
    std::int64_t place = 0;
    while (const ArrowArray* batch = stream.next()) {
        reader.open(*batch);
        for (std::int64_t index = 0; index < reader.length(); ++index, ++place) {
            const EventFault fault = reader.read(index, row);
            if (fault.fault != Fault::none) {
                const std::string found = reader.shown(index, fault.field);
                const std::string message = PythonEvents::message_of(schema[fault.field], fault.fault, found);
                refused.append(py::make_tuple(place, py::str(message)));
            } else if (!take(label_of(row), place)) {
                const std::string message = unknown(body, reader.shown(index, schema.id_slot()));
                refused.append(py::make_tuple(place, py::str(message)));
            }
        }
    }
    return refused;
}

}  // namespace

PyObject* engine_label(PyObject* self, PyObject* arguments, PyObject* keywords) {
    static const char* names[] = {"event_id", "fraud", "available_at", nullptr};
    std::array<PyObject*, 3> values{};
    if (PyArg_ParseTupleAndKeywords(arguments, keywords, "OOO:label", const_cast<char**>(names), &values[0], &values[1],
                                    &values[2]) == 0) {
        return nullptr;
    }
    EngineBody& body = body_of(self);
    if (!body.engine().takes_labels()) return without_labels();
    EventRow row(body.label_schema());
    std::string message;
    const Reading reading = body.labels().read_values(values, row, message);
    if (reading == Reading::raised) return nullptr;
    if (reading == Reading::invalid) return raise_error("LabelError", message);
    if (!body.engine().label(label_of(row))) return raise_error("LabelError", unknown(body, shown(values[0])));
    Py_RETURN_NONE;
}

PyObject* label_batch(PyObject* self, PyObject* labels) {
    EngineBody& body = body_of(self);
    if (!body.engine().takes_labels()) return without_labels();
    return guarded(
        [&]() -> PyObject* {
            const auto tell = [&](const Label& label, std::int64_t) {
                body.engine().give_way();
                return body.engine().label(label);
            };
            return each_label(body, labels, tell).release().ptr();
        },
        "LabelError");
}

PyObject* label_feed(PyObject* self, PyObject* labels) {
    EngineBody& body = body_of(self);
    if (!body.engine().takes_labels()) return without_labels();
    return guarded(
        [&]() -> PyObject* {
            auto feed = std::make_unique<LabelFeed>();
            const auto add = [&](const Label& label, std::int64_t row) {
                feed->add(label, row);
                return true;
            };
            const py::list refused = each_label(body, labels, add);
            feed->sort();
            return py::make_tuple(capsule_of(std::move(feed)), refused).release().ptr();
        },
        "LabelError");
}

LabelFeed& label_feed_of(PyObject* feed) { return feed_in<LabelFeed>(feed); }

PyObject* finish_labels(PyObject* self, PyObject* feed) {
    return guarded([&]() -> PyObject* {
        py::list rows;
        for (const std::int64_t row : label_feed_of(feed).finish(body_of(self).engine())) rows.append(row);
        return rows.release().ptr();
    });
}

}  // namespace quickthorn::python

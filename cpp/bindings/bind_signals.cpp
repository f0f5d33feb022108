// The engine's methods that take signals: one at a time, a table of them, or a feed beside a log of events.
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
inline constexpr const char* feed_name<SignalFeed> = "quickthorn.signal_feed";

namespace {

// A source's schema is its key, its values, and the time.
Signal signal_of(const EventRow& row) { return {row.hash(0), row.time_us(), row.slots() + 1}; }
std::size_t slot_count(const EventSchema& schema) { return schema.size() - 2; }

std::uint32_t source_of(const EngineBody& body, PyObject* number) {
    const auto source = py::cast<std::uint32_t>(number);
    if (source >= body.sources().size()) throw py::value_error("source: expected one of the bundle's");
    return source;
}

const char* text_of(Told told) {
    switch (told) {
        case Told::latest: return "ok";
        case Told::older: return "late";
        case Told::out_of_space: return "capped";
    }
    return "";
}

// Calls take(signal) for every row of an Arrow object; those that cannot be read go to `refused` as (row, message).
template <class Take>
py::list each_signal(const SignalSource& source, PyObject* table, Take&& take) {
    const char* protocol = ArrowStream::protocol_of(table);
    if (protocol == nullptr) {
        throw ArrowError(source.name + ": expected an object with the Arrow PyCapsule interface, found " +
                         shown(table));
    }
    const EventSchema& schema = *source.schema;
    ArrowStream stream(table, protocol);
    ArrowEvents reader(schema, stream.schema());
    EventRow row(schema);
    py::list refused;
    std::int64_t place = 0;
    while (const ArrowArray* batch = stream.next()) {
        reader.open(*batch);
        for (std::int64_t index = 0; index < reader.length(); ++index, ++place) {
            const EventFault fault = reader.read(index, row);
            if (fault.fault == Fault::none) {
                take(signal_of(row));
                continue;
            }
            const std::string found = reader.shown(index, fault.field);
            refused.append(
                py::make_tuple(place, py::str(PythonEvents::message_of(schema[fault.field], fault.fault, found))));
        }
    }
    return refused;
}

}  // namespace

PyObject* tell_signal(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    return guarded([&]() -> PyObject* {
        if (count != 2) throw py::value_error("_signal() takes a source and a signal");
        EngineBody& body = body_of(self);
        const std::uint32_t number = source_of(body, arguments[0]);
        SignalSource& source = body.sources()[number];
        EventRow row(*source.schema);
        std::string message;
        const Reading reading = source.reader.read(arguments[1], row, message);
        if (reading == Reading::raised) return nullptr;
        if (reading == Reading::invalid) return raise_error("SignalError", source.name + "." + message);
        return PyUnicode_FromString(text_of(body.engine().signal(number, signal_of(row))));
    });
}

PyObject* signal_batch(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    return guarded(
        [&]() -> PyObject* {
            if (count != 2) throw py::value_error("_signal_batch() takes a source and signals");
            EngineBody& body = body_of(self);
            const std::uint32_t number = source_of(body, arguments[0]);
            const auto tell = [&](const Signal& signal) {
                body.engine().give_way();
                body.engine().signal(number, signal);
            };
            return each_signal(body.sources()[number], arguments[1], tell).release().ptr();
        },
        "SignalError");
}

PyObject* signal_feed(PyObject* self, PyObject* tables) {
    return guarded(
        [&]() -> PyObject* {
            EngineBody& body = body_of(self);
            auto feed = std::make_unique<SignalFeed>();
            py::list refused;
            for (const py::handle given : py::reinterpret_borrow<py::sequence>(tables)) {
                const auto pair = py::reinterpret_borrow<py::tuple>(given);
                const std::uint32_t number = source_of(body, py::object(pair[0]).ptr());
                const SignalSource& source = body.sources()[number];
                const auto add = [&](const Signal& signal) { feed->add(number, signal, slot_count(*source.schema)); };
                refused.append(each_signal(source, py::object(pair[1]).ptr(), add));
            }
            feed->sort();
            return py::make_tuple(capsule_of(std::move(feed)), refused).release().ptr();
        },
        "SignalError");
}

SignalFeed& signal_feed_of(PyObject* feed) { return feed_in<SignalFeed>(feed); }

PyObject* finish_signals(PyObject* self, PyObject* feed) {
    return guarded([&]() -> PyObject* {
        signal_feed_of(feed).finish(body_of(self).engine());
        return Py_NewRef(Py_None);
    });
}

}  // namespace quickthorn::python

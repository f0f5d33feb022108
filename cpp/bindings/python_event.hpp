// Reads a Python event (a dict, an object with attributes, JSON bytes) into an event row.
#pragma once

#include <Python.h>

#include <span>
#include <string>
#include <vector>

#include "python_object.hpp"
#include "quickthorn/event_fields.hpp"

namespace quickthorn::python {

enum class Reading {
    done,     // the row is filled
    invalid,  // the event does not fit; the message says why
    raised,   // a Python exception is set, from the event's own code
};

class PythonEvents {
public:
    explicit PythonEvents(const EventSchema& schema);

    Reading read(PyObject* event, EventRow& row, std::string& message);

    // The values of all fields, in order.
    Reading read_values(std::span<PyObject* const> values, EventRow& row, std::string& message);

    // "amount: expected …, found …"
    static std::string message_of(const FieldSpec& field, Fault fault, const std::string& found);

private:
    Reading read_dict(PyObject* dict, EventRow& row, std::string& message);
    Reading read_attributes(PyObject* object, EventRow& row, std::string& message);
    Reading read_json(PyObject* bytes, EventRow& row, std::string& message);
    Reading read_arrow(PyObject* object, const char* protocol, EventRow& row, std::string& message);
    Reading not_an_event(PyObject* event, std::string& message);
    Reading set(std::size_t field, PyObject* value, EventRow& row, std::string& message);
    Fault convert(std::size_t field, PyObject* value, EventRow& row);
    Fault convert_unusual(std::size_t field, PyObject* value, EventRow& row);

    const EventSchema& schema_;
    std::vector<Ref> names_;  // interned, one per field
};

// repr() shortened, and the type: 'abc' (str).
std::string shown(PyObject* value);

}  // namespace quickthorn::python

// The Decision type: five references and two floats, made for every call.
#pragma once

#include <Python.h>

namespace quickthorn::python {

struct DecisionParts {
    PyObject* outcome;    // borrowed str
    PyObject* status;     // borrowed str
    PyObject* bundle_id;  // borrowed str
    PyObject* error;      // borrowed str, or null where the event was in order
    double score;
    double margin;
};

// Creates the type; null with an exception set on failure.
PyTypeObject* make_decision_type();

// A new Decision; null with an exception set when memory runs out.
PyObject* make_decision(PyTypeObject* type, const DecisionParts& parts);

}  // namespace quickthorn::python

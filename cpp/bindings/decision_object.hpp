// The Decision type: references to what the engine has texts of, and a few numbers, made for every call.
#pragma once

#include <Python.h>

#include "quickthorn/decision.hpp"

namespace quickthorn::python {

// All borrowed; null stands for None, and for no reasons.
struct DecisionParts {
    PyObject* outcome;        // str
    PyObject* status;         // str
    PyObject* bundle_id;      // str
    PyObject* rule;           // str
    PyObject* reasons;        // tuple
    PyObject* features;       // dict
    PyObject* contributions;  // dict
    PyObject* error;          // str
    bool is_probability;      // whether the score is one, and so has a place on the aligned scale
};

// Creates the type; null with an exception set on failure.
PyTypeObject* make_decision_type();

// A new Decision; null with an exception set when memory runs out.
PyObject* make_decision(PyTypeObject* type, const Verdict& verdict, const DecisionParts& parts);

}  // namespace quickthorn::python

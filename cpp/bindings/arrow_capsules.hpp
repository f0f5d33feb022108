// Takes Arrow data from any Python object with the Arrow PyCapsule interface.
#pragma once

#include <Python.h>

#include "python_object.hpp"
#include "quickthorn/arrow_events.hpp"

namespace quickthorn::python {

// A Python exception is set.
struct PythonRaised {};

// An Arrow structure that is released with its owner.
template <class Structure>
struct Released {
    Structure value{};

    Released() = default;
    ~Released() { reset(); }
    Released(const Released&) = delete;
    Released& operator=(const Released&) = delete;

    void reset() {
        if (value.release != nullptr) value.release(&value);
        value.release = nullptr;
    }
};

// Batches one after another, from a stream or from a single array. Throws PythonRaised or ArrowError.
class ArrowStream {
public:
    // `protocol` is "__arrow_c_stream__" or "__arrow_c_array__".
    ArrowStream(PyObject* object, const char* protocol);

    // The protocol an object speaks, streams preferred; null when none.
    static const char* protocol_of(PyObject* object);

    const ArrowSchema& schema() const { return schema_.value; }

    // The next batch, valid until the following call; null at the end. Needs no interpreter.
    const ArrowArray* next();

private:
    void take_array(PyObject* capsules);
    void take_stream(PyObject* capsule);
    [[noreturn]] void refuse(int error);

    Released<ArrowArrayStream> stream_;  // outlives what it handed out
    Released<ArrowSchema> schema_;
    Released<ArrowArray> batch_;
    bool single_ = false;
    bool delivered_ = false;
};

}  // namespace quickthorn::python

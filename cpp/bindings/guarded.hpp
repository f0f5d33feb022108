// Between C++ exceptions and Python's.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "arrow_capsules.hpp"

namespace quickthorn::python {

// Sets an exception of quickthorn.errors by its name; returns null.
PyObject* raise_error(const char* type, const std::string& message);

// Runs a function that throws and turns what it throws into a Python exception; Arrow data that does not fit becomes
// the error of that name in quickthorn.errors.
template <class Function>
PyObject* guarded(Function&& function, const char* arrow_error = "EventError") {
    try {
        return function();
    } catch (pybind11::error_already_set& error) {
        error.restore();
    } catch (const PythonRaised&) {
        // The exception is set already.
    } catch (const ArrowError& error) {
        raise_error(arrow_error, error.what());
    } catch (const pybind11::value_error& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

}  // namespace quickthorn::python

// Golden vectors as Python hands them over.
#pragma once

#include <pybind11/pybind11.h>

#include <span>
#include <string>
#include <vector>

#include "quickthorn/forest.hpp"

namespace quickthorn::python {

template <class Value>
std::span<const Value> span_of(const pybind11::buffer_info& info) {
    return {static_cast<const Value*>(info.ptr), static_cast<std::size_t>(info.size * info.itemsize) / sizeof(Value)};
}

// The first disagreement as a str, or None; the arguments are the bytes of vectors, margins, scores, leaves, and of
// contributions or None.
inline PyObject* golden_verdict(const Forest& forest, PyObject* const* arguments, Py_ssize_t count) {
    namespace py = pybind11;
    if (count != 5) throw py::value_error("_verify_golden() takes vectors, margins, scores, leaves and contributions");
    if (arguments[4] == Py_None) --count;
    std::vector<py::buffer_info> buffers;
    for (Py_ssize_t i = 0; i < count; ++i) {
        buffers.push_back(py::reinterpret_borrow<py::buffer>(arguments[i]).request());
    }
    const std::string found =
        first_disagreement(forest, {span_of<double>(buffers[0]), span_of<double>(buffers[1]),
                                    span_of<double>(buffers[2]), span_of<std::int32_t>(buffers[3]),
                                    count == 5 ? span_of<double>(buffers[4]) : std::span<const double>()});
    return found.empty() ? Py_NewRef(Py_None) : py::str(found).release().ptr();
}

}  // namespace quickthorn::python

// Enumerations by name.
#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <string>

namespace quickthorn::python {

// The enumerator whose name stands at its place in `names`; throws a ValueError for any other name.
template <class Value, std::size_t size>
Value numbered(const std::string& name, const std::array<const char*, size>& names, const char* what) {
    for (std::size_t i = 0; i < size; ++i) {
        if (name == names[i]) return static_cast<Value>(i);
    }
    throw pybind11::value_error(std::string(what) + ": found '" + name + "'");
}

}  // namespace quickthorn::python

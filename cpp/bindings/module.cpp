#include <pybind11/pybind11.h>

#include "decision_object.hpp"
#include "engine_object.hpp"
#include "forest_object.hpp"
#include "quickthorn/library.hpp"

namespace py = pybind11;

PYBIND11_MODULE(_native, module) {
    using namespace quickthorn;

    module.doc() = "The native engine and forest: see quickthorn.Engine and quickthorn.Forest.";
    PyTypeObject* decision = python::make_decision_type();
    if (decision == nullptr) throw py::error_already_set();
    PyTypeObject* engine = python::make_engine_type(decision);
    if (engine == nullptr) throw py::error_already_set();
    PyTypeObject* row = python::make_row_type();
    if (row == nullptr) throw py::error_already_set();
    PyTypeObject* forest = python::make_forest_type();
    if (forest == nullptr) throw py::error_already_set();
    module.add_object("Decision", py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(decision)));
    module.add_object("Engine", py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(engine)));
    module.add_object("Forest", py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(forest)));
    module.add_object("Row", py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(row)));
    module.attr("ABI_VERSION") = QUICKTHORN_ABI_VERSION;
    module.def("processor_supports", &processor_supports, py::arg("target"),
               "Whether this processor runs code for a target such as \"x86-64-v3\".");
}

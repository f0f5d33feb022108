#include <pybind11/pybind11.h>

#include "decision_object.hpp"
#include "engine_object.hpp"
#include "quickthorn/library.hpp"

namespace py = pybind11;

PYBIND11_MODULE(_native, module) {
    using namespace quickthorn;

    module.doc() = "The native engine: see quickthorn.Engine.";
    PyTypeObject* decision = python::make_decision_type();
    if (decision == nullptr) throw py::error_already_set();
    PyTypeObject* engine = python::make_engine_type(decision);
    if (engine == nullptr) throw py::error_already_set();
    module.add_object("Decision", py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(decision)));
    module.add_object("Engine", py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(engine)));
    module.attr("ABI_VERSION") = QUICKTHORN_ABI_VERSION;
    module.def("processor_supports", &processor_supports, py::arg("target"),
               "Whether this processor runs code for a target such as \"x86-64-v3\".");
}

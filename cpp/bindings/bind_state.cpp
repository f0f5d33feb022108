// The engine's methods that save and restore what it remembers; quickthorn.serving.state_file has the file around it.
#include <pybind11/pybind11.h>

#include <cstring>
#include <memory>

#include "engine_object.hpp"
#include "guarded.hpp"

namespace py = pybind11;

namespace quickthorn::python {
namespace {

constexpr const char* staged_name = "quickthorn.staged_state";

// A state that is being put together, on its way to the engine it is meant for.
struct Staged {
    const Engine* engine;
    std::unique_ptr<EngineState> state;
};

Staged& staged_in(PyObject* self, PyObject* capsule) {
    auto* staged = static_cast<Staged*>(PyCapsule_GetPointer(capsule, staged_name));
    if (staged == nullptr) throw py::error_already_set();
    if (staged->engine != &body_of(self).engine() || staged->state == nullptr) {
        throw py::value_error("staged: expected a state staged for this engine and not adopted yet");
    }
    return *staged;
}

}  // namespace

PyObject* save_state(PyObject* self, PyObject* descriptor) {
    return guarded([&]() -> PyObject* {
        const int file = py::cast<int>(descriptor);
        int error = 0;
        {
            const py::gil_scoped_release unlocked;
            error = body_of(self).engine().save_state(file);
        }
        if (error == 0) return Py_NewRef(Py_None);
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    });
}

PyObject* stage_state(PyObject* self, PyObject*) {
    return guarded([&]() -> PyObject* {
        const Engine& engine = body_of(self).engine();
        auto staged = std::make_unique<Staged>(Staged{&engine, nullptr});
        try {
            staged->state = engine.new_state();
            staged->state->region.clear();  // what is not put was zero when it was saved
        } catch (const RegionError& error) {
            return raise_error("StateError", error.what());
        }
        return py::capsule(staged.release(), staged_name, [](void* kept) { delete static_cast<Staged*>(kept); })
            .release()
            .ptr();
    });
}

PyObject* put_state(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    return guarded([&]() -> PyObject* {
        if (count != 3) throw py::value_error("_put_state() takes a staged state, an offset and bytes");
        Region& region = staged_in(self, arguments[0]).state->region;
        const auto offset = py::cast<std::size_t>(arguments[1]);
        const py::buffer_info bytes = py::reinterpret_borrow<py::buffer>(arguments[2]).request();
        const auto size = static_cast<std::size_t>(bytes.size * bytes.itemsize);
        if (offset > region.mapped() || size > region.mapped() - offset) {
            throw py::value_error("offset: expected bytes within the state");
        }
        std::memcpy(region.at<std::byte>(offset), bytes.ptr, size);
        return Py_NewRef(Py_None);
    });
}

PyObject* adopt_state(PyObject* self, PyObject* capsule) {
    return guarded([&]() -> PyObject* {
        Staged& staged = staged_in(self, capsule);
        {
            const py::gil_scoped_release unlocked;
            body_of(self).engine().exchange_state(staged.state);
            staged.state.reset();
        }
        return Py_NewRef(Py_None);
    });
}

}  // namespace quickthorn::python

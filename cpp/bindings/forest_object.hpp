// The Forest type: one compiled forest behind FASTCALL methods, and the Row type: a feature vector made for it.
#pragma once

#include <Python.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guarded.hpp"
#include "numpy_array.hpp"
#include "python_object.hpp"
#include "quickthorn/category_codes.hpp"
#include "quickthorn/forest.hpp"
#include "quickthorn/library.hpp"

namespace quickthorn::python {

// Everything behind one Python forest. Nothing in it changes once it is made.
struct ForestBody {
    std::unique_ptr<Library> library;
    Forest forest;
    Py_ssize_t feature_count;
    Ref places;                        // dict: feature name → place in the row; None where the model has no names
    std::vector<std::string> names;    // empty where the model has none
    std::vector<CategoryCodes> codes;  // per feature; empty where the model has no dictionary
    UnknownCategory unknown = UnknownCategory::missing;

    // What a message calls a feature.
    std::string name_of(Py_ssize_t feature) const;
};

struct ForestObject {
    PyObject_HEAD
    ForestBody* body;
};

inline const ForestBody& forest_of(PyObject* self) { return *reinterpret_cast<ForestObject*>(self)->body; }

struct RowObject {
    PyObject_HEAD
    double* values;    // aligned to a cache line
    PyObject* forest;  // the Forest the row was made for
};

// Create the types; null with an exception set on failure. The row's comes first.
PyTypeObject* make_row_type();
PyTypeObject* make_forest_type();

// The row type, once it is made.
PyTypeObject* row_type();

// A row of missing values; null with an exception set on failure.
PyObject* new_row(PyObject* forest);

// One row's values, as float64 or as float32; both null, with an exception set, where the object is no row of the
// forest's.
struct RowValues {
    const double* float64 = nullptr;
    const float* float32 = nullptr;

    explicit operator bool() const { return float64 != nullptr || float32 != nullptr; }
};

// What is not quick to judge: buffers of other types than numpy's, which the lease holds on to, and everything wrong.
struct BufferLease {
    Py_buffer view{};
    ~BufferLease() {
        if (view.obj != nullptr) PyBuffer_Release(&view);
    }
};
RowValues read_buffer(PyObject* self, PyObject* object, BufferLease& lease);

// Reads a row in place: no copy, no reference, and for a Row or a numpy array no call.
inline RowValues read_row(PyObject* self, PyObject* object, BufferLease& lease) {
    if (Py_TYPE(object) == row_type()) [[likely]] {
        const auto* row = reinterpret_cast<const RowObject*>(object);
        if (row->forest == self) [[likely]]
            return {row->values, nullptr};
    } else if (NumpyArray::is(object)) [[likely]] {
        const NumpyArray array(object);
        if (array.is_vector(forest_of(self).feature_count)) [[likely]] {
            if (array.holds_float64()) return {array.data<double>(), nullptr};
            if (array.holds_float32()) return {nullptr, array.data<float>()};
        }
    }
    return read_buffer(self, object, lease);
}

// forest_batch.cpp: many rows at once.
PyObject* forest_score_batch(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names);
PyObject* forest_margin_batch(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names);

PyObject* forest_contributions_batch(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names);

// forest_contributions.cpp: one row's.
PyObject* forest_contributions(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names);

// Raises pybind11's exceptions: the forest was compiled without contributions.
PyObject* no_contributions();

// The shape of one row's contributions, or of many rows'; returns how many dimensions it has.
int contribution_shape(const Forest& forest, const Py_ssize_t* rows, Py_ssize_t (&shape)[3]);

// One positional argument and the keyword `out`; null in `out` where it is not given or None. False with an exception.
bool take_out(const char* method, PyObject* const* arguments, Py_ssize_t count, PyObject* names, PyObject*& out);

// A float64 array to write results of this shape to: `out` where given, else a new one; null with an exception set.
PyObject* results(PyObject* out, int dimensions, const Py_ssize_t* shape);

}  // namespace quickthorn::python

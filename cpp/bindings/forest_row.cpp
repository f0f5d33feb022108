// Where a feature vector comes from: the Row type, and what else is taken for a row.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdlib>
#include <limits>
#include <string_view>

#include "forest_object.hpp"
#include "numpy_array.hpp"
#include "python_event.hpp"

namespace py = pybind11;

namespace quickthorn::python {
namespace {

constexpr std::size_t cache_line = 64;

PyTypeObject* the_row_type = nullptr;  // made once, with the module

RowObject& row_of(PyObject* self) { return *reinterpret_cast<RowObject*>(self); }

const ForestBody& body_of(PyObject* self) { return forest_of(row_of(self).forest); }

// The feature that a key names; -1 with an exception set where it names none.
Py_ssize_t place_of(PyObject* self, PyObject* key) {
    const ForestBody& body = body_of(self);
    if (PyUnicode_Check(key)) {
        PyObject* found = body.places ? PyDict_GetItemWithError(body.places.get(), key) : nullptr;
        if (found != nullptr) return PyLong_AsSsize_t(found);
        if (PyErr_Occurred()) return -1;
        raise_error("RowError", body.places ? "row: expected a feature of the forest, found " + shown(key)
                                            : "row: expected a place, 0 to " + std::to_string(body.feature_count - 1) +
                                                  ", as the model has no feature names, found " + shown(key));
        return -1;
    }
    if (PyIndex_Check(key)) {
        const Py_ssize_t place = PyNumber_AsSsize_t(key, nullptr);
        if (place >= 0 && place < body.feature_count) return place;
    }
    raise_error("RowError", "row: expected a feature's name or its place, 0 to " +
                                std::to_string(body.feature_count - 1) + ", found " + shown(key));
    return -1;
}

PyObject* row_get(PyObject* self, PyObject* key) {
    const Py_ssize_t place = place_of(self, key);
    return place < 0 ? nullptr : PyFloat_FromDouble(row_of(self).values[place]);
}

// Sets a slot to a category's code, null where its dictionary does not have it.
int set_code(const ForestBody& body, Py_ssize_t place, const double* code, PyObject* value, double& slot) {
    if (code == nullptr && body.unknown == UnknownCategory::refused) {
        raise_error("RowError", "row: " + body.name_of(place) +
                                    ": expected a category that the model was trained on, found " + shown(value));
        return -1;
    }
    slot = code != nullptr                              ? *code
           : body.unknown == UnknownCategory::unmatched ? unmatched_code
                                                        : std::numeric_limits<double>::quiet_NaN();
    return 0;
}

int row_set(PyObject* self, PyObject* key, PyObject* value) {
    const Py_ssize_t place = place_of(self, key);
    if (place < 0) return -1;
    double& slot = row_of(self).values[place];
    if (value == nullptr || value == Py_None) {
        slot = std::numeric_limits<double>::quiet_NaN();
        return 0;
    }
    const ForestBody& body = body_of(self);
    const CategoryCodes* codes = body.codes.empty() ? nullptr : &body.codes[static_cast<std::size_t>(place)];
    const bool categorical = codes != nullptr && !codes->empty();
    if (categorical && PyUnicode_Check(value)) {
        Py_ssize_t length = 0;
        const char* utf8 = PyUnicode_AsUTF8AndSize(value, &length);
        if (utf8 == nullptr) return -1;
        return set_code(body, place, codes->find(std::string_view(utf8, static_cast<std::size_t>(length))), value,
                        slot);
    }
    const double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        raise_error("RowError", "row: " + body.name_of(place) + ": expected a number" +
                                    (categorical && codes->takes_text() ? ", a category" : "") + " or None, found " +
                                    shown(value));
        return -1;
    }
    if (categorical && number == number) return set_code(body, place, codes->find(number), value, slot);
    slot = number;
    return 0;
}

Py_ssize_t row_length(PyObject* self) { return body_of(self).feature_count; }

PyObject* row_clear(PyObject* self, PyObject*) {
    std::fill_n(row_of(self).values, body_of(self).feature_count, std::numeric_limits<double>::quiet_NaN());
    Py_RETURN_NONE;
}

PyObject* row_values(PyObject* self, void*) {
    return guarded([&]() -> PyObject* {
        // The array keeps the row alive, and writes go to the row.
        return py::array_t<double>({body_of(self).feature_count}, {Py_ssize_t{sizeof(double)}}, row_of(self).values,
                                   py::reinterpret_borrow<py::object>(self))
            .release()
            .ptr();
    });
}

PyObject* row_repr(PyObject* self) { return PyUnicode_FromFormat("Row(%zd features)", body_of(self).feature_count); }

PyObject* row_array(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    const Ref values(row_values(self, nullptr));
    if (!values) return nullptr;
    const Ref method(PyObject_GetAttrString(values.get(), "__array__"));
    return method ? PyObject_Vectorcall(method.get(), arguments, static_cast<std::size_t>(count), names) : nullptr;
}

void row_dealloc(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    std::free(row_of(self).values);
    Py_XDECREF(row_of(self).forest);
    PyObject_Free(self);
    Py_DECREF(type);
}

PyMethodDef methods[] = {
    {"clear", row_clear, METH_NOARGS, "clear($self, /)\n--\n\nMake every feature missing."},
    {"__array__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(row_array)), METH_FASTCALL | METH_KEYWORDS,
     "__array__($self, /, dtype=None, *, copy=None)\n--\n\nThe values as a numpy array."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef properties[] = {
    {"values", row_values, nullptr, "float64 [features], NaN where missing: the row's own memory.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(row_dealloc)},
    {Py_tp_repr, reinterpret_cast<void*>(row_repr)},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_mp_length, reinterpret_cast<void*>(row_length)},
    {Py_mp_subscript, reinterpret_cast<void*>(row_get)},
    {Py_mp_ass_subscript, reinterpret_cast<void*>(row_set)},
    {Py_tp_doc, const_cast<char*>("A feature vector made for one forest, which reads it where it is.")},
    {0, nullptr},
};

PyType_Spec spec = {"quickthorn._native.Row", sizeof(RowObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

[[noreturn]] void refuse_row(const ForestBody& body, const std::string& found) {
    throw ArrowError("row: expected a contiguous vector of " + std::to_string(body.feature_count) +
                     " float32 or float64 values, found " + found);
}

std::string shape_of(const Py_buffer& view) {
    std::string shape = "[";
    for (int i = 0; i < view.ndim; ++i) shape += (i != 0 ? ", " : "") + std::to_string(view.shape[i]);
    return shape + "]";
}

RowValues values_in(const ForestBody& body, PyObject* object, const Py_buffer& view) {
    // Native byte order and alignment may be spelled out; a bare letter means the same.
    std::string_view format = view.format != nullptr ? view.format : "B";
    if (format.starts_with('@') || format.starts_with('=')) format.remove_prefix(1);
    const bool wide = format == "d" && view.itemsize == sizeof(double);
    const bool narrow = format == "f" && view.itemsize == sizeof(float);
    if (!wide && !narrow) {
        refuse_row(body, "values of format \"" + std::string(view.format != nullptr ? view.format : "B") + "\" (" +
                             Py_TYPE(object)->tp_name + ")");
    }
    if (view.ndim != 1 || view.shape[0] != body.feature_count) {
        refuse_row(body, "values of shape " + shape_of(view) + " (" + Py_TYPE(object)->tp_name + ")");
    }
    if (!PyBuffer_IsContiguous(&view, 'C')) refuse_row(body, "one with gaps between its values");
    if (reinterpret_cast<std::uintptr_t>(view.buf) % static_cast<std::size_t>(view.itemsize) != 0) {
        refuse_row(body, "values that are not aligned in memory");
    }
    if (wide) return {static_cast<const double*>(view.buf), nullptr};
    return {nullptr, static_cast<const float*>(view.buf)};
}

}  // namespace

PyTypeObject* make_row_type() { return the_row_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec)); }

PyTypeObject* row_type() { return the_row_type; }

PyObject* new_row(PyObject* forest) {
    const auto features = static_cast<std::size_t>(forest_of(forest).feature_count);
    const std::size_t bytes = (features * sizeof(double) + cache_line - 1) / cache_line * cache_line;
    auto* values = static_cast<double*>(std::aligned_alloc(cache_line, bytes));
    if (values == nullptr) return PyErr_NoMemory();
    std::fill_n(values, bytes / sizeof(double), std::numeric_limits<double>::quiet_NaN());
    auto* row = PyObject_New(RowObject, the_row_type);
    if (row == nullptr) {
        std::free(values);
        return nullptr;
    }
    row->values = values;
    row->forest = Py_NewRef(forest);
    return reinterpret_cast<PyObject*>(row);
}

RowValues read_buffer(PyObject* self, PyObject* object, BufferLease& lease) {
    const ForestBody& body = forest_of(self);
    RowValues values;
    guarded(
        [&]() -> PyObject* {
            if (Py_TYPE(object) == the_row_type) refuse_row(body, "a row made for another forest");
            if (PyObject_HasAttrString(object, "mask")) refuse_row(body, "an array with a mask");
            if (!PyObject_CheckBuffer(object)) refuse_row(body, shown(object));
            if (PyObject_GetBuffer(object, &lease.view, PyBUF_STRIDES | PyBUF_FORMAT) != 0) {
                PyErr_Clear();
                refuse_row(body, shown(object));
            }
            values = values_in(body, object, lease.view);
            return nullptr;
        },
        "RowError");
    return values;
}

}  // namespace quickthorn::python

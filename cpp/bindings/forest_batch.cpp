// The forest's methods over many rows at once: one thread, without the interpreter's lock.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>

#include "forest_object.hpp"
#include "numpy_array.hpp"
#include "python_event.hpp"
#include "quickthorn/arrow_rows.hpp"

namespace py = pybind11;

namespace quickthorn::python {
namespace {

std::string shape_text(int dimensions, const Py_ssize_t* shape) {
    std::string text = "[";
    for (int i = 0; i < dimensions; ++i) text += (i != 0 ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
}

// What an object is, for a message: an array by its type and shape, anything else as it shows itself.
std::string described(PyObject* object) {
    if (!NumpyArray::is(object)) return shown(object);
    const auto array = py::reinterpret_borrow<py::array>(object);
    return py::str(array.dtype()).cast<std::string>() + " " + shape_text(static_cast<int>(array.ndim()), array.shape());
}

[[noreturn]] void refuse_rows(const ForestBody& body, const std::string& found) {
    throw ArrowError("rows: expected a float32 or float64 array of [n, " + std::to_string(body.feature_count) +
                     "] values, or Arrow data, found " + found);
}

enum class Wanted { scores, margins, contributions };

// How many values belong to a row.
template <Wanted wanted>
std::size_t values_per_row(const Forest& forest) {
    return wanted == Wanted::contributions ? forest.contribution_count() : forest.output_count();
}

// Results of n rows: [n] in a forest of one output, else [n, outputs]; of contributions, each output has several.
template <Wanted wanted>
PyObject* results_of(const Forest& forest, PyObject* out, Py_ssize_t rows) {
    Py_ssize_t shape[3] = {rows, static_cast<Py_ssize_t>(forest.output_count())};
    const int dimensions = wanted == Wanted::contributions ? contribution_shape(forest, &rows, shape)
                           : forest.output_count() == 1    ? 1
                                                           : 2;
    return results(out, dimensions, shape);
}

template <Wanted wanted, class Value>
void evaluate(const Forest& forest, const Rows<Value>& rows, double* values) {
    if constexpr (wanted == Wanted::contributions) {
        forest.contributions(rows, values);
    } else {
        forest.margins(rows, values);
        if constexpr (wanted == Wanted::scores) {
            for (std::size_t row = 0; row < rows.count; ++row) forest.apply_link(values + row * forest.output_count());
        }
    }
}

template <class Value>
Rows<Value> rows_of(const ForestBody& body, const NumpyArray& array) {
    constexpr auto size = static_cast<Py_ssize_t>(sizeof(Value));
    if (array.stride_bytes(0) % size != 0 || array.stride_bytes(1) % size != 0 || !array.aligned()) {
        refuse_rows(body, "values that are not aligned in memory");
    }
    return {array.data<Value>(), array.stride_bytes(0) / size, array.stride_bytes(1) / size,
            static_cast<std::size_t>(array.length(0))};
}

template <Wanted wanted>
PyObject* over_array(const ForestBody& body, PyObject* object, PyObject* out) {
    const NumpyArray array(object);
    const bool wide = array.holds_float64();
    if (array.dimensions() != 2 || array.length(1) != body.feature_count || !(wide || array.holds_float32())) {
        refuse_rows(body, described(object));
    }
    Ref values(results_of<wanted>(body.forest, out, array.length(0)));
    if (!values) return nullptr;
    auto* written = NumpyArray(values.get()).data<double>();
    if (array.length(0) == 0) return values.release();
    if (wide) {
        const Rows<double> rows = rows_of<double>(body, array);
        const py::gil_scoped_release unlocked;
        evaluate<wanted>(body.forest, rows, written);
    } else {
        const Rows<float> rows = rows_of<float>(body, array);
        const py::gil_scoped_release unlocked;
        evaluate<wanted>(body.forest, rows, written);
    }
    return values.release();
}

// Arrow columns are gathered a block of rows at a time, which stays in the caches.
template <Wanted wanted>
PyObject* over_arrow(const ForestBody& body, PyObject* object, const char* protocol, PyObject* out) {
    constexpr std::size_t block_rows = 256;
    // Columns a power of two apart would fall into the same few sets of the cache.
    constexpr std::size_t stride = block_rows + 8;
    const auto features = static_cast<std::size_t>(body.feature_count);
    const std::size_t width = values_per_row<wanted>(body.forest);
    ArrowStream stream(object, protocol);
    ArrowRows reader({features, body.names, body.codes, body.unknown}, stream.schema());
    std::vector<double> values;
    std::size_t rows = 0;
    {
        const py::gil_scoped_release unlocked;
        std::vector<double> block(stride * features);
        while (const ArrowArray* batch = stream.next()) {
            reader.open(*batch);
            values.resize((rows + reader.length()) * width);
            for (std::size_t first = 0; first < reader.length(); first += block_rows) {
                const std::size_t count = std::min(block_rows, reader.length() - first);
                reader.read(first, count, stride, block.data());
                evaluate<wanted>(body.forest, Rows<double>{block.data(), 1, stride, count},
                                 values.data() + rows * width);
                rows += count;
            }
        }
    }
    Ref answer(results_of<wanted>(body.forest, out, static_cast<Py_ssize_t>(rows)));
    if (!answer) return nullptr;
    std::ranges::copy(values, NumpyArray(answer.get()).data<double>());
    return answer.release();
}

template <Wanted wanted>
PyObject* batch(const char* method, PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    PyObject* out = nullptr;
    if (!take_out(method, arguments, count, names, out)) return nullptr;
    return guarded(
        [&]() -> PyObject* {
            const ForestBody& body = forest_of(self);
            if (wanted == Wanted::contributions && !body.forest.has_contributions()) return no_contributions();
            if (NumpyArray::is(arguments[0])) return over_array<wanted>(body, arguments[0], out);
            if (const char* protocol = ArrowStream::protocol_of(arguments[0])) {
                return over_arrow<wanted>(body, arguments[0], protocol, out);
            }
            refuse_rows(body, described(arguments[0]));
        },
        "RowError");
}

}  // namespace

PyObject* forest_score_batch(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    return batch<Wanted::scores>("score_batch", self, arguments, count, names);
}

PyObject* forest_margin_batch(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    return batch<Wanted::margins>("margin_batch", self, arguments, count, names);
}

PyObject* forest_contributions_batch(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    return batch<Wanted::contributions>("contributions_batch", self, arguments, count, names);
}

bool take_out(const char* method, PyObject* const* arguments, Py_ssize_t count, PyObject* names, PyObject*& out) {
    const Py_ssize_t keywords = names != nullptr ? PyTuple_GET_SIZE(names) : 0;
    if (count != 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes exactly one positional argument (%zd given)", method, count);
        return false;
    }
    for (Py_ssize_t i = 0; i < keywords; ++i) {
        PyObject* name = PyTuple_GET_ITEM(names, i);
        if (PyUnicode_CompareWithASCIIString(name, "out") != 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", method, name);
            return false;
        }
        if (arguments[count + i] != Py_None) out = arguments[count + i];
    }
    return true;
}

PyObject* results(PyObject* out, int dimensions, const Py_ssize_t* shape) {
    if (out == nullptr) {
        const auto& api = NumpyArray::Api::get();
        return api.PyArray_NewFromDescr_(api.PyArray_Type_, api.PyArray_DescrFromType_(NumpyArray::Api::NPY_DOUBLE_),
                                         dimensions, shape, nullptr, nullptr, 0, nullptr);
    }
    bool fits = NumpyArray::is(out);
    if (fits) {
        const NumpyArray array(out);
        fits = array.holds_float64() && array.dimensions() == dimensions && array.contiguous() && array.aligned() &&
               array.writeable();
        for (int i = 0; fits && i < dimensions; ++i) fits = array.length(i) == shape[i];
    }
    if (fits) return Py_NewRef(out);
    return guarded([&]() -> PyObject* {
        return raise_error("RowError", "out: expected a writeable, contiguous float64 array of shape " +
                                           shape_text(dimensions, shape) + ", found " + described(out));
    });
}

}  // namespace quickthorn::python

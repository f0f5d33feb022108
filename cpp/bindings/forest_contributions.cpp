// The forest's contributions of one row: what every feature adds to its margins.
#include <vector>

#include "forest_object.hpp"

namespace quickthorn::python {

PyObject* no_contributions() {
    return raise_error("BundleError",
                       "contributions: expected a forest that was compiled with contributions=True, found one without");
}

int contribution_shape(const Forest& forest, const Py_ssize_t* rows, Py_ssize_t (&shape)[3]) {
    int dimensions = 0;
    if (rows != nullptr) shape[dimensions++] = *rows;
    if (forest.output_count() != 1) shape[dimensions++] = forest.output_count();
    shape[dimensions++] = static_cast<Py_ssize_t>(forest.feature_count()) + 1;
    return dimensions;
}

PyObject* forest_contributions(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    PyObject* out = nullptr;
    if (!take_out("contributions", arguments, count, names, out)) return nullptr;
    return guarded([&]() -> PyObject* {
        const Forest& forest = forest_of(self).forest;
        if (!forest.has_contributions()) return no_contributions();
        BufferLease lease;
        const RowValues row = read_row(self, arguments[0], lease);
        if (!row) return nullptr;
        Py_ssize_t shape[3];
        const int dimensions = contribution_shape(forest, nullptr, shape);
        PyObject* values = results(out, dimensions, shape);
        if (values == nullptr) return nullptr;
        std::vector<double> widened;
        if (row.float32 != nullptr) widened.assign(row.float32, row.float32 + forest.feature_count());
        forest.contributions(row.float64 != nullptr ? row.float64 : widened.data(), NumpyArray(values).data<double>());
        return values;
    });
}

}  // namespace quickthorn::python

#include "forest_object.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "golden_vectors.hpp"
#include "numbered.hpp"

namespace py = pybind11;

namespace quickthorn::python {
namespace {

PyObject* several_outputs(const Forest& forest, const char* method) {
    const std::string name = method;
    return raise_error("RowError", "forest." + name + ": expected a forest of one output, found one of " +
                                       std::to_string(forest.output_count()) + "; forest." + name +
                                       "s gives one for each");
}

template <bool with_link>
PyObject* one_value(PyObject* self, PyObject* object) {
    const Forest& forest = forest_of(self).forest;
    BufferLease lease;
    const RowValues row = read_row(self, object, lease);
    if (!row) [[unlikely]]
        return nullptr;
    if (forest.output_count() != 1) [[unlikely]]
        return several_outputs(forest, with_link ? "score" : "margin");
    double margin = 0;
    if (row.float64 != nullptr) {
        margin = forest.margin(row.float64);
    } else {
        forest.margins(row.float32, &margin);
    }
    return PyFloat_FromDouble(with_link ? forest.score_of(margin) : margin);
}

PyObject* forest_score(PyObject* self, PyObject* row) { return one_value<true>(self, row); }

PyObject* forest_margin(PyObject* self, PyObject* row) { return one_value<false>(self, row); }

template <bool with_link>
PyObject* every_output(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    PyObject* out = nullptr;
    if (!take_out(with_link ? "scores" : "margins", arguments, count, names, out)) return nullptr;
    const Forest& forest = forest_of(self).forest;
    BufferLease lease;
    const RowValues row = read_row(self, arguments[0], lease);
    if (!row) return nullptr;
    const Py_ssize_t shape = forest.output_count();
    PyObject* values = results(out, 1, &shape);
    if (values == nullptr) return nullptr;
    auto* written = NumpyArray(values).data<double>();
    if (row.float64 != nullptr) {
        forest.margins(row.float64, written);
    } else {
        forest.margins(row.float32, written);
    }
    if constexpr (with_link) forest.apply_link(written);
    return values;
}

PyObject* forest_scores(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    return every_output<true>(self, arguments, count, names);
}

PyObject* forest_margins(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    return every_output<false>(self, arguments, count, names);
}

PyObject* forest_leaves(PyObject* self, PyObject* object) {
    return guarded([&]() -> PyObject* {
        const ForestBody& body = forest_of(self);
        BufferLease lease;
        const RowValues row = read_row(self, object, lease);
        if (!row) return nullptr;
        std::vector<double> widened;
        if (row.float32 != nullptr) widened.assign(row.float32, row.float32 + body.feature_count);
        py::array_t<std::int32_t> leaves(static_cast<py::ssize_t>(body.forest.tree_count()));
        body.forest.leaves(row.float64 != nullptr ? row.float64 : widened.data(), leaves.mutable_data());
        return leaves.release().ptr();
    });
}

PyObject* forest_row(PyObject* self, PyObject*) { return new_row(self); }

PyObject* verify_golden(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    return guarded([&]() -> PyObject* { return golden_verdict(forest_of(self).forest, arguments, count); });
}

// One dictionary per feature, empty where it has none; none at all where no feature has one.
std::vector<CategoryCodes> codes_from(const py::object& given, std::size_t features) {
    std::vector<CategoryCodes> codes;
    if (given.is_none()) return codes;
    codes.resize(features);
    std::size_t feature = 0;
    for (const py::handle levels : given) {
        if (feature == features) throw py::value_error("categories: expected a dictionary or None for each feature");
        if (!levels.is_none()) {
            for (const py::handle level : levels) {
                if (py::isinstance<py::str>(level)) {
                    codes[feature].add(level.cast<std::string>());
                } else {
                    codes[feature].add(level.cast<double>());
                }
            }
        }
        ++feature;
    }
    return codes;
}

std::unique_ptr<ForestBody> body_from(PyObject* keywords) {
    const auto given = py::reinterpret_borrow<py::dict>(keywords);
    const auto image = given["library"].cast<py::buffer>().request();
    auto library = std::make_unique<Library>(
        std::span(static_cast<const std::byte*>(image.ptr), static_cast<std::size_t>(image.size * image.itemsize)));
    if (library->entry().forest == nullptr) throw LibraryError("library: expected a forest in it, found none");
    Calibration calibration;
    calibration.link = numbered<Link>(given["link"].cast<std::string>(), link_names, "an unknown link");
    calibration.scale = given["link_scale"].cast<double>();
    const Forest forest(*library->entry().forest, calibration);
    const auto wanted = given["shape"].cast<std::array<std::uint32_t, 3>>();
    const std::array found = {forest.feature_count(), forest.tree_count(), forest.output_count()};
    constexpr std::array<const char*, 3> counted = {"features", "trees", "outputs"};
    for (std::size_t i = 0; i < found.size(); ++i) {
        if (found[i] == wanted[i]) continue;
        throw LibraryError("library: expected a forest of " + std::to_string(wanted[i]) + " " + counted[i] +
                           ", found one of " + std::to_string(found[i]));
    }
    std::vector<std::string> names;
    Ref places;
    if (const py::object listed = given["feature_names"]; !listed.is_none()) {
        names = listed.cast<std::vector<std::string>>();
        if (names.size() != forest.feature_count())
            throw py::value_error("feature_names: expected one for each feature");
        py::dict by_name;
        for (std::size_t feature = 0; feature < names.size(); ++feature) by_name[py::str(names[feature])] = feature;
        places = Ref(by_name.release().ptr());
    }
    const auto features = static_cast<Py_ssize_t>(forest.feature_count());
    const auto becomes = given["unknown_category"].cast<std::string>();
    const auto unknown = becomes == "refused"     ? UnknownCategory::refused
                         : becomes == "unmatched" ? UnknownCategory::unmatched
                                                  : UnknownCategory::missing;
    return std::make_unique<ForestBody>(std::move(library), forest, features, std::move(places), std::move(names),
                                        codes_from(given["categories"], forest.feature_count()), unknown);
}

PyObject* forest_new(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
    if (PyTuple_GET_SIZE(arguments) != 0 || keywords == nullptr) {
        PyErr_SetString(PyExc_TypeError, "a forest is made by compile_model() or Forest.load()");
        return nullptr;
    }
    try {
        NumpyArray::find_numpy();  // here, as services that only load bundles need not wait for numpy's import
        auto body = body_from(keywords);
        PyObject* self = type->tp_alloc(type, 0);
        if (self != nullptr) reinterpret_cast<ForestObject*>(self)->body = body.release();
        return self;
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const LibraryError& error) {
        raise_error("BundleError", error.what());
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_TypeError, error.what());
    }
    return nullptr;
}

// The class is subclassed in Python, whose __init__ takes no part: everything is made in __new__.
int forest_init(PyObject*, PyObject*, PyObject*) { return 0; }

void forest_dealloc(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    delete reinterpret_cast<ForestObject*>(self)->body;
    type->tp_free(self);
    Py_DECREF(type);
}

template <class Function>
PyCFunction as_method(Function function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

constexpr int fast_with_keywords = METH_FASTCALL | METH_KEYWORDS;

PyMethodDef methods[] = {
    {"score", forest_score, METH_O, "score($self, row, /)\n--\n\nThe row's score, in a forest of one output."},
    {"margin", forest_margin, METH_O, "margin($self, row, /)\n--\n\nThe row's margin, in a forest of one output."},
    {"scores", as_method(forest_scores), fast_with_keywords,
     "scores($self, row, /, *, out=None)\n--\n\nThe row's score for every output, float64 [outputs]."},
    {"margins", as_method(forest_margins), fast_with_keywords,
     "margins($self, row, /, *, out=None)\n--\n\nThe row's margin for every output, float64 [outputs]."},
    {"leaves", forest_leaves, METH_O, "leaves($self, row, /)\n--\n\nThe row's leaf in every tree, int32 [trees]."},
    {"row", forest_row, METH_NOARGS, "row($self, /)\n--\n\nA row of missing values to fill and score."},
    {"score_batch", as_method(forest_score_batch), fast_with_keywords,
     "score_batch($self, rows, /, *, out=None)\n--\n\nScores of many rows, float64 [n] or [n, outputs]."},
    {"margin_batch", as_method(forest_margin_batch), fast_with_keywords,
     "margin_batch($self, rows, /, *, out=None)\n--\n\nMargins of many rows, float64 [n] or [n, outputs]."},
    {"contributions", as_method(forest_contributions), fast_with_keywords,
     "contributions($self, row, /, *, out=None)\n--\n\nWhat every feature adds to the row's margins."},
    {"contributions_batch", as_method(forest_contributions_batch), fast_with_keywords,
     "contributions_batch($self, rows, /, *, out=None)\n--\n\nContributions of many rows."},
    {"_verify_golden", as_method(verify_golden), METH_FASTCALL,
     "_verify_golden($self, vectors, margins, scores, leaves, contributions, /)\n--\n\nThe first disagreement, or "
     "None."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(forest_new)},
    {Py_tp_init, reinterpret_cast<void*>(forest_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(forest_dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("One compiled forest; made by quickthorn.compile_model() or Forest.load().")},
    {0, nullptr},
};

PyType_Spec spec = {"quickthorn._native.Forest", sizeof(ForestObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                    slots};

}  // namespace

std::string ForestBody::name_of(Py_ssize_t feature) const {
    return names.empty() ? "feature " + std::to_string(feature) : "'" + names[static_cast<std::size_t>(feature)] + "'";
}

PyTypeObject* make_forest_type() { return reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec)); }

}  // namespace quickthorn::python

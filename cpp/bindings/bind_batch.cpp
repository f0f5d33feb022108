// The engine's methods over many events or vectors at once.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <optional>

#include "arrow_capsules.hpp"
#include "engine_object.hpp"
#include "golden_vectors.hpp"
#include "guarded.hpp"
#include "numpy_array.hpp"
#include "quickthorn/batch.hpp"

namespace py = pybind11;

namespace quickthorn::python {
namespace {

// Hands a vector's memory to numpy without a copy.
template <class Value>
py::array as_array(std::vector<Value>&& values, std::vector<py::ssize_t> shape) {
    auto owner = std::make_unique<std::vector<Value>>(std::move(values));
    const Value* data = owner->data();
    const py::capsule release(owner.release(), [](void* kept) { delete static_cast<std::vector<Value>*>(kept); });
    return py::array_t<Value>(std::move(shape), data, release);
}

template <class Value>
py::array as_array(std::vector<Value>&& values) {
    const auto length = static_cast<py::ssize_t>(values.size());
    return as_array(std::move(values), {length});
}

py::dict as_dict(BatchResult&& result, const EngineBody& body) {
    py::list errors;
    for (const BatchFault& fault : result.faults) {
        const std::string message = PythonEvents::message_of(body.schema()[fault.field], fault.fault, fault.found);
        errors.append(py::make_tuple(fault.row, py::str(message)));
    }
    py::dict answer;
    answer["scores"] = as_array(std::move(result.scores));
    answer["margins"] = as_array(std::move(result.margins));
    answer["outcomes"] = as_array(std::move(result.outcomes));
    const std::optional<ReasonMap>& map = body.engine_reasons();
    const auto most = static_cast<py::ssize_t>(map ? map->most : 0);
    const auto explained = most != 0 ? static_cast<py::ssize_t>(result.reasons.size()) / most : 0;
    answer["reasons"] = as_array(std::move(result.reasons), {explained, most});
    answer["rules"] = as_array(std::move(result.rules));
    answer["propensities"] = as_array(std::move(result.propensities));
    answer["statuses"] = as_array(std::move(result.statuses));
    answer["errors"] = errors;
    return answer;
}

Pass pass_named(const std::string& name) {
    constexpr std::array<const char*, 4> names = {"decide", "score", "observe", "replay"};
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (name == names[i]) return static_cast<Pass>(i);
    }
    throw py::value_error("pass: expected decide, score, observe or replay, found '" + name + "'");
}

// The memory that a replay writes to: a float64 array of (features, events), each feature's values side by side.
struct ReplayedInto {
    FeatureColumns columns;
    std::size_t events = 0;

    ReplayedInto() = default;
    ReplayedInto(PyObject* object, std::uint32_t feature_count) {
        NumpyArray::find_numpy();
        if (!NumpyArray::is(object)) refuse(feature_count);
        const NumpyArray array(object);
        constexpr auto word = static_cast<Py_ssize_t>(sizeof(double));
        if (array.dimensions() != 2 || !array.holds_float64() || !array.aligned() || !array.writeable() ||
            array.length(0) != static_cast<Py_ssize_t>(feature_count)) {
            refuse(feature_count);
        }
        events = static_cast<std::size_t>(array.length(1));
        if (events == 0) return;  // the strides of nothing mean nothing
        const Py_ssize_t stride = array.stride_bytes(0);
        if (array.stride_bytes(1) != word || stride < 0 || stride % word != 0) refuse(feature_count);
        columns = {array.data<double>(), static_cast<std::size_t>(stride / word), feature_count};
    }

    void check_room(std::size_t wanted) const {
        if (wanted <= events) return;
        throw py::value_error("columns: expected room for " + std::to_string(wanted) + " events, found it for " +
                              std::to_string(events));
    }

private:
    [[noreturn]] static void refuse(std::uint32_t feature_count) {
        throw py::value_error("columns: expected a writeable float64 array of " + std::to_string(feature_count) +
                              " features by events, with those of a feature side by side");
    }
};

py::dict run_over(EngineBody& body, PyObject* events, Pass pass, unsigned threads, const Feeds& feeds,
                  const ReplayedInto& into) {
    const char* protocol = ArrowStream::protocol_of(events);
    if (protocol == nullptr) {
        throw ArrowError("events: expected an object with the Arrow PyCapsule interface, found " + shown(events));
    }
    ArrowStream stream(events, protocol);
    ArrowEvents reader(body.schema(), stream.schema());
    EventRow row(body.schema());
    BatchResult result;
    {
        const py::gil_scoped_release unlocked;
        std::optional<SharedReplay> replay;
        // Labels and signals are told between events, and change what several groups see: then events go one by one.
        const bool told = body.engine().takes_labels() || body.engine().source_count() != 0;
        if (pass == Pass::replay && !told) replay.emplace(body.engine(), threads);
        while (const ArrowArray* batch = stream.next()) {
            reader.open(*batch);
            const auto length = static_cast<std::size_t>(reader.length());
            if (pass == Pass::replay) into.check_room(result.statuses.size() + length);
            if (replay) {
                run(*replay, reader, into.columns, result);
            } else {
                run(body.engine(), reader, row, pass, feeds, into.columns, result);
            }
        }
    }
    return as_dict(std::move(result), body);
}

}  // namespace

PyObject* run_batch(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    return guarded([&]() -> PyObject* {
        if (count < 2 || count > 6) {
            throw py::value_error("_run_batch() takes events, the name of a pass, the columns that a replay fills, a "
                                  "number of threads, and feeds of labels and of signals");
        }
        EngineBody& body = body_of(self);
        const Pass pass = pass_named(py::cast<std::string>(arguments[1]));
        if (!body.engine().has_forest() && (pass == Pass::decide || pass == Pass::score)) {
            return raise_error("BundleError",
                               "bundle: expected a forest to score with, found a bundle of features only");
        }
        ReplayedInto into;
        if (pass == Pass::replay) into = {count > 2 ? arguments[2] : Py_None, body.engine().feature_count()};
        const unsigned threads = count > 3 ? py::cast<unsigned>(arguments[3]) : 1;
        Feeds feeds;
        if (count > 4 && arguments[4] != Py_None) feeds.labels = &label_feed_of(arguments[4]);
        if (count > 5 && arguments[5] != Py_None) feeds.signals = &signal_feed_of(arguments[5]);
        return run_over(body, arguments[0], pass, threads, feeds, into).release().ptr();
    });
}

PyObject* verify_golden(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    return guarded([&]() -> PyObject* {
        const Engine& engine = body_of(self).engine();
        if (!engine.has_forest()) return PyUnicode_FromString("the library has no forest to hold golden vectors to");
        return golden_verdict(engine.forest(), arguments, count);
    });
}

PyObject* forest_margins(PyObject* self, PyObject* vectors) {
    return guarded([&]() -> PyObject* {
        const Engine& engine = body_of(self).engine();
        const auto rows = py::array_t<double, py::array::c_style | py::array::forcecast>::ensure(vectors);
        if (!rows || rows.ndim() != 2 || rows.shape(1) != static_cast<py::ssize_t>(engine.feature_count())) {
            throw py::value_error("vectors: expected a float64 array of " + std::to_string(engine.feature_count()) +
                                  " columns");
        }
        if (!engine.has_forest()) throw py::value_error("the bundle has no forest");
        std::vector<double> margins(static_cast<std::size_t>(rows.shape(0)));
        for (std::size_t row = 0; row < margins.size(); ++row) {
            margins[row] = engine.forest().margin(rows.data(static_cast<py::ssize_t>(row), 0));
        }
        return as_array(std::move(margins)).release().ptr();
    });
}

}  // namespace quickthorn::python

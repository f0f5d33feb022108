#include "engine_object.hpp"

#include <pybind11/pybind11.h>

#include "arrow_capsules.hpp"

namespace quickthorn::python {
namespace {

PyTypeObject* the_decision_type = nullptr;  // made once, with the module
PyTypeObject* the_engine_type = nullptr;    // the same

PyObject* wrong_count(const char* method) {
    PyErr_Format(PyExc_TypeError, "%s() takes exactly one event", method);
    return nullptr;
}

PyObject* without_forest() {
    return raise_error("BundleError", "bundle: expected a forest to score with, found a bundle of features only");
}

// What every call that answers with a Decision does when its event cannot be read.
PyObject* refuse(EngineBody& body, Reading reading, const std::string& message) {
    if (reading == Reading::raised) return nullptr;
    if (!body.raises()) return body.invalid_decision(message);
    body.engine().count_invalid();
    return raise_error("EventError", message);
}

// What a call asks for beside the verdict, by keyword, with the memory for it.
struct Wanted {
    bool features = false;
    bool contributions = false;
    std::vector<double> vector;
    std::vector<double> contributed;

    // False, with an exception set, where a keyword is not known.
    bool read(PyObject* const* values, PyObject* names, const char* method) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); ++i) {
            PyObject* name = PyTuple_GET_ITEM(names, i);
            const int truth = PyObject_IsTrue(values[i]);
            if (truth < 0) return false;
            if (PyUnicode_CompareWithASCIIString(name, "features") == 0) {
                features = truth != 0;
            } else if (PyUnicode_CompareWithASCIIString(name, "contributions") == 0) {
                contributions = truth != 0;
            } else {
                PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", method, name);
                return false;
            }
        }
        return true;
    }

    void make_room(const Engine& engine, Explanation& explanation) {
        if (features) {
            vector.resize(engine.feature_count());
            explanation.features = vector;
        }
        if (contributions) {
            contributed.resize(std::size_t{engine.feature_count()} + 1);
            explanation.contributions = contributed;
        }
    }
};

// decide and score, which differ in one call.
template <class Decide>
PyObject* decided(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names, const char* method,
                  Decide decide) {
    if (count != 1) return wrong_count(method);
    EngineBody& body = body_of(self);
    if (!body.engine().has_forest()) return without_forest();
    Explanation explanation;
    Wanted wanted;
    if (names != nullptr) [[unlikely]] {
        if (!wanted.read(arguments + 1, names, method)) return nullptr;
        if (wanted.contributions && !body.engine().forest().has_contributions()) {
            return raise_error("BundleError",
                               "bundle: expected one compiled with contributions to explain by, found one without");
        }
        wanted.make_room(body.engine(), explanation);
    }
    EngineBody::Lease lease(body);
    std::string message;
    const Reading reading = body.events().read(arguments[0], lease.row(), message);
    if (reading != Reading::done) return refuse(body, reading, message);
    return body.decision(decide(body.engine(), lease.row(), explanation), explanation);
}

PyObject* engine_decide(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    return decided(self, arguments, count, names, "decide",
                   [](Engine& engine, const EventRow& row, Explanation& told) { return engine.decide(row, told); });
}

PyObject* engine_score(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    return decided(self, arguments, count, names, "score",
                   [](Engine& engine, const EventRow& row, Explanation& told) { return engine.score(row, told); });
}

PyObject* engine_observe(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 1) return wrong_count("observe");
    EngineBody& body = body_of(self);
    EngineBody::Lease lease(body);
    std::string message;
    const Reading reading = body.events().read(arguments[0], lease.row(), message);
    if (reading == Reading::raised) return nullptr;
    if (reading == Reading::done) return body.status(body.engine().observe(lease.row()));
    body.engine().count_invalid();
    return body.raises() ? raise_error("EventError", message) : body.status(Status::invalid);
}

PyObject* engine_read_features(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 1) return wrong_count("features");
    EngineBody& body = body_of(self);
    EngineBody::Lease lease(body);
    std::string message;
    const Reading reading = body.events().read(arguments[0], lease.row(), message);
    if (reading == Reading::raised) return nullptr;
    if (reading == Reading::invalid) return raise_error("EventError", message);
    std::vector<double> vector(body.engine().feature_count());
    body.engine().features(lease.row(), vector);
    Ref values(PyTuple_New(static_cast<Py_ssize_t>(vector.size())));
    for (std::size_t i = 0; values && i < vector.size(); ++i) {
        PyObject* value = PyFloat_FromDouble(vector[i]);
        if (value == nullptr) return nullptr;
        PyTuple_SET_ITEM(values.get(), static_cast<Py_ssize_t>(i), value);
    }
    return values.release();
}

PyObject* engine_counters(PyObject* self, PyObject*) {
    const Engine& engine = body_of(self).engine();
    const Counters counters = engine.counters();
    return Py_BuildValue(
        "{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:I}", "decided", counters.decided,
        "scored", counters.scored, "observed", counters.observed, "signals", counters.signals, "signals_late",
        counters.signals_late, "invalid", counters.invalid, "duplicates", counters.duplicates, "late_in_place",
        counters.late_in_place, "late_left_out", counters.late_left_out, "over_row_limit", counters.over_row_limit,
        "over_cap", counters.over_cap, "out_of_space", counters.out_of_space, "reclaimed_keys", counters.reclaimed_keys,
        "labels", counters.labels, "unknown_labels", counters.unknown_labels, "keys", engine.keys(), "history_bytes",
        static_cast<unsigned long long>(engine.history_bytes_used()), "remembered_ids", engine.remembered_ids());
}

PyObject* engine_state_bytes(PyObject* self, PyObject*) {
    return PyLong_FromSize_t(body_of(self).engine().state_bytes());
}

PyObject* engine_new(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
    if (PyTuple_GET_SIZE(arguments) != 0 || keywords == nullptr) {
        PyErr_SetString(PyExc_TypeError, "an engine is made by Engine.load()");
        return nullptr;
    }
    try {
        auto body = std::make_unique<EngineBody>(parts_from(keywords), the_decision_type);
        PyObject* self = type->tp_alloc(type, 0);
        if (self != nullptr) reinterpret_cast<EngineObject*>(self)->body = body.release();
        return self;
    } catch (pybind11::error_already_set& error) {
        error.restore();
    } catch (const LibraryError& error) {
        raise_error("BundleError", error.what());
    } catch (const PolicyError& error) {
        raise_error("BundleError", error.what());
    } catch (const KnotTableError& error) {
        raise_error("BundleError", error.what());
    } catch (const RegionError& error) {
        raise_error("StateError", error.what());
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_TypeError, error.what());
    }
    return nullptr;
}

// The class is subclassed in Python, whose __init__ takes no part: everything is made in __new__.
int engine_init(PyObject*, PyObject*, PyObject*) { return 0; }

void engine_dealloc(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    delete reinterpret_cast<EngineObject*>(self)->body;
    type->tp_free(self);
    Py_DECREF(type);
}

// The outcome that all events get from now on; None lets the policy decide again.
PyObject* engine_set_kill_switch(PyObject* self, PyObject* outcome) {
    EngineBody& body = body_of(self);
    if (outcome == Py_None) {
        body.engine().release_kill_switch();
        return Py_NewRef(Py_None);
    }
    const char* wanted = PyUnicode_Check(outcome) ? PyUnicode_AsUTF8(outcome) : nullptr;
    PyErr_Clear();
    for (std::size_t i = 0; wanted != nullptr && i < body.outcomes().size(); ++i) {
        if (body.outcomes()[i] != wanted) continue;
        body.engine().set_kill_switch(static_cast<Outcome>(i));
        return Py_NewRef(Py_None);
    }
    std::string known;
    for (const std::string& name : body.outcomes()) known += (known.empty() ? "'" : ", '") + name + "'";
    const Ref shown(PyObject_Repr(outcome));
    const char* found = shown ? PyUnicode_AsUTF8(shown.get()) : "something else";
    return raise_error("PolicyError", "kill switch: expected one of " + known + ", or None, found " + found);
}

PyObject* engine_kill_switch(PyObject* self, PyObject*) {
    EngineBody& body = body_of(self);
    const Outcome outcome = body.engine().kill_switch();
    return outcome == no_outcome ? Py_NewRef(Py_None) : PyUnicode_FromString(body.outcomes()[outcome].c_str());
}

template <class Function>
PyCFunction as_method(Function function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"decide", as_method(engine_decide), METH_FASTCALL | METH_KEYWORDS,
     "decide($self, event, /, *, features=False, contributions=False)\n--\n\nRead the event's features, score it, then "
     "update the windows with it."},
    {"score", as_method(engine_score), METH_FASTCALL | METH_KEYWORDS,
     "score($self, event, /, *, features=False, contributions=False)\n--\n\nRead the event's features and score it; "
     "nothing is updated."},
    {"observe", as_method(engine_observe), METH_FASTCALL,
     "observe($self, event, /)\n--\n\nUpdate the windows with the event; returns its status."},
    {"label", as_method(engine_label), METH_VARARGS | METH_KEYWORDS,
     "label($self, event_id, fraud, available_at)\n--\n\n"
     "From available_at on it is known whether the event is fraud."},
    {"_label_batch", label_batch, METH_O,
     "_label_batch($self, labels, /)\n--\n\nTell every label of an Arrow object; what was refused, by row."},
    {"_label_feed", label_feed, METH_O,
     "_label_feed($self, labels, /)\n--\n\nThe labels of an Arrow object in order of time, and what was refused."},
    {"_finish_labels", finish_labels, METH_O,
     "_finish_labels($self, feed, /)\n--\n\nTell the rest of a feed; the rows whose event never came."},
    {"_read_features", as_method(engine_read_features), METH_FASTCALL,
     "_read_features($self, event, /)\n--\n\nThe feature vector as it stands, as a tuple; nothing is updated."},
    {"_run_batch", as_method(run_batch), METH_FASTCALL,
     "_run_batch($self, events, pass_name, columns=None, threads=1, labels=None, signals=None, /)\n--\n\n"
     "Run every event of an Arrow object; a replay by so many threads, or telling feeds meanwhile."},
    {"_verify_golden", as_method(verify_golden), METH_FASTCALL,
     "_verify_golden($self, vectors, margins, scores, leaves, contributions, /)\n--\n\nThe first disagreement, or "
     "None."},
    {"_margins", forest_margins, METH_O,
     "_margins($self, vectors, /)\n--\n\nMargins of a float64 array of feature vectors, one row each."},
    {"_set_kill_switch", engine_set_kill_switch, METH_O, "_set_kill_switch($self, outcome, /)\n--\n\nOne for all."},
    {"_kill_switch", engine_kill_switch, METH_NOARGS, "_kill_switch($self, /)\n--\n\nThe outcome of all, or None."},
    {"_counters", engine_counters, METH_NOARGS, "_counters($self, /)\n--\n\nHow often what happened since load."},
    {"_signal", as_method(tell_signal), METH_FASTCALL,
     "_signal($self, source, signal, /)\n--\n\nTell a signal of a source, by its number; returns what became of it."},
    {"_signal_batch", as_method(signal_batch), METH_FASTCALL,
     "_signal_batch($self, source, signals, /)\n--\n\nTell every signal of an Arrow object; returns those refused."},
    {"_signal_feed", signal_feed, METH_O,
     "_signal_feed($self, tables, /)\n--\n\nSignals to be told between the events of a batch, and those refused."},
    {"_finish_signals", finish_signals, METH_O, "_finish_signals($self, feed, /)\n--\n\nTell the rest of a feed."},
    {"_state_bytes", engine_state_bytes, METH_NOARGS, "_state_bytes($self, /)\n--\n\nHow large the state is."},
    {"_save_state", save_state, METH_O,
     "_save_state($self, descriptor, /)\n--\n\nWrite the state's blocks to a file descriptor."},
    {"_stage_state", stage_state, METH_NOARGS, "_stage_state($self, /)\n--\n\nAn empty state to put a saved one in."},
    {"_put_state", as_method(put_state), METH_FASTCALL,
     "_put_state($self, staged, offset, content, /)\n--\n\nPut bytes in their place in a staged state."},
    {"_adopt_state", adopt_state, METH_O,
     "_adopt_state($self, staged, /)\n--\n\nGo on with the staged state instead of the present one."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(engine_new)},
    {Py_tp_init, reinterpret_cast<void*>(engine_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(engine_dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("One bundle at work; made by quickthorn.Engine.load().")},
    {0, nullptr},
};

PyType_Spec spec = {"quickthorn._native.Engine", sizeof(EngineObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                    slots};

}  // namespace

EngineBody::EngineBody(EngineParts parts, PyTypeObject* decision_type)
    : parts_(std::move(parts)),
      engine_(parts_.library->entry(), *parts_.schema, parts_.link, parts_.knots, parts_.policy, parts_.limits),
      events_(*parts_.schema),
      label_schema_(quickthorn::label_schema(parts_.schema->key())),
      labels_(label_schema_),
      decision_type_(decision_type),
      bundle_text_(PyUnicode_FromString(parts_.bundle_id.c_str())) {
    for (const std::string& name : parts_.outcomes) {
        outcome_texts_.emplace_back(PyUnicode_InternFromString(name.c_str()));
    }
    for (const std::string& name : parts_.rules) rule_texts_.emplace_back(PyUnicode_InternFromString(name.c_str()));
    for (std::size_t i = 0; i < status_names.size(); ++i) {
        status_texts_[i] = Ref(PyUnicode_InternFromString(status_names[i]));
    }
    if (parts_.reasons) engine_.set_reasons(*parts_.reasons);
    free_rows_.reserve(64);
    free_rows_.push_back(std::make_unique<EventRow>(*parts_.schema));
}

std::unique_ptr<EventRow> EngineBody::lend() {
    if (free_rows_.empty()) return std::make_unique<EventRow>(*parts_.schema);
    std::unique_ptr<EventRow> row = std::move(free_rows_.back());
    free_rows_.pop_back();
    return row;
}

DecisionParts EngineBody::parts_of(const Verdict& verdict) const {
    DecisionParts parts{};
    parts.outcome = outcome_texts_[verdict.outcome].get();
    parts.status = status_texts_[static_cast<std::size_t>(verdict.status)].get();
    parts.bundle_id = bundle_text_.get();
    if (verdict.rule >= 0) parts.rule = rule_texts_[static_cast<std::size_t>(verdict.rule)].get();
    parts.is_probability = parts_.scores_are_probabilities;
    return parts;
}

PyObject* EngineBody::decision(const Verdict& verdict, const Explanation& explanation) {
    DecisionParts parts = parts_of(verdict);
    const bool plain = explanation.count == 0 && explanation.features.empty() && explanation.contributions.empty();
    if (plain) [[likely]]
        return make_decision(decision_type_, verdict, parts);
    Ref reasons;
    Ref features;
    Ref contributions;
    if (explanation.count != 0) {
        reasons = Ref(reasons_of(explanation));
        if (!reasons) return nullptr;
    }
    if (!explanation.features.empty()) {
        features = Ref(by_name(explanation.features));
        if (!features) return nullptr;
    }
    if (!explanation.contributions.empty()) {
        contributions = Ref(by_name(explanation.contributions.first(parts_.features.size())));
        if (!contributions) return nullptr;
    }
    parts.reasons = reasons.get();
    parts.features = features.get();
    parts.contributions = contributions.get();
    return make_decision(decision_type_, verdict, parts);
}

PyObject* EngineBody::reasons_of(const Explanation& explanation) const {
    Ref reasons(PyTuple_New(static_cast<Py_ssize_t>(explanation.count)));
    for (std::uint32_t i = 0; reasons && i < explanation.count; ++i) {
        PyObject* named = parts_.reason_codes[explanation.reasons[i].code].get();
        PyObject* reason = PyObject_CallFunction(parts_.reason_type.get(), "OOd", PyTuple_GetItem(named, 0),
                                                 PyTuple_GetItem(named, 1), explanation.reasons[i].contribution);
        if (reason == nullptr) return nullptr;
        PyTuple_SET_ITEM(reasons.get(), static_cast<Py_ssize_t>(i), reason);
    }
    return reasons.release();
}

PyObject* EngineBody::by_name(std::span<const double> values) const {
    Ref named(PyDict_New());
    for (std::size_t i = 0; named && i < values.size(); ++i) {
        const Ref value(PyFloat_FromDouble(values[i]));
        if (!value || PyDict_SetItemString(named.get(), parts_.features[i].c_str(), value.get()) != 0) return nullptr;
    }
    return named.release();
}

PyObject* EngineBody::invalid_decision(const std::string& message) {
    const Ref text(PyUnicode_FromStringAndSize(message.data(), static_cast<Py_ssize_t>(message.size())));
    if (!text) return nullptr;
    const Verdict verdict = engine_.decide_invalid();
    DecisionParts parts = parts_of(verdict);
    parts.error = text.get();
    return make_decision(decision_type_, verdict, parts);
}

PyTypeObject* make_engine_type(PyTypeObject* decision_type) {
    the_decision_type = decision_type;
    the_engine_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
    return the_engine_type;
}

bool is_engine(PyObject* object) { return PyObject_TypeCheck(object, the_engine_type) != 0; }

PyObject* raise_error(const char* type, const std::string& message) {
    const Ref errors(PyImport_ImportModule("quickthorn.errors"));
    if (!errors) return nullptr;
    const Ref error(PyObject_GetAttrString(errors.get(), type));
    if (!error) return nullptr;
    const Ref text(PyUnicode_DecodeUTF8(message.data(), static_cast<Py_ssize_t>(message.size()), "replace"));
    if (text) PyErr_SetObject(error.get(), text.get());
    return nullptr;
}

}  // namespace quickthorn::python

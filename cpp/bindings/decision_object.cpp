#include "decision_object.hpp"

#include <structmember.h>

#include <cstddef>
#include <string>

#include "python_object.hpp"
#include "quickthorn/aligned_score.hpp"

namespace quickthorn::python {
namespace {

struct DecisionObject {
    PyObject_HEAD
    PyObject* outcome;
    PyObject* status;
    PyObject* bundle_id;
    PyObject* rule;
    PyObject* reasons;
    PyObject* features;
    PyObject* contributions;
    PyObject* error;
    double score;
    double margin;
    double propensity;
    bool is_probability;
};

DecisionObject* cast(PyObject* self) { return reinterpret_cast<DecisionObject*>(self); }

void decision_dealloc(PyObject* self) {
    DecisionObject* decision = cast(self);
    PyTypeObject* type = Py_TYPE(self);
    Py_XDECREF(decision->outcome);
    Py_XDECREF(decision->status);
    Py_XDECREF(decision->bundle_id);
    Py_XDECREF(decision->rule);
    Py_XDECREF(decision->reasons);
    Py_XDECREF(decision->features);
    Py_XDECREF(decision->contributions);
    Py_XDECREF(decision->error);
    PyObject_Free(self);
    Py_DECREF(type);
}

std::string text(PyObject* value) {
    const char* utf8 = PyUnicode_AsUTF8(value);
    return utf8 != nullptr ? utf8 : "";
}

std::string rounded(double value) {
    char* shown = PyOS_double_to_string(value, 'g', 4, 0, nullptr);
    std::string result = shown != nullptr ? shown : "";
    PyMem_Free(shown);
    return result;
}

PyObject* aligned_score_of(PyObject* self, void*) {
    const DecisionObject* decision = cast(self);
    const std::int16_t aligned = decision->is_probability ? aligned_score(decision->score) : no_aligned_score;
    return aligned != no_aligned_score ? PyLong_FromLong(aligned) : Py_NewRef(Py_None);
}

PyObject* reasons_of(PyObject* self, void*) {
    const DecisionObject* decision = cast(self);
    return decision->reasons != nullptr ? Py_NewRef(decision->reasons) : PyTuple_New(0);
}

// The reasons' codes, ", " between them.
std::string codes_of(PyObject* reasons) {
    std::string codes;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(reasons); ++i) {
        const Ref code(PyObject_GetAttrString(PyTuple_GET_ITEM(reasons, i), "code"));
        if (!code) return codes;
        codes += (i != 0 ? ", " : "") + text(code.get());
    }
    return codes;
}

PyObject* decision_repr(PyObject* self) {
    const DecisionObject* decision = cast(self);
    const Ref aligned(aligned_score_of(self, nullptr));
    std::string shown = "Decision(" + text(decision->outcome) + ", score=" + rounded(decision->score);
    if (aligned && aligned.get() != Py_None) shown += ", aligned=" + std::to_string(PyLong_AsLong(aligned.get()));
    shown += ", margin=" + rounded(decision->margin) + ", status=" + text(decision->status);
    if (decision->rule != nullptr) shown += ", rule='" + text(decision->rule) + "'";
    if (decision->propensity != 1.0) shown += ", propensity=" + rounded(decision->propensity);
    if (decision->reasons != nullptr) shown += ", reasons=[" + codes_of(decision->reasons) + "]";
    shown += ", bundle=" + text(decision->bundle_id).substr(0, 12);
    if (decision->error != nullptr) shown += ", error=" + text(decision->error);
    shown += ")";
    if (PyErr_Occurred() != nullptr) return nullptr;
    return PyUnicode_FromStringAndSize(shown.data(), static_cast<Py_ssize_t>(shown.size()));
}

PyObject* or_none(PyObject* value) { return value != nullptr ? value : Py_None; }

// The reasons as dicts of plain values.
PyObject* plain_reasons(PyObject* reasons) {
    Ref plain(PyList_New(0));
    for (Py_ssize_t i = 0; plain && reasons != nullptr && i < PyTuple_GET_SIZE(reasons); ++i) {
        const Ref reason(PyObject_CallMethod(PyTuple_GET_ITEM(reasons, i), "_asdict", nullptr));
        if (!reason || PyList_Append(plain.get(), reason.get()) != 0) return nullptr;
    }
    return plain.release();
}

PyObject* decision_as_dict(PyObject* self, PyObject*) {
    const DecisionObject* decision = cast(self);
    PyObject* aligned = aligned_score_of(self, nullptr);
    PyObject* reasons = plain_reasons(decision->reasons);
    Ref plain(Py_BuildValue("{s:O,s:d,s:N,s:d,s:N,s:O,s:d,s:O,s:O,s:O}", "outcome", decision->outcome, "score",
                            decision->score, "aligned_score", aligned, "margin", decision->margin, "reasons", reasons,
                            "rule", or_none(decision->rule), "propensity", decision->propensity, "status",
                            decision->status, "bundle_id", decision->bundle_id, "error", or_none(decision->error)));
    if (!plain) return nullptr;
    for (const auto& [name, value] :
         {std::pair{"features", decision->features}, std::pair{"contributions", decision->contributions}}) {
        if (value != nullptr && PyDict_SetItemString(plain.get(), name, value) != 0) return nullptr;
    }
    return plain.release();
}

PyObject* decision_as_json(PyObject* self, PyObject*) {
    const Ref encoding(PyImport_ImportModule("quickthorn.decision.encoding"));
    const Ref plain(decision_as_dict(self, nullptr));
    if (!encoding || !plain) return nullptr;
    return PyObject_CallMethod(encoding.get(), "encode", "O", plain.get());
}

PyMemberDef members[] = {
    {"outcome", T_OBJECT_EX, offsetof(DecisionObject, outcome), READONLY, "one of the policy's outcomes"},
    {"score", T_DOUBLE, offsetof(DecisionObject, score), READONLY, "the calibrated score; NaN when invalid"},
    {"margin", T_DOUBLE, offsetof(DecisionObject, margin), READONLY, "the forest's own output; NaN when invalid"},
    {"rule", T_OBJECT, offsetof(DecisionObject, rule), READONLY,
     "what decided: a rule, cap or segment of the policy, 'kill_switch', 'fallback' or 'exploration'; None where the "
     "policy's thresholds did"},
    {"propensity", T_DOUBLE, offsetof(DecisionObject, propensity), READONLY,
     "the chance that the event had of this outcome; 1.0 where nothing was left to chance"},
    {"status", T_OBJECT_EX, offsetof(DecisionObject, status), READONLY, "ok, capped, late, duplicate or invalid"},
    {"bundle_id", T_OBJECT_EX, offsetof(DecisionObject, bundle_id), READONLY, "which bundle decided"},
    {"features", T_OBJECT, offsetof(DecisionObject, features), READONLY,
     "the feature vector by name, where it was asked for, else None"},
    {"contributions", T_OBJECT, offsetof(DecisionObject, contributions), READONLY,
     "what each feature added to the margin, by name, where it was asked for, else None"},
    {"error", T_OBJECT, offsetof(DecisionObject, error), READONLY, "why the event is invalid, or None"},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef computed[] = {
    {"aligned_score", aligned_score_of, nullptr,
     "the score on the scale of 0 to 999 that all model versions share; None where the score is no probability",
     nullptr},
    {"reasons", reasons_of, nullptr, "the reasons, weightiest first; empty where the policy does not ask for any",
     nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef methods[] = {
    {"as_dict", decision_as_dict, METH_NOARGS, "as_dict($self, /)\n--\n\nThe decision as a dict of plain values."},
    {"as_json", decision_as_json, METH_NOARGS,
     "as_json($self, /)\n--\n\nThe decision as JSON in UTF-8; what is not a number is null."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(decision_dealloc)},
    {Py_tp_repr, reinterpret_cast<void*>(decision_repr)},
    {Py_tp_members, members},
    {Py_tp_getset, computed},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("What was decided about one event, and by which bundle.")},
    {0, nullptr},
};

PyType_Spec spec = {"quickthorn._native.Decision", sizeof(DecisionObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

PyTypeObject* make_decision_type() { return reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec)); }

PyObject* make_decision(PyTypeObject* type, const Verdict& verdict, const DecisionParts& parts) {
    auto* decision = PyObject_New(DecisionObject, type);
    if (decision == nullptr) return nullptr;
    decision->outcome = Py_NewRef(parts.outcome);
    decision->status = Py_NewRef(parts.status);
    decision->bundle_id = Py_NewRef(parts.bundle_id);
    decision->rule = Py_XNewRef(parts.rule);
    decision->reasons = Py_XNewRef(parts.reasons);
    decision->features = Py_XNewRef(parts.features);
    decision->contributions = Py_XNewRef(parts.contributions);
    decision->error = Py_XNewRef(parts.error);
    decision->score = verdict.score;
    decision->margin = verdict.margin;
    decision->propensity = verdict.propensity;
    decision->is_probability = parts.is_probability;
    return reinterpret_cast<PyObject*>(decision);
}

}  // namespace quickthorn::python

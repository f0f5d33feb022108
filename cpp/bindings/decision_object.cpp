#include "decision_object.hpp"

#include <structmember.h>

#include <cstddef>
#include <string>

#include "python_object.hpp"

namespace quickthorn::python {
namespace {

struct DecisionObject {
    PyObject_HEAD
    PyObject* outcome;
    PyObject* status;
    PyObject* bundle_id;
    PyObject* error;
    double score;
    double margin;
};

void decision_dealloc(PyObject* self) {
    auto* decision = reinterpret_cast<DecisionObject*>(self);
    PyTypeObject* type = Py_TYPE(self);
    Py_XDECREF(decision->outcome);
    Py_XDECREF(decision->status);
    Py_XDECREF(decision->bundle_id);
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

PyObject* decision_repr(PyObject* self) {
    const auto* decision = reinterpret_cast<DecisionObject*>(self);
    std::string shown = "Decision(" + text(decision->outcome) + ", score=" + rounded(decision->score) +
                        ", margin=" + rounded(decision->margin) + ", status=" + text(decision->status) +
                        ", bundle=" + text(decision->bundle_id).substr(0, 12);
    if (decision->error != nullptr) shown += ", error=" + text(decision->error);
    shown += ")";
    return PyUnicode_FromStringAndSize(shown.data(), static_cast<Py_ssize_t>(shown.size()));
}

PyObject* decision_as_dict(PyObject* self, PyObject*) {
    const auto* decision = reinterpret_cast<DecisionObject*>(self);
    return Py_BuildValue("{s:O,s:d,s:d,s:O,s:O,s:O}", "outcome", decision->outcome, "score", decision->score, "margin",
                         decision->margin, "status", decision->status, "bundle_id", decision->bundle_id, "error",
                         decision->error != nullptr ? decision->error : Py_None);
}

PyMemberDef members[] = {
    {"outcome", T_OBJECT_EX, offsetof(DecisionObject, outcome), READONLY, "approve, review or decline"},
    {"score", T_DOUBLE, offsetof(DecisionObject, score), READONLY, "the calibrated score; NaN when invalid"},
    {"margin", T_DOUBLE, offsetof(DecisionObject, margin), READONLY, "the forest's own output; NaN when invalid"},
    {"status", T_OBJECT_EX, offsetof(DecisionObject, status), READONLY, "ok, capped, late, duplicate or invalid"},
    {"bundle_id", T_OBJECT_EX, offsetof(DecisionObject, bundle_id), READONLY, "which bundle decided"},
    {"error", T_OBJECT, offsetof(DecisionObject, error), READONLY, "why the event is invalid, or None"},
    {nullptr, 0, 0, 0, nullptr},
};

PyMethodDef methods[] = {
    {"as_dict", decision_as_dict, METH_NOARGS, "The decision as a dict of plain values."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(decision_dealloc)},
    {Py_tp_repr, reinterpret_cast<void*>(decision_repr)},
    {Py_tp_members, members},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("What was decided about one event, and by which bundle.")},
    {0, nullptr},
};

PyType_Spec spec = {"quickthorn._native.Decision", sizeof(DecisionObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

PyTypeObject* make_decision_type() { return reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec)); }

PyObject* make_decision(PyTypeObject* type, const DecisionParts& parts) {
    auto* decision = PyObject_New(DecisionObject, type);
    if (decision == nullptr) return nullptr;
    decision->outcome = Py_NewRef(parts.outcome);
    decision->status = Py_NewRef(parts.status);
    decision->bundle_id = Py_NewRef(parts.bundle_id);
    decision->error = Py_XNewRef(parts.error);
    decision->score = parts.score;
    decision->margin = parts.margin;
    return reinterpret_cast<PyObject*>(decision);
}

}  // namespace quickthorn::python

// The Engine type: one bundle at work behind FASTCALL methods.
#pragma once

#include <Python.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "decision_object.hpp"
#include "guarded.hpp"
#include "python_event.hpp"
#include "python_object.hpp"
#include "quickthorn/engine.hpp"
#include "quickthorn/label_feed.hpp"
#include "quickthorn/label_fields.hpp"
#include "quickthorn/signal_feed.hpp"

namespace quickthorn::python {

inline constexpr std::array<const char*, status_count> status_names = {"ok", "capped", "late", "duplicate", "invalid"};

// A source of signals: its key, its values and the time are the fields of a schema.
struct SignalSource {
    SignalSource(std::string name_, std::unique_ptr<EventSchema> schema_)
        : name(std::move(name_)),
          schema(std::move(schema_)),
          reader(*schema) {}

    std::string name;
    std::unique_ptr<EventSchema> schema;
    PythonEvents reader;
};

// What an engine is made of; see engine_setup.cpp for where it comes from.
struct EngineParts {
    std::shared_ptr<const Library> library;
    std::unique_ptr<EventSchema> schema;
    std::vector<SignalSource> sources;
    Calibration link;
    std::optional<KnotTable> knots;
    Policy policy;
    std::vector<std::string> outcomes;  // mildest first
    std::vector<std::string> rules;     // by Verdict::rule
    std::vector<std::string> features;
    std::optional<ReasonMap> reasons;
    std::vector<Ref> reason_codes;  // tuples of code and text
    Ref reason_type;                // makes a reason of code, text and contribution
    EngineLimits limits;
    std::string bundle_id;
    bool raise_errors = false;
    bool scores_are_probabilities = false;
};

// Everything behind one Python engine. Rows are lent to calls: one is enough until an event's own Python code lets
// another thread in, and then that thread gets the next.
class EngineBody {
public:
    EngineBody(EngineParts parts, PyTypeObject* decision_type);

    class Lease {
    public:
        explicit Lease(EngineBody& body) : body_(body), row_(body.lend()) {}
        ~Lease() { body_.free_rows_.push_back(std::move(row_)); }
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        EventRow& row() { return *row_; }

    private:
        EngineBody& body_;
        std::unique_ptr<EventRow> row_;
    };

    Engine& engine() { return engine_; }
    const std::shared_ptr<const Library>& library() const { return parts_.library; }
    const EventSchema& schema() const { return *parts_.schema; }
    PythonEvents& events() { return events_; }
    const EventSchema& label_schema() const { return label_schema_; }
    PythonEvents& labels() { return labels_; }
    std::vector<SignalSource>& sources() { return parts_.sources; }
    const std::vector<SignalSource>& sources() const { return parts_.sources; }
    bool raises() const { return parts_.raise_errors; }
    const std::string& bundle_id() const { return parts_.bundle_id; }
    const std::optional<ReasonMap>& engine_reasons() const { return engine_.reasons(); }
    const std::vector<std::string>& outcomes() const { return parts_.outcomes; }

    // Null with an exception set where memory runs out.
    PyObject* decision(const Verdict& verdict, const Explanation& explanation);
    PyObject* invalid_decision(const std::string& message);
    PyObject* status(Status status) const { return Py_NewRef(status_texts_[static_cast<std::size_t>(status)].get()); }

private:
    std::unique_ptr<EventRow> lend();
    DecisionParts parts_of(const Verdict& verdict) const;
    PyObject* reasons_of(const Explanation& explanation) const;
    PyObject* by_name(std::span<const double> values) const;

    EngineParts parts_;
    Engine engine_;
    PythonEvents events_;
    EventSchema label_schema_;
    PythonEvents labels_;
    PyTypeObject* decision_type_;
    std::vector<Ref> outcome_texts_;
    std::vector<Ref> rule_texts_;
    std::array<Ref, status_names.size()> status_texts_;
    Ref bundle_text_;
    std::vector<std::unique_ptr<EventRow>> free_rows_;
};

struct EngineObject {
    PyObject_HEAD
    EngineBody* body;
};

// Whether it is an engine, of the class itself or of one derived from it.
bool is_engine(PyObject* object);

inline EngineBody& body_of(PyObject* self) { return *reinterpret_cast<EngineObject*>(self)->body; }

// Creates the type; null with an exception set on failure.
PyTypeObject* make_engine_type(PyTypeObject* decision_type);

// engine_setup.cpp: an engine's parts from the keyword arguments of its constructor. Throws pybind11's exceptions.
EngineParts parts_from(PyObject* keywords);

// bind_batch.cpp: the methods over Arrow data.
PyObject* run_batch(PyObject* self, PyObject* const* arguments, Py_ssize_t count);
PyObject* verify_golden(PyObject* self, PyObject* const* arguments, Py_ssize_t count);
PyObject* forest_margins(PyObject* self, PyObject* vectors);

// bind_signals.cpp: the methods that take signals.
PyObject* tell_signal(PyObject* self, PyObject* const* arguments, Py_ssize_t count);
PyObject* signal_batch(PyObject* self, PyObject* const* arguments, Py_ssize_t count);
PyObject* signal_feed(PyObject* self, PyObject* tables);
PyObject* finish_signals(PyObject* self, PyObject* feed);
SignalFeed& signal_feed_of(PyObject* feed);

// bind_state.cpp: the methods that save and restore.
PyObject* save_state(PyObject* self, PyObject* descriptor);
PyObject* stage_state(PyObject* self, PyObject*);
PyObject* put_state(PyObject* self, PyObject* const* arguments, Py_ssize_t count);
PyObject* adopt_state(PyObject* self, PyObject* staged);

// bind_labels.cpp: the methods that take labels.
PyObject* engine_label(PyObject* self, PyObject* arguments, PyObject* keywords);
PyObject* label_batch(PyObject* self, PyObject* labels);
PyObject* label_feed(PyObject* self, PyObject* labels);
PyObject* finish_labels(PyObject* self, PyObject* feed);
// The feed that label_feed() made; throws a pybind11 exception for anything else.
LabelFeed& label_feed_of(PyObject* feed);

}  // namespace quickthorn::python

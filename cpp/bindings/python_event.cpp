#include "python_event.hpp"

#include "arrow_capsules.hpp"

namespace quickthorn::python {
namespace {

constexpr std::size_t most_shown = 80;

Ref imported(const char* module, const char* name) {
    const Ref found(PyImport_ImportModule(module));
    return found ? Ref(PyObject_GetAttrString(found.get(), name)) : Ref();
}

Fault set_python_text(std::size_t field, PyObject* value, EventRow& row) {
    Py_ssize_t length = 0;
    const char* utf8 = PyUnicode_AsUTF8AndSize(value, &length);
    if (utf8 == nullptr) {  // a lone surrogate has no UTF-8 form
        PyErr_Clear();
        return Fault::wrong_type;
    }
    return row.set_text(field, std::string_view(utf8, static_cast<std::size_t>(length)));
}

Fault set_python_integer(std::size_t field, PyObject* value, EventRow& row) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow == 0) return row.set_integer(field, number);
    switch (row.schema()[field].kind) {
        case FieldKind::id:
        case FieldKind::entity: {
            const Ref digits(PyObject_Str(value));
            if (digits) return set_python_text(field, digits.get(), row);
            PyErr_Clear();  // beyond the interpreter's limit of digits
            return Fault::too_large;
        }
        case FieldKind::number: {
            const double real = PyLong_AsDouble(value);
            if (!PyErr_Occurred()) return row.set_real(field, real);
            PyErr_Clear();
            return Fault::too_large;
        }
        case FieldKind::money:
        case FieldKind::event_time: return Fault::too_large;
        default: return Fault::wrong_type;
    }
}

}  // namespace

std::string shown(PyObject* value) {
    const Ref representation(PyObject_Repr(value));
    const char* utf8 = representation ? PyUnicode_AsUTF8(representation.get()) : nullptr;
    std::string text = utf8 != nullptr ? utf8 : "something without a repr";
    PyErr_Clear();
    if (text.size() > most_shown) {
        std::size_t cut = most_shown;
        while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;  // not inside a character
        text = text.substr(0, cut) + "…";
    }
    return text + " (" + Py_TYPE(value)->tp_name + ")";
}

PythonEvents::PythonEvents(const EventSchema& schema) : schema_(schema) {
    for (std::size_t field = 0; field < schema.size(); ++field) {
        names_.emplace_back(PyUnicode_InternFromString(schema[field].name.c_str()));
    }
}

std::string PythonEvents::message_of(const FieldSpec& field, Fault fault, const std::string& found) {
    return field.name + ": expected " + field.expected(fault) + ", found " + found;
}

Reading PythonEvents::read(PyObject* event, EventRow& row, std::string& message) {
    if (PyDict_Check(event)) return read_dict(event, row, message);
    if (PyBytes_Check(event) || PyByteArray_Check(event)) return read_json(event, row, message);
    for (const char* protocol : {"__arrow_c_array__", "__arrow_c_stream__"}) {
        if (PyObject_HasAttrString(event, protocol)) return read_arrow(event, protocol, row, message);
    }
    if (PyMapping_Check(event) && PyObject_HasAttrString(event, "keys")) {
        const Ref copy(PyObject_CallOneArg(reinterpret_cast<PyObject*>(&PyDict_Type), event));
        return copy ? read_dict(copy.get(), row, message) : Reading::raised;
    }
    return read_attributes(event, row, message);
}

Reading PythonEvents::read_values(std::span<PyObject* const> values, EventRow& row, std::string& message) {
    for (std::size_t field = 0; field < values.size(); ++field) {
        const Reading reading = set(field, values[field], row, message);
        if (reading != Reading::done) return reading;
    }
    return Reading::done;
}

Reading PythonEvents::read_dict(PyObject* dict, EventRow& row, std::string& message) {
    for (std::size_t field = 0; field < names_.size(); ++field) {
        PyObject* value = PyDict_GetItemWithError(dict, names_[field].get());
        if (value == nullptr && PyErr_Occurred()) return Reading::raised;
        const Reading reading = set(field, value, row, message);
        if (reading != Reading::done) return reading;
    }
    return Reading::done;
}

Reading PythonEvents::read_attributes(PyObject* object, EventRow& row, std::string& message) {
    for (std::size_t field = 0; field < names_.size(); ++field) {
        const Ref value(PyObject_GetAttr(object, names_[field].get()));
        if (!value) {
            if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return Reading::raised;
            PyErr_Clear();
            if (schema_[field].kind == FieldKind::id) return not_an_event(object, message);
        }
        const Reading reading = set(field, value.get(), row, message);
        if (reading != Reading::done) return reading;
    }
    return Reading::done;
}

Reading PythonEvents::read_json(PyObject* bytes, EventRow& row, std::string& message) {
    const Ref decode = imported("msgspec.json", "decode");
    if (!decode) return Reading::raised;
    const Ref decoded(PyObject_CallOneArg(decode.get(), bytes));
    if (decoded && PyDict_Check(decoded.get())) return read_dict(decoded.get(), row, message);
    std::string found;
    if (decoded) {
        found = shown(decoded.get());
    } else {
        PyObject* type = nullptr;
        PyObject* value = nullptr;
        PyObject* trace = nullptr;
        PyErr_Fetch(&type, &value, &trace);
        const Ref reason(value != nullptr ? PyObject_Str(value) : nullptr);
        const char* utf8 = reason ? PyUnicode_AsUTF8(reason.get()) : nullptr;
        found = std::string("bytes that are not JSON (") + (utf8 != nullptr ? utf8 : "no reason given") + ")";
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(trace);
        PyErr_Clear();
    }
    message = "event: expected a JSON object, found " + found;
    return Reading::invalid;
}

Reading PythonEvents::read_arrow(PyObject* object, const char* protocol, EventRow& row, std::string& message) {
    try {
        ArrowStream stream(object, protocol);
        ArrowEvents events(schema_, stream.schema());
        std::int64_t rows = 0;
        while (const ArrowArray* batch = stream.next()) {
            events.open(*batch);
            rows += events.length();
            if (events.length() != 1 || rows != 1) continue;
            const EventFault fault = events.read(0, row);
            if (fault.fault == Fault::none) continue;
            message = message_of(schema_[fault.field], fault.fault, events.shown(0, fault.field));
            return Reading::invalid;
        }
        if (rows == 1) return Reading::done;
        message = "event: expected one Arrow row, found " + std::to_string(rows) + " rows";
    } catch (const ArrowError& error) {
        message = error.what();
    } catch (const PythonRaised&) {
        return Reading::raised;
    }
    return Reading::invalid;
}

Reading PythonEvents::not_an_event(PyObject* event, std::string& message) {
    message = "event: expected a dict, an object with the schema's attributes, JSON bytes or an Arrow row, found " +
              shown(event);
    return Reading::invalid;
}

Reading PythonEvents::set(std::size_t field, PyObject* value, EventRow& row, std::string& message) {
    const Fault fault = value == nullptr ? row.set_missing(field) : convert(field, value, row);
    if (fault == Fault::none) return Reading::done;
    if (PyErr_Occurred()) return Reading::raised;
    const bool nothing = value == nullptr || value == Py_None;
    message = message_of(schema_[field], fault, nothing ? "nothing" : shown(value));
    return Reading::invalid;
}

Fault PythonEvents::convert(std::size_t field, PyObject* value, EventRow& row) {
    if (PyUnicode_Check(value)) return set_python_text(field, value, row);
    if (PyFloat_Check(value)) return row.set_real(field, PyFloat_AS_DOUBLE(value));
    if (PyBool_Check(value)) return row.set_boolean(field, value == Py_True);
    if (PyLong_Check(value)) return set_python_integer(field, value, row);
    if (value == Py_None) return row.set_missing(field);
    return convert_unusual(field, value, row);
}

// Decimals, datetimes and numpy scalars are rare enough to be brought to plain values by Python.
Fault PythonEvents::convert_unusual(std::size_t field, PyObject* value, EventRow& row) {
    const Ref plain = imported("quickthorn.event.plain", "plain_value");
    if (!plain) return Fault::wrong_type;
    const Ref is_time(PyBool_FromLong(schema_[field].kind == FieldKind::event_time));
    const Ref found(PyObject_CallFunctionObjArgs(plain.get(), value, is_time.get(), nullptr));
    if (!found) return Fault::wrong_type;
    if (found.get() == Py_NotImplemented) return Fault::wrong_type;
    // A Decimal comes back as its text: an amount of money, but not an identifier, a category or a text.
    if (PyUnicode_Check(found.get()) && schema_[field].kind != FieldKind::money) return Fault::wrong_type;
    return convert(field, found.get(), row);
}

}  // namespace quickthorn::python

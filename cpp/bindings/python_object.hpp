// Owning references to Python objects, for code that talks to the C API directly.
#pragma once

#include <Python.h>

#include <utility>

namespace quickthorn::python {

class Ref {
public:
    Ref() = default;
    // Takes over a new reference; null stands for "an exception is set" or "nothing".
    explicit Ref(PyObject* owned) : object_(owned) {}
    static Ref borrow(PyObject* object) { return Ref(Py_XNewRef(object)); }
    ~Ref() { Py_XDECREF(object_); }
    Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    Ref& operator=(Ref&& other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    Ref(const Ref&) = delete;
    Ref& operator=(const Ref&) = delete;

    PyObject* get() const { return object_; }
    PyObject* release() { return std::exchange(object_, nullptr); }
    explicit operator bool() const { return object_ != nullptr; }

private:
    PyObject* object_ = nullptr;
};

}  // namespace quickthorn::python

#include "arrow_capsules.hpp"

#include <cstring>
#include <string>

namespace quickthorn::python {
namespace {

// Moves a structure out of a capsule: the Arrow rules make the taker responsible for its release.
template <class Structure>
Structure moved_from(PyObject* capsule, const char* name) {
    auto* source = static_cast<Structure*>(PyCapsule_GetPointer(capsule, name));
    if (source == nullptr) throw PythonRaised{};
    const Structure taken = *source;
    source->release = nullptr;
    return taken;
}

}  // namespace

const char* ArrowStream::protocol_of(PyObject* object) {
    for (const char* protocol : {"__arrow_c_stream__", "__arrow_c_array__"}) {
        if (PyObject_HasAttrString(object, protocol)) return protocol;
    }
    return nullptr;
}

ArrowStream::ArrowStream(PyObject* object, const char* protocol) {
    const Ref capsules(PyObject_CallMethod(object, protocol, nullptr));
    if (!capsules) throw PythonRaised{};
    if (PyTuple_Check(capsules.get())) {
        take_array(capsules.get());
    } else {
        take_stream(capsules.get());
    }
}

void ArrowStream::take_array(PyObject* capsules) {
    if (PyTuple_GET_SIZE(capsules) != 2) throw ArrowError("Arrow data: expected a pair of capsules");
    schema_.value = moved_from<ArrowSchema>(PyTuple_GET_ITEM(capsules, 0), "arrow_schema");
    batch_.value = moved_from<ArrowArray>(PyTuple_GET_ITEM(capsules, 1), "arrow_array");
    single_ = true;
}

void ArrowStream::take_stream(PyObject* capsule) {
    stream_.value = moved_from<ArrowArrayStream>(capsule, "arrow_array_stream");
    if (const int error = stream_.value.get_schema(&stream_.value, &schema_.value); error != 0) {
        schema_.value.release = nullptr;
        refuse(error);
    }
}

const ArrowArray* ArrowStream::next() {
    if (single_) {
        if (delivered_) return nullptr;
        delivered_ = true;
        return &batch_.value;
    }
    batch_.reset();
    if (const int error = stream_.value.get_next(&stream_.value, &batch_.value); error != 0) {
        batch_.value.release = nullptr;
        refuse(error);
    }
    return batch_.value.release != nullptr ? &batch_.value : nullptr;
}

void ArrowStream::refuse(int error) {
    const char* reason = stream_.value.get_last_error(&stream_.value);
    throw ArrowError(std::string("Arrow data: the stream failed: ") +
                     (reason != nullptr ? reason : std::strerror(error)));
}

}  // namespace quickthorn::python

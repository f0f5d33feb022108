// A feed of labels or signals as Python holds it between the calls of a replay: a capsule that owns it.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

namespace quickthorn::python {

// Specialised for each kind of feed: what its capsules are called, so that none is taken for the other.
template <class Feed>
inline constexpr const char* feed_name = nullptr;

template <class Feed>
pybind11::capsule capsule_of(std::unique_ptr<Feed> feed) {
    return pybind11::capsule(feed.release(), feed_name<Feed>, [](PyObject* kept) {
        delete static_cast<Feed*>(PyCapsule_GetPointer(kept, feed_name<Feed>));
    });
}

template <class Feed>
Feed& feed_in(PyObject* capsule) {
    auto* found = static_cast<Feed*>(PyCapsule_GetPointer(capsule, feed_name<Feed>));
    if (found == nullptr) throw pybind11::error_already_set();
    return *found;
}

}  // namespace quickthorn::python

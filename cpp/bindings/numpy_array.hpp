// numpy arrays seen through the fields that numpy's C interface has kept in place since its first release, so that a
// hot call can judge an array in a few loads. pybind11 declares the same structures.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>

namespace quickthorn::python {

class NumpyArray {
public:
    using Fields = pybind11::detail::PyArray_Proxy;
    using Api = pybind11::detail::npy_api;

    // Whether the object is exactly a numpy array: a subclass may mean something else by its memory, as masked arrays
    // do.
    static bool is(PyObject* object) { return Py_TYPE(object) == array_type; }

    // Looks numpy's array type up; once, before any other use. Throws pybind11's exceptions.
    static void find_numpy() { array_type = Api::get().PyArray_Type_; }

    explicit NumpyArray(PyObject* array) : fields_(*reinterpret_cast<const Fields*>(array)) {}

    int dimensions() const { return fields_.nd; }
    Py_ssize_t length(int dimension) const { return fields_.dimensions[dimension]; }
    Py_ssize_t stride_bytes(int dimension) const { return fields_.strides[dimension]; }
    bool aligned() const { return (fields_.flags & Api::NPY_ARRAY_ALIGNED_) != 0; }
    bool contiguous() const { return (fields_.flags & Api::NPY_ARRAY_C_CONTIGUOUS_) != 0; }
    bool writeable() const { return (fields_.flags & Api::NPY_ARRAY_WRITEABLE_) != 0; }

    // Whether its values are of this type, in the machine's byte order.
    bool holds(int type_number) const {
        const auto& descriptor = *reinterpret_cast<const pybind11::detail::PyArrayDescr1_Proxy*>(fields_.descr);
        return descriptor.type_num == type_number && descriptor.byteorder == '=';
    }
    bool holds_float64() const { return holds(Api::NPY_DOUBLE_); }
    bool holds_float32() const { return holds(Api::NPY_FLOAT_); }

    // A contiguous, aligned vector of so many values, of either type.
    bool is_vector(Py_ssize_t count) const {
        constexpr int wanted = Api::NPY_ARRAY_ALIGNED_ | Api::NPY_ARRAY_C_CONTIGUOUS_;
        return fields_.nd == 1 && fields_.dimensions[0] == count && (fields_.flags & wanted) == wanted;
    }

    template <class Value>
    Value* data() const {
        return reinterpret_cast<Value*>(fields_.data);
    }

private:
    static inline PyTypeObject* array_type = nullptr;

    const Fields& fields_;
};

}  // namespace quickthorn::python

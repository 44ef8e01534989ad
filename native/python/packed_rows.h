// Answers as bytes of 64-bit integers, which cost one allocation whatever their length; see flyweight/memory/packed.py.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace flyweight::memory {

// A bytes object that is filled row by row, in two passes at most: its size is known before.
class Rows {
  public:
    Rows(size_t rows, size_t columns) noexcept
        : columns_(columns),
          bytes_(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(rows * columns * sizeof(int64_t)))) {
        if (bytes_ != nullptr) std::memset(PyBytes_AS_STRING(bytes_), 0, rows * columns * sizeof(int64_t));
    }
    explicit operator bool() const noexcept { return bytes_ != nullptr; }
    int64_t* row(size_t number) noexcept {
        return reinterpret_cast<int64_t*>(PyBytes_AS_STRING(bytes_)) + number * columns_;
    }
    // Hands the bytes over, cut to `rows`.
    PyObject* take(size_t rows) noexcept {
        PyObject* result = bytes_;
        bytes_ = nullptr;
        if (result != nullptr) {
            const auto wanted = static_cast<Py_ssize_t>(rows * columns_ * sizeof(int64_t));
            if (PyBytes_GET_SIZE(result) != wanted && _PyBytes_Resize(&result, wanted) != 0) return nullptr;
        }
        return result;
    }
    ~Rows() { Py_XDECREF(bytes_); }
    Rows(const Rows&) = delete;
    Rows& operator=(const Rows&) = delete;

  private:
    size_t columns_;
    PyObject* bytes_;
};

template <size_t kColumns>
PyObject* one_row(const int64_t (&values)[kColumns]) {
    return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(values), sizeof values);
}

inline int64_t rounded(double value) noexcept {
    return static_cast<int64_t>(std::llround(value));
}

// Adds a tuple of names to the module: the columns of an answer.
template <size_t kCount>
bool add_names(PyObject* module, const char* name, const char* const (&columns)[kCount]) {
    PyObject* names = PyTuple_New(kCount);
    if (names == nullptr) return false;
    for (size_t i = 0; i < kCount; ++i) {
        PyObject* text = PyUnicode_InternFromString(columns[i]);
        if (text == nullptr) {
            Py_DECREF(names);
            return false;
        }
        PyTuple_SET_ITEM(names, static_cast<Py_ssize_t>(i), text);
    }
    const bool added = PyModule_AddObjectRef(module, name, names) == 0;
    Py_DECREF(names);
    return added;
}

}  // namespace flyweight::memory

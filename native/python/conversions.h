#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <string_view>

// Text between Python and the core. The core knows bytes only: paths are whatever the file system holds, source files
// are whatever their authors saved.
namespace flyweight::python {

namespace nb = nanobind;

inline nb::object path_object(std::string_view path) {
    return nb::steal(PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size())));
}

inline nb::object text_object(std::string_view text) {
    return nb::steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

inline nb::bytes bytes_object(std::string_view bytes) {
    return nb::bytes(bytes.data(), bytes.size());
}

// The bytes of a str (lone surrogates from undecodable bytes turn back into them) or of a bytes object.
inline std::string bytes_of(nb::handle text) {
    if (PyBytes_Check(text.ptr())) {
        return {PyBytes_AS_STRING(text.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(text.ptr()))};
    }
    if (!PyUnicode_Check(text.ptr())) throw nb::type_error("expected str or bytes");
    Py_ssize_t length = 0;
    if (const char* utf8 = PyUnicode_AsUTF8AndSize(text.ptr(), &length)) return {utf8, static_cast<size_t>(length)};
    PyErr_Clear();
    nb::object encoded = nb::steal(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "surrogateescape"));
    if (!encoded.is_valid()) {
        PyErr_Clear();  // a surrogate that stands for no byte
        encoded = nb::steal(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "replace"));
    }
    if (!encoded.is_valid()) throw nb::python_error();
    return {PyBytes_AS_STRING(encoded.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(encoded.ptr()))};
}

}  // namespace flyweight::python

// The text of str objects, without asking Python to encode it. Nothing here allocates or touches a reference count.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>
#include <string_view>

namespace flyweight::memory {

// Empty for anything but plain ASCII in a str's own buffer.
inline std::string_view ascii_text(PyObject* text) noexcept {
    if (text == nullptr || !PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)) return {};
    return {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(text)), static_cast<size_t>(PyUnicode_GET_LENGTH(text))};
}

// The number of the string. 0 for what has no compact form, or is no text. Under the slow lock.
uint32_t intern_text(PyObject* text) noexcept;

}  // namespace flyweight::memory

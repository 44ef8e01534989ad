#pragma once

#include <nanobind/nanobind.h>

#include <exception>

#include "search/errors.h"

namespace flyweight::python {

// Raises the class of that name from flyweight.errors. Looked up when needed: errors are rare and the module is
// always there.
inline void raise(const char* class_name, const char* message) {
    PyObject* module = PyImport_ImportModule("flyweight.errors");
    if (module == nullptr) return;
    PyObject* type = PyObject_GetAttrString(module, class_name);
    Py_DECREF(module);
    if (type == nullptr) return;
    PyErr_SetString(type, message);
    Py_DECREF(type);
}

// Makes the core's exceptions arrive in Python as Flyweight's errors. `io_error` names the class for a refusal of the
// operating system: to a reader that is a missing index, to a writer a failed write.
inline void translate_errors(const char* io_error) {
    nanobind::register_exception_translator(
        [](const std::exception_ptr& error, void* payload) {
            try {
                std::rethrow_exception(error);
            } catch (const search::VersionError& e) {
                raise("IndexVersionError", e.what());
            } catch (const search::FormatError& e) {
                raise("IndexCorruptError", e.what());
            } catch (const search::IoError& e) {
                raise(static_cast<const char*>(payload), e.what());
            }
        },
        const_cast<char*>(io_error));
}

}  // namespace flyweight::python

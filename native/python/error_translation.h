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

// Makes the core's exceptions arrive in Python as Flyweight's errors. Translators are shared by all modules of the
// process, so what an error means is in its type and not in the module that met it.
inline void translate_errors() {
    nanobind::register_exception_translator([](const std::exception_ptr& error, void*) {
        try {
            std::rethrow_exception(error);
        } catch (const search::VersionError& e) {
            raise("IndexVersionError", e.what());
        } catch (const search::FormatError& e) {
            raise("IndexCorruptError", e.what());
        } catch (const search::WriteError& e) {
            raise("IndexWriteError", e.what());
        } catch (const search::IoError& e) {
            raise("IndexMissingError", e.what());
        }
    });
}

}  // namespace flyweight::python

// The part of flyweight._memory that accounts for resident memory.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace flyweight::memory {

PyObject* attribute(PyObject* module, PyObject* ranges);
bool add_attribution_names(PyObject* module);

}  // namespace flyweight::memory

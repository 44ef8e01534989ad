// The part of flyweight._memory that is about components and budgets.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace flyweight::memory {

bool add_components(PyObject* module);
void forget_budgets() noexcept;  // Python ends: nothing of it is called any more

}  // namespace flyweight::memory

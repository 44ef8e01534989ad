#define PY_SSIZE_T_CLEAN
#include "python/memory_components.h"

#include "memory/budgets.h"
#include "memory/component_series.h"
#include "memory/components.h"
#include "memory/python_frame.h"
#include "memory/slow_lock.h"
#include "memory/tracker.h"
#include "python/packed_rows.h"

namespace flyweight::memory {
namespace {

PyObject* on_crossing = nullptr;  // of the main interpreter: called with a budget's number and its use

PyObject* text(uint32_t number) {
    const std::string_view name = tracker.strings[number];
    return PyUnicode_DecodeUTF8(name.data(), static_cast<Py_ssize_t>(name.size()), "replace");
}

PyObject* names_of(const ComponentId* numbers, size_t count) {
    PyObject* const names = PyList_New(static_cast<Py_ssize_t>(count));
    for (size_t i = 0; names != nullptr && i < count; ++i) {
        PyObject* const name = text(components.name(numbers[i]));
        if (name == nullptr) {
            Py_DECREF(names);
            return nullptr;
        }
        PyList_SET_ITEM(names, static_cast<Py_ssize_t>(i), name);
    }
    return names;
}

bool is_elsewhere() {
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) return false;
    PyErr_SetString(PyExc_RuntimeError, "budgets and components are set in the main interpreter");
    return true;
}

PyObject* set_component_rules(PyObject*, PyObject* argument) {
    if (is_elsewhere()) return nullptr;
    if (!tracker.strings.reserve() || !components.reserve()) return PyErr_NoMemory();
    PyObject* const rules = PySequence_Fast(argument, "rules are a list");
    if (rules == nullptr) return nullptr;
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(rules);
    bool room = count <= static_cast<Py_ssize_t>(Components::kMostRules), good = true;
    {
        SlowLock lock;
        if (room) components.clear_rules();
        for (Py_ssize_t i = 0; room && good && i < count; ++i) {
            const char *pattern, *name;
            Py_ssize_t pattern_length, name_length;
            good = PyArg_ParseTuple(PySequence_Fast_GET_ITEM(rules, i), "s#s#", &pattern, &pattern_length, &name,
                                    &name_length);
            if (good) {
                room = components.add_rule({pattern, static_cast<size_t>(pattern_length)},
                                           {name, static_cast<size_t>(name_length)});
            }
        }
    }
    Py_DECREF(rules);
    if (!good) return nullptr;
    if (!room) {
        PyErr_Format(PyExc_ValueError, "there is room for %zu rules", Components::kMostRules);
        return nullptr;
    }
    Py_RETURN_NONE;
}

PyObject* component_name(PyObject*, PyObject* argument) {
    const size_t number = PyLong_AsSize_t(argument);
    if (PyErr_Occurred()) return nullptr;
    if (number == Components::kOther) return PyUnicode_FromString("(other)");
    if (number >= components.count()) return PyErr_Format(PyExc_IndexError, "no component %zu", number);
    return text(components.name(static_cast<ComponentId>(number)));
}

PyObject* component_names(PyObject*, PyObject*) {
    ComponentId numbers[Components::kMostComponents];
    const size_t count = components.count();
    for (size_t i = 0; i < count; ++i) numbers[i] = static_cast<ComponentId>(i);
    return names_of(numbers, count);
}

constexpr const char* kComponentColumns[] = {"live_bytes", "live_count", "highest_bytes"};

PyObject* component_totals(PyObject*, PyObject*) {
    Rows rows(Components::kMostComponents, std::size(kComponentColumns));
    if (!rows) return nullptr;
    SlowLock lock;
    if (components.count() > 0) components.sum_up();
    for (size_t number = 0; number < components.count(); ++number) {
        const Components::Sum& sum = components.sum(static_cast<ComponentId>(number));
        const uint64_t values[] = {sum.live_bytes, sum.live_count, higher(sum.highest_bytes, sum.live_bytes)};
        static_assert(std::size(values) == std::size(kComponentColumns));
        std::memcpy(rows.row(number), values, sizeof values);
    }
    return rows.take(components.count());
}

constexpr const char* kComponentSeriesColumns[] = {"elapsed_ms", "lowest_bytes", "highest_bytes", "last_bytes",
                                                   "rss_bytes"};

PyObject* component_series_rows(PyObject*, PyObject*) {
    constexpr size_t kFixed = std::size(kComponentSeriesColumns);
    ComponentId numbers[ComponentSeries::kColumns];
    size_t columns = 0;
    PyObject* answer = nullptr;
    {
        SlowLock lock;
        columns = component_series.columns();
        for (size_t i = 0; i < columns; ++i) numbers[i] = component_series.component(i);
        Rows rows(ComponentSeries::kCoarseRows + ComponentSeries::kFineRows, kFixed + columns);
        if (!rows) return nullptr;
        size_t filled = 0;
        // Making the rows may have brought a new component: `columns` stays what it was.
        component_series.rows([&](const ComponentSeries::Row& from, size_t cell) {
            int64_t* const row = rows.row(filled++);
            static_assert(sizeof from == kFixed * sizeof(int64_t));
            std::memcpy(row, &from, sizeof from);
            for (size_t i = 0; i < columns; ++i) {
                row[kFixed + i] = static_cast<int64_t>(component_series.bytes(i, cell));
            }
        });
        answer = rows.take(filled);
    }
    PyObject* const names = answer != nullptr ? names_of(numbers, columns) : nullptr;
    if (names == nullptr) {
        Py_XDECREF(answer);
        return nullptr;
    }
    return Py_BuildValue("(NN)", answer, names);
}

constexpr const char* kBudgetColumns[] = {"number",        "component",      "limit_bytes", "used_bytes",
                                          "highest_bytes", "times_exceeded", "over",        "waiting"};

PyObject* budget_rows(PyObject*, PyObject*) {
    Rows rows(Budgets::kMost, std::size(kBudgetColumns));
    if (!rows) return nullptr;
    SlowLock lock;
    if (budgets.any()) components.sum_up();
    size_t filled = 0;
    for (size_t number = 0; number < Budgets::kMost; ++number) {
        const Budget& budget = budgets[number];
        if (!budget.set) continue;
        const uint64_t used = budget.component == Components::kOther ? tracker.total.current()
                                                                     : components.sum(budget.component).live_bytes;
        const uint64_t values[] = {number,
                                   budget.component,
                                   budget.limit_bytes,
                                   used,
                                   higher(budget.highest_bytes, used),
                                   budget.times_exceeded,
                                   budget.over,
                                   budget.waiting};
        static_assert(std::size(values) == std::size(kBudgetColumns));
        std::memcpy(rows.row(filled++), values, sizeof values);
    }
    return rows.take(filled);
}

PyObject* add_budget(PyObject*, PyObject* args) {
    const char* component = "";
    unsigned long long limit = 0;
    if (!PyArg_ParseTuple(args, "sK:add_budget", &component, &limit) || is_elsewhere()) return nullptr;
    SlowLock lock;
    if (!tracker.strings.reserve() || !components.reserve()) return PyErr_NoMemory();
    const ComponentId number = component[0] != 0 ? components.number_of(component) : Components::kOther;
    if (component[0] != 0 && number == Components::kOther) {
        PyErr_Format(PyExc_ValueError, "there is room for %zu components", Components::kMostComponents);
        return nullptr;
    }
    // Not to be told of before compare_budgets(), when the caller knows its number.
    const size_t budget = budgets.add(number, limit, tracker.total.peak(), false);
    if (budget == Budgets::kMost) {
        PyErr_Format(PyExc_ValueError, "there is room for %zu budgets", Budgets::kMost);
        return nullptr;
    }
    return PyLong_FromSize_t(budget);
}

PyObject* remove_budget(PyObject*, PyObject* argument) {
    const size_t number = PyLong_AsSize_t(argument);
    if (PyErr_Occurred()) return nullptr;
    SlowLock lock;
    budgets.remove(number);
    Py_RETURN_NONE;
}

// Tells Python of each crossing that waits. What on_crossing returns, if it is an exception, is raised here; what it
// raises is nobody's to handle.
int run_crossings(void*) noexcept {
    news_on_the_way.store(false, std::memory_order_relaxed);
    if (on_crossing == nullptr || PyInterpreterState_Get() != PyInterpreterState_Main()) return 0;
    for (size_t number = 0; number < Budgets::kMost; ++number) {
        uint64_t used = 0;
        {
            SlowLock lock;
            if (!budgets.take_crossing(number)) continue;
            used = budgets[number].crossing_bytes;
        }
        PyObject* const callback = Py_NewRef(on_crossing);
        PyObject* const answer = PyObject_CallFunction(callback, "nK", static_cast<Py_ssize_t>(number),
                                                       static_cast<unsigned long long>(used));
        if (answer == nullptr) {
            PyErr_WriteUnraisable(callback);
        } else if (PyExceptionInstance_Check(answer)) {
            PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(answer)), answer);
        }
        Py_XDECREF(answer);
        Py_DECREF(callback);
        if (PyErr_Occurred()) return -1;
    }
    return 0;
}

// From the ticker. Python's list of pending calls may only be used while Python is there.
void queue_crossings() noexcept {
    if (news_on_the_way.exchange(true, std::memory_order_relaxed)) return;
    if (!DetachedReaders::enter()) return;
    if (Py_AddPendingCall(run_crossings, nullptr) == 0) {
        if (news_on_the_way.load(std::memory_order_relaxed)) wake_main_thread();
    } else {
        news_on_the_way.store(false, std::memory_order_relaxed);
    }
    DetachedReaders::leave();
}

PyObject* compare_budgets(PyObject*, PyObject*) {
    if (is_elsewhere()) return nullptr;
    {
        SlowLock lock;
        if (!budgets.any()) Py_RETURN_NONE;
        components.sum_up();
        budgets.arm();
        budgets.compare(tracker.total.current(), tracker.total.peak(), components);
    }
    if (run_crossings(nullptr) != 0) return nullptr;
    Py_RETURN_NONE;
}

PyObject* set_budget_callback(PyObject*, PyObject* callback) {
    if (is_elsewhere()) return nullptr;
    Py_XSETREF(on_crossing, Py_NewRef(callback));
    tell_of_crossings = queue_crossings;
    Py_RETURN_NONE;
}

PyMethodDef kMethods[] = {{"set_component_rules", set_component_rules, METH_O, nullptr},
                          {"component", component_name, METH_O, nullptr},
                          {"components", component_names, METH_NOARGS, nullptr},
                          {"component_totals", component_totals, METH_NOARGS, nullptr},
                          {"component_series", component_series_rows, METH_NOARGS, nullptr},
                          {"add_budget", add_budget, METH_VARARGS, nullptr},
                          {"remove_budget", remove_budget, METH_O, nullptr},
                          {"budgets", budget_rows, METH_NOARGS, nullptr},
                          {"compare_budgets", compare_budgets, METH_NOARGS, nullptr},
                          {"set_budget_callback", set_budget_callback, METH_O, nullptr},
                          {nullptr, nullptr, 0, nullptr}};

}  // namespace

bool add_components(PyObject* module) {
    return PyModule_AddFunctions(module, kMethods) == 0 && add_names(module, "COMPONENT_COLUMNS", kComponentColumns) &&
           add_names(module, "COMPONENT_SERIES_COLUMNS", kComponentSeriesColumns) &&
           add_names(module, "BUDGET_COLUMNS", kBudgetColumns);
}

void forget_budgets() noexcept {
    Py_CLEAR(on_crossing);
}

}  // namespace flyweight::memory

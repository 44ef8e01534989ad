#include "python/memory_attribution.h"

#include <algorithm>
#include <cerrno>

#include "memory/attribution.h"
#include "memory/python_frame.h"
#include "memory/recording.h"
#include "python/packed_rows.h"

namespace flyweight::memory {
namespace {

constexpr const char* kAttributionColumns[] = {"kind",         "name",        "rss_bytes", "private_bytes",
                                               "shared_bytes", "dirty_bytes", "pss_bytes", "swap_bytes",
                                               "live_bytes",   "live_count",  "estimated"};
constexpr const char* kRollupColumns[] = {"rss_bytes", "private_bytes", "shared_bytes", "dirty_bytes",
                                          "pss_bytes", "swap_bytes",    "attempts",     "agreed",
                                          "tracked",   "estimated",     "elapsed_us"};

// What the interpreter maps for frames of Python functions, apart from its heap: chunks of 16 KiB or more for each
// thread (_PyStackChunk of Include/cpython/pystate.h, 3.11 to 3.13; made by push_chunk in Python/pystate.c through the
// arena allocator). Under the GIL no thread of the main interpreter takes or returns one, and no state leaves the list.
void add_python_frames(GivenRanges& given) noexcept {
    for (PyThreadState* thread = PyInterpreterState_ThreadHead(PyInterpreterState_Main()); thread != nullptr;
         thread = PyThreadState_Next(thread)) {
        for (const _PyStackChunk* chunk = thread->datastack_chunk; chunk != nullptr; chunk = chunk->previous) {
            const auto start = reinterpret_cast<uintptr_t>(chunk);
            if (!given.add({start, start + chunk->size, RowKind::python_heap, "<frames>"})) return;
        }
    }
}

// Tables of modules' names are blocks of Python's that live as long as their module, and are replaced under the GIL
// only. Those of more than 512 bytes come from malloc, and the modules imported last have them near the heap's end.
uintptr_t highest_table(uintptr_t start, uintptr_t end) noexcept {
    uintptr_t highest = 0;
    PyObject *modules = PyImport_GetModuleDict(), *name, *module;
    Py_ssize_t position = 0;
    while (modules != nullptr && PyDict_Next(modules, &position, &name, &module)) {
        PyObject* const names = PyModule_Check(module) ? PyModule_GetDict(module) : nullptr;
        if (names == nullptr || !PyDict_Check(names)) continue;
        const auto table = reinterpret_cast<uintptr_t>(reinterpret_cast<const PyDictObject*>(names)->ma_keys);
        if (start <= table && table < end && table > highest) highest = table;
    }
    return highest;
}

// Decimal numbers as names: the caller's ranges have a number each.
const char* number_text(uint32_t number, char* into) noexcept {
    char* at = into + 11;
    *at = '\0';
    do {
        *--at = static_cast<char>('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return at;
}

PyObject* answer(Attribution& attribution) {
    AttributedRows& rows = attribution.rows();
    const AttributionOutcome& outcome = attribution.outcome();
    Rows packed(rows.size(), std::size(kAttributionColumns));
    PyObject* names = PyList_New(0);
    if (!packed || names == nullptr) {
        Py_XDECREF(names);
        return nullptr;
    }
    size_t filled = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
        const AttributedRow& row = rows[i];
        const Figures& figures = row.figures;
        if (figures.rss == 0 && figures.swap == 0) continue;
        PyObject* name = PyUnicode_DecodeUTF8(row.text, static_cast<Py_ssize_t>(row.length), "surrogateescape");
        if (name == nullptr || PyList_Append(names, name) != 0) {
            Py_XDECREF(name);
            Py_DECREF(names);
            return nullptr;
        }
        Py_DECREF(name);
        const uint64_t values[] = {static_cast<uint64_t>(row.kind),
                                   filled,
                                   figures.rss,
                                   figures.priv,
                                   figures.shared,
                                   figures.private_dirty + figures.shared_dirty,
                                   figures.pss,
                                   figures.swap,
                                   row.live_bytes,
                                   row.live_count,
                                   row.estimated};
        static_assert(std::size(values) == std::size(kAttributionColumns));
        std::memcpy(packed.row(filled++), values, sizeof values);
    }
    const Figures& sum = outcome.rollup;
    const int64_t rollup[] = {static_cast<int64_t>(sum.rss),
                              static_cast<int64_t>(sum.priv),
                              static_cast<int64_t>(sum.shared),
                              static_cast<int64_t>(sum.private_dirty + sum.shared_dirty),
                              static_cast<int64_t>(sum.pss),
                              static_cast<int64_t>(sum.swap),
                              outcome.attempts,
                              outcome.agreed,
                              outcome.tracked,
                              outcome.estimated,
                              static_cast<int64_t>(outcome.elapsed_us)};
    static_assert(std::size(rollup) == std::size(kRollupColumns));
    return Py_BuildValue("NNN", packed.take(filled), names, one_row(rollup));
}

}  // namespace

PyObject* attribute(PyObject*, PyObject* argument) {
    char* given = nullptr;
    Py_ssize_t size = 0;
    if (PyBytes_AsStringAndSize(argument, &given, &size) != 0) return nullptr;
    struct Packed {
        int64_t start, size, name;
    };
    Attribution attribution;
    if (!attribution) return PyErr_NoMemory();
    GivenRanges& room = attribution.given();
    for (size_t i = 0; i < static_cast<size_t>(size) / sizeof(Packed) && i < GivenRanges::kCapacity; ++i) {
        Packed range;
        std::memcpy(&range, given + i * sizeof range, sizeof range);
        const auto start = static_cast<uintptr_t>(range.start);
        room.add({start, start + static_cast<uintptr_t>(range.size), RowKind::given,
                  number_text(static_cast<uint32_t>(range.name), room.names[i])});
    }
    add_python_frames(room);
    AttributionRequest request;
    request.interpreter = reinterpret_cast<const void*>(&PyObject_Malloc);
    // Before 3.12 there is one GIL, and it is held; later ones may have more.
    request.python_stands_still =
        PyInterpreterState_Get() == PyInterpreterState_Main() && !others_allocate.load(std::memory_order_relaxed);
    request.highest_held = highest_table;
    if (attribution.make(request)) return answer(attribution);
    errno = attribution.outcome().error;
    return PyErr_SetFromErrnoWithFilename(PyExc_OSError, attribution.outcome().missing);
}

bool add_attribution_names(PyObject* module) {
    return add_names(module, "ATTRIBUTION_COLUMNS", kAttributionColumns) &&
           add_names(module, "ATTRIBUTION_KINDS", kRowKinds) && add_names(module, "ROLLUP_COLUMNS", kRollupColumns);
}

}  // namespace flyweight::memory

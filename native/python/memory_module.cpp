// flyweight._memory: the tracking allocator, as the Python side of the profiler sees it.
//
// Written against CPython's own API, not nanobind: this module lives in what it measures, and must load in interpreters
// that nanobind does not know. Answers are bytes of 64-bit integers, which cost one allocation whatever their length.

#include "memory/python_frame.h"

#include <dlfcn.h>
#include <malloc.h>

#include <algorithm>
#include <cstring>

#include "memory/clock.h"
#include "memory/components.h"
#include "memory/crash_page.h"
#include "memory/history.h"
#include "memory/import_passes.h"
#include "memory/library_map.h"
#include "memory/mapping_table.h"
#include "memory/native_hooks.h"
#include "memory/phases.h"
#include "memory/places.h"
#include "memory/session.h"
#include "memory/slow_lock.h"
#include "memory/totals.h"
#include "python/memory_attribution.h"
#include "python/memory_components.h"
#include "python/packed_rows.h"

namespace {

using namespace flyweight::memory;

constexpr int kAgeBins = 16;

int64_t tick_ms(uint32_t tick) noexcept {
    return int64_t{tick} * kTickMs;
}

int64_t age_ms(uint32_t tick) noexcept {
    const auto now = static_cast<int64_t>(stopped_elapsed_ms());
    return now > tick_ms(tick) ? now - tick_ms(tick) : 0;
}

bool bad_site(long long site) {
    if (site > 0 && static_cast<size_t>(site) < tracker.sites.size()) return false;
    PyErr_Format(PyExc_IndexError, "no site %lld", site);
    return true;
}

// A scan may meet a record that its owner is just writing: what it names is checked.
SiteId site_of_record(const Record& record) {
    if (!(record.number & kTraced)) return record.number;
    const uint32_t number = record.number & ~kTraced;
    if (tracker.settings.full_stacks) {
        return number < tracker.samples.row_count() ? tracker.samples.row(number).site : kNoSite;
    }
    return number < tracker.samples.size() ? tracker.samples[number].site : kNoSite;
}

PyObject* start(PyObject*, PyObject* args, PyObject* keywords) {
    static const char* names[] = {
        "sampled",         "native",      "full_stacks", "native_stacks", "sample_interval_bytes",
        "own_limit_bytes", "limit_bytes", "seed",        "page",          nullptr};
    int sampled = 0, native = 0, full_stacks = 0, native_stacks = 0;
    unsigned long long interval = 0, own_limit = 0, limit = 0, seed = 0;
    const char* page = "";
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "$ppppKKKKs:start", const_cast<char**>(names), &sampled, &native,
                                     &full_stacks, &native_stacks, &interval, &own_limit, &limit, &seed, &page)) {
        return nullptr;
    }
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_RuntimeError, "memory tracking is started from the main interpreter");
        return nullptr;
    }
    if (sampled && interval == 0) {
        PyErr_SetString(PyExc_ValueError, "sampled mode needs a sample interval");
        return nullptr;
    }
    Settings settings;
    settings.sampled = sampled;
    settings.native = native;
    settings.full_stacks = full_stacks && !sampled;
    settings.native_stacks = native_stacks;
    settings.sample_interval_bytes = settings.full_stacks ? 0 : interval;
    settings.own_limit_bytes = own_limit;
    settings.limit_bytes = limit;
    settings.seed = seed;
    switch (start_session(settings, page)) {
        case StartError::none:
            Py_RETURN_NONE;
        case StartError::already_recording:
            PyErr_SetString(PyExc_RuntimeError, "memory is being tracked already");
            return nullptr;
        case StartError::no_page:
            return PyErr_SetFromErrnoWithFilename(PyExc_OSError, page);
        case StartError::no_memory:
            break;
    }
    return PyErr_NoMemory();
}

PyObject* stop(PyObject*, PyObject*) {
    stop_session();
    Py_RETURN_NONE;
}

PyObject* active(PyObject*, PyObject*) {
    return PyBool_FromLong(recording());
}

constexpr const char* kStatusColumns[] = {"recording",        "sampled",           "native",
                                          "full_stacks",      "native_stacks",     "sample_interval_bytes",
                                          "started_unix_ms",  "elapsed_ms",        "degraded_at_ms",
                                          "degraded_reason",  "untracked_frees",   "lost_frees",
                                          "limit_bytes",      "limit_hits",        "displaced_python",
                                          "displaced_native", "patched_libraries", "ticker_running",
                                          "site_count",       "session",           "file_mapping_bytes",
                                          "slow_lock_taken",  "limit_site"};

PyObject* status(PyObject*, PyObject*) {
    const Settings& settings = tracker.settings;
    const uint32_t degraded = tracker.degraded_tick.load(std::memory_order_relaxed);
    const int64_t row[] = {recording(),
                           settings.sampled,
                           settings.native,
                           settings.full_stacks,
                           settings.native_stacks,
                           static_cast<int64_t>(tracker.sampler.interval()),
                           static_cast<int64_t>(started_unix_ms()),
                           static_cast<int64_t>(stopped_elapsed_ms()),
                           degraded == UINT32_MAX ? -1 : tick_ms(degraded),
                           tracker.degraded_reason.load(std::memory_order_relaxed),
                           static_cast<int64_t>(tracker.untracked_frees.get()),
                           static_cast<int64_t>(tracker.lost_frees.get()),
                           static_cast<int64_t>(settings.limit_bytes),
                           static_cast<int64_t>(tracker.limit_hits.get()),
                           displaced().python,
                           displaced().native,
                           recording() && settings.native ? patched_libraries() : 0,
                           ticker_running(),
                           static_cast<int64_t>(tracker.sites.size()) - 1,
                           tracker.session,
                           static_cast<int64_t>(file_mappings().bytes),
                           static_cast<int64_t>(SlowLock::times_taken()),
                           tracker.limit_site.load(std::memory_order_relaxed)};
    static_assert(sizeof row / sizeof row[0] == sizeof kStatusColumns / sizeof kStatusColumns[0]);
    return one_row(row);
}

constexpr const char* kCounterColumns[] = {"current_bytes",    "peak_bytes",         "allocated_bytes", "freed_bytes",
                                           "allocation_count", "deallocation_count", "live_count"};

PyObject* counters(PyObject*, PyObject*) {
    Totals totals[kDomains + 1];
    add_up(totals);
    Rows rows(kDomains + 1, std::size(kCounterColumns));
    if (!rows) return nullptr;
    // The answer itself was allocated after the sums were taken, so the figures are those before the question.
    for (size_t i = 0; i <= kDomains; ++i) {
        const Totals& t = totals[i];
        const uint64_t values[] = {t.current_bytes,    t.peak_bytes,         t.allocated_bytes, t.freed_bytes,
                                   t.allocation_count, t.deallocation_count, t.live_count};
        std::memcpy(rows.row(i), values, sizeof values);
    }
    return rows.take(kDomains + 1);
}

constexpr const char* kSiteColumns[] = {"site",          "file",          "function",   "line",        "domain",
                                        "live_count",    "live_bytes",    "peak_bytes", "total_count", "total_bytes",
                                        "largest_bytes", "first_seen_ms", "library",    "component",   "at_peak_bytes"};

PyObject* sites(PyObject*, PyObject*) {
    const size_t count = tracker.sites.size();
    Rows rows(count, std::size(kSiteColumns));
    if (!rows) return nullptr;
    SlowLock lock;
    components.assign_new_sites();
    size_t filled = 0;
    for (size_t number = 1; number < count; ++number) {
        const Site& site = tracker.sites[static_cast<SiteId>(number)];
        const uint64_t total = site.total_count();
        if (total == 0) continue;
        const uint64_t values[] = {number,
                                   site.file,
                                   site.function,
                                   site.line,
                                   static_cast<uint64_t>(site.domain),
                                   site.live_count(),
                                   site.live_bytes(),
                                   site.peak(),
                                   total,
                                   site.total_bytes(),
                                   site.largest(),
                                   static_cast<uint64_t>(tick_ms(site.first_tick)),
                                   tracker.sites.location(static_cast<SiteId>(number)).library,
                                   components.of(static_cast<SiteId>(number)),
                                   history.at_peak(static_cast<SiteId>(number))};
        static_assert(std::size(values) == std::size(kSiteColumns));
        std::memcpy(rows.row(filled++), values, sizeof values);
    }
    return rows.take(filled);
}

PyObject* string(PyObject*, PyObject* argument) {
    const long long number = PyLong_AsLongLong(argument);
    if (number == -1 && PyErr_Occurred()) return nullptr;
    const std::string_view text = tracker.strings[number < 0 ? 0 : static_cast<uint32_t>(number)];
    return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
}

constexpr const char* kAgeColumns[] = {"site",        "count",         "bytes",     "oldest_ms",
                                       "youngest_ms", "largest_bytes", "live_count"};

PyObject* ages(PyObject*, PyObject* args) {
    long long min_age_ms = 0, min_size = 0;
    if (!PyArg_ParseTuple(args, "LL:ages", &min_age_ms, &min_size)) return nullptr;
    const size_t count = tracker.sites.size();
    constexpr size_t kColumns = std::size(kAgeColumns) + kAgeBins;
    Rows rows(count, kColumns);
    if (!rows) return nullptr;
    const uint64_t now = stopped_elapsed_ms();
    const bool sampled = tracker.settings.sampled;
    {
        SlowLock lock;
        tracker.shadow.scan([&](uintptr_t, const Record& record) {
            const SiteId site = site_of_record(record);
            if (site == kNoSite || site >= count) return;
            int64_t* row = rows.row(site);
            const int64_t blocks = sampled ? static_cast<int64_t>(tracker.weight_count(record.size)) : 1;
            const int64_t bytes =
                sampled ? static_cast<int64_t>(tracker.weight_bytes(record.size)) : static_cast<int64_t>(record.size);
            const int64_t age = age_ms(record.tick);
            row[6] += blocks;
            const uint64_t bin = now > 0 ? static_cast<uint64_t>(tick_ms(record.tick)) * kAgeBins / now : 0;
            row[std::size(kAgeColumns) + (bin < kAgeBins ? bin : kAgeBins - 1)] += blocks;
            if (age < min_age_ms || static_cast<int64_t>(record.size) < min_size) return;
            row[1] += blocks;
            row[2] += bytes;
            if (row[1] == blocks || age > row[3]) row[3] = age;
            if (row[1] == blocks || age < row[4]) row[4] = age;
            if (static_cast<int64_t>(record.size) > row[5]) row[5] = static_cast<int64_t>(record.size);
        });
    }
    size_t filled = 0;
    for (size_t number = 1; number < count; ++number) {
        int64_t* from = rows.row(number);
        if (from[6] == 0) continue;
        from[0] = static_cast<int64_t>(number);
        if (number != filled) std::memmove(rows.row(filled), from, kColumns * sizeof(int64_t));
        ++filled;
    }
    return rows.take(filled);
}

PyObject* blocks(PyObject*, PyObject* args) {
    long long wanted = 0, limit = 0;
    if (!PyArg_ParseTuple(args, "LL:blocks", &wanted, &limit)) return nullptr;
    if (bad_site(wanted)) return nullptr;
    if (limit < 0) limit = 0;
    if (limit > 1'000'000) limit = 1'000'000;
    struct Block {
        int64_t address, size, age;
    };
    const auto older = [](const Block& a, const Block& b) { return a.age > b.age; };
    Rows rows(static_cast<size_t>(limit), 3);
    if (!rows) return nullptr;
    auto* const first = reinterpret_cast<Block*>(rows.row(0));
    size_t filled = 0;
    const auto most = static_cast<size_t>(limit);
    SlowLock lock;
    tracker.shadow.scan([&](uintptr_t address, const Record& record) {
        if (site_of_record(record) != static_cast<SiteId>(wanted) || most == 0) return;
        const Block block{static_cast<int64_t>(address), static_cast<int64_t>(record.size), age_ms(record.tick)};
        if (filled == most) {
            if (block.age <= first->age) return;  // a heap: the youngest that is kept comes first
            std::pop_heap(first, first + filled--, older);
        }
        first[filled++] = block;
        std::push_heap(first, first + filled, older);
    });
    std::sort_heap(first, first + filled, older);
    return rows.take(filled);
}

PyObject* histories(PyObject*, PyObject*) {
    const size_t count = history.site_count();
    constexpr size_t kColumns = 3 + 2 * kHistoryWindows;
    Rows rows(count, kColumns);
    if (!rows) return nullptr;
    size_t filled = 0;
    SlowLock lock;
    for (size_t number = 1; number < count; ++number) {
        const SiteHistory& site = history.site(number);
        int64_t* row = rows.row(filled++);
        row[0] = site.site;
        row[1] = site.windows;
        row[2] = static_cast<int64_t>(site.window_ms());
        for (uint32_t i = 0; i < site.windows; ++i) {
            row[3 + 2 * i] = static_cast<int64_t>(site.counts[i]);
            row[4 + 2 * i] = static_cast<int64_t>(site.bytes[i]);
        }
    }
    return rows.take(filled);
}

constexpr const char* kSeriesColumns[] = {"elapsed_ms", "lowest_bytes", "highest_bytes", "last_bytes", "rss_bytes"};

PyObject* series(PyObject*, PyObject*) {
    Rows rows(kSeriesRows + kRecentRows, std::size(kSeriesColumns));
    if (!rows) return nullptr;
    SlowLock lock;
    size_t filled = 0;
    static_assert(sizeof(SeriesRow) == std::size(kSeriesColumns) * sizeof(int64_t));
    history.series([&](const SeriesRow& row) { std::memcpy(rows.row(filled++), &row, sizeof row); });
    return rows.take(filled);
}

constexpr const char* kSampleColumns[] = {
    "stack",         "native_stack",   "domain",      "live_samples",        "live_bytes",           "live_count",
    "total_samples", "total_bytes",    "total_count", "live_bytes_variance", "total_bytes_variance", "oldest_ms",
    "site",          "peak_live_bytes"};

PyObject* samples(PyObject*, PyObject*) {
    SampleTable& table = tracker.samples;
    const size_t count = table.row_count();
    Rows rows(count, std::size(kSampleColumns));
    if (!rows) return nullptr;
    SlowLock lock;
    for (size_t number = 1; number < count; ++number) {
        const StackRow& from = table.row(static_cast<uint32_t>(number));
        int64_t* row = rows.row(number - 1);
        const int64_t values[] = {from.stack,
                                  from.native_stack,
                                  static_cast<int64_t>(from.domain),
                                  static_cast<int64_t>(from.live_samples),
                                  rounded(from.live_bytes),
                                  rounded(from.live_count),
                                  static_cast<int64_t>(from.total_samples),
                                  rounded(from.total_bytes),
                                  rounded(from.total_count),
                                  0,
                                  rounded(from.total_variance),
                                  0,
                                  from.site,
                                  static_cast<int64_t>(history.row_at_peak(static_cast<uint32_t>(number)))};
        static_assert(std::size(values) == std::size(kSampleColumns));
        std::memcpy(row, values, sizeof values);
        if (tracker.settings.full_stacks) {
            row[3] = rounded(from.live_count);
            row[11] = age_ms(from.first_tick);
        }
    }
    for (uint32_t number = 1; number < table.size(); ++number) {
        const Sample& sample = table[number];
        if (sample.address == 0 || sample.row >= count) continue;
        int64_t* row = rows.row(sample.row - 1);
        row[9] += rounded(tracker.sampler.weigh(sample.size).variance);
        const int64_t age = age_ms(sample.tick);
        if (age > row[11]) row[11] = age;
    }
    return rows.take(count - (count > 0 ? 1 : 0));
}

PyObject* stack(PyObject*, PyObject* argument) {
    const long long number = PyLong_AsLongLong(argument);
    if (number == -1 && PyErr_Occurred()) return nullptr;
    PyObject* frames = PyList_New(0);
    if (frames == nullptr) return nullptr;
    auto at = number > 0 && static_cast<size_t>(number) < tracker.stacks.size() ? static_cast<StackId>(number) : 0;
    while (at != 0) {
        const StackNode node = tracker.stacks[at];
        const Site& site = tracker.sites[node.place];
        const std::string_view file = tracker.strings[site.file], function = tracker.strings[site.function];
        PyObject* frame =
            Py_BuildValue("(NiNN)", PyUnicode_DecodeUTF8(file.data(), static_cast<Py_ssize_t>(file.size()), "replace"),
                          static_cast<int>(site.line),
                          PyUnicode_DecodeUTF8(function.data(), static_cast<Py_ssize_t>(function.size()), "replace"),
                          PyBool_FromLong(node.entry));
        if (frame == nullptr || PyList_Append(frames, frame) != 0) {
            Py_XDECREF(frame);
            Py_DECREF(frames);
            return nullptr;
        }
        Py_DECREF(frame);
        at = node.caller;
    }
    return frames;
}

PyObject* native_stack(PyObject*, PyObject* argument) {
    const long long number = PyLong_AsLongLong(argument);
    if (number == -1 && PyErr_Occurred()) return nullptr;
    const uintptr_t* addresses = nullptr;
    const size_t count = number > 0 ? tracker.stacks.native(static_cast<uint32_t>(number), &addresses) : 0;
    PyObject* list = PyList_New(static_cast<Py_ssize_t>(count));
    for (size_t i = 0; list != nullptr && i < count; ++i) {
        PyObject* address = PyLong_FromUnsignedLongLong(addresses[i]);
        if (address == nullptr) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), address);
    }
    return list;
}

PyObject* symbol(PyObject*, PyObject* argument) {
    const unsigned long long address = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred()) return nullptr;
    // A return address lies behind the call, maybe already in the next function.
    const auto at = static_cast<uintptr_t>(address > 0 ? address - 1 : 0);
    Dl_info info;
    if (dladdr(reinterpret_cast<void*>(at), &info) == 0 || info.dli_fname == nullptr) {
        return Py_BuildValue("(ssK)", "", "", address);
    }
    const auto from = reinterpret_cast<uintptr_t>(info.dli_saddr != nullptr ? info.dli_saddr : info.dli_fbase);
    return Py_BuildValue("(ssK)", info.dli_fname, info.dli_sname != nullptr ? info.dli_sname : "",
                         static_cast<unsigned long long>(address - from));
}

constexpr const char* kOwnColumns[] = {"shadow_bytes",  "site_bytes",  "stack_bytes",  "sample_bytes",
                                       "history_bytes", "other_bytes", "padding_bytes"};

PyObject* own_memory(PyObject*, PyObject*) {
    const uint64_t tables = library_map_bytes() + mapping_table_bytes() + import_passes_bytes();
    SlowLock lock;  // after the mapping table's own, as fork takes them
    int64_t tiny = 0;
    tracker.shadow.scan([&](uintptr_t, const Record& record) { tiny += record.size <= kGranule; });
    const int64_t row[] = {static_cast<int64_t>(tracker.shadow.own_bytes()),
                           static_cast<int64_t>(tracker.sites.own_bytes() + places_own_bytes()),
                           static_cast<int64_t>(tracker.stacks.own_bytes()),
                           static_cast<int64_t>(tracker.samples.own_bytes()),
                           static_cast<int64_t>(history.own_bytes()),
                           static_cast<int64_t>(tracker.strings.own_bytes() + tracker.cache.own_bytes() + tables),
                           tiny * static_cast<int64_t>(kGranule)};
    static_assert(std::size(row) == std::size(kOwnColumns));
    return one_row(row);
}

constexpr const char* kPhaseColumns[] = {"elapsed_ms",         "allocated_bytes", "freed_bytes",   "allocation_count",
                                         "deallocation_count", "net_bytes",       "peak_net_bytes"};

PyObject* phase_row(const Phase& phase) {
    const int64_t row[] = {static_cast<int64_t>(monotonic_ms() - phase.started_ms),
                           static_cast<int64_t>(phase.allocated_bytes),
                           static_cast<int64_t>(phase.freed_bytes),
                           static_cast<int64_t>(phase.allocation_count),
                           static_cast<int64_t>(phase.deallocation_count),
                           static_cast<int64_t>(phase.allocated_bytes - phase.freed_bytes),
                           phase.peak_net_bytes};
    static_assert(std::size(row) == std::size(kPhaseColumns));
    return one_row(row);
}

PyObject* phase_begin(PyObject*, PyObject*) {
    if (!recording()) {
        PyErr_SetString(PyExc_RuntimeError, "memory is not being tracked");
        return nullptr;
    }
    const uint32_t number = begin_phase();
    if (number == 0) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "too many phases are open (4,096)");
        return nullptr;
    }
    PyObject* result = PyLong_FromUnsignedLong(number);
    return result;
}

PyObject* phase_end(PyObject*, PyObject* argument) {
    const unsigned long number = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred()) return nullptr;
    Phase phase;
    if (!end_phase(static_cast<uint32_t>(number), &phase)) {
        return PyErr_Format(PyExc_LookupError, "no phase %lu is open", number);
    }
    return phase_row(phase);
}

PyObject* phase_read(PyObject*, PyObject* argument) {
    const unsigned long number = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred()) return nullptr;
    Phase phase;
    if (!read_phase(static_cast<uint32_t>(number), &phase)) {
        return PyErr_Format(PyExc_LookupError, "no phase %lu is open", number);
    }
    return phase_row(phase);
}

PyObject* set_limit(PyObject*, PyObject* argument) {
    const unsigned long long bytes = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred()) return nullptr;
    tracker.settings.limit_bytes = bytes;
    tracker.limit_bytes = bytes != 0 ? bytes : Tracker::kNoLimit;
    tracker.total.cap = tracker.limit_bytes;
    tracker.total.refresh_mark();
    Py_RETURN_NONE;
}

PyObject* do_tick(PyObject*, PyObject*) {
    ProfilerScope scope;
    if (recording()) tick();
    Py_RETURN_NONE;
}

PyObject* do_publish_on_crash(PyObject*, PyObject*) {
    publish_on_crash();
    Py_RETURN_NONE;
}

PyObject* return_free_memory(PyObject*, PyObject*) {
#ifdef __GLIBC__
    Py_BEGIN_ALLOW_THREADS;
    ::malloc_trim(0);
    Py_END_ALLOW_THREADS;
#endif
    Py_RETURN_NONE;
}

PyObject* do_probe(PyObject*, PyObject*) {
    probe();
    Py_RETURN_NONE;
}

PyObject* close_detached_readers(PyObject*, PyObject*) {
    DetachedReaders::close();
    forget_budgets();
    Py_RETURN_NONE;
}

PyMethodDef kMethods[] = {{"start", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(start)),
                           METH_VARARGS | METH_KEYWORDS, nullptr},
                          {"stop", stop, METH_NOARGS, nullptr},
                          {"active", active, METH_NOARGS, nullptr},
                          {"status", status, METH_NOARGS, nullptr},
                          {"counters", counters, METH_NOARGS, nullptr},
                          {"sites", sites, METH_NOARGS, nullptr},
                          {"string", string, METH_O, nullptr},
                          {"ages", ages, METH_VARARGS, nullptr},
                          {"blocks", blocks, METH_VARARGS, nullptr},
                          {"histories", histories, METH_NOARGS, nullptr},
                          {"series", series, METH_NOARGS, nullptr},
                          {"samples", samples, METH_NOARGS, nullptr},
                          {"stack", stack, METH_O, nullptr},
                          {"native_stack", native_stack, METH_O, nullptr},
                          {"symbol", symbol, METH_O, nullptr},
                          {"own_memory", own_memory, METH_NOARGS, nullptr},
                          {"phase_begin", phase_begin, METH_NOARGS, nullptr},
                          {"phase_end", phase_end, METH_O, nullptr},
                          {"phase_read", phase_read, METH_O, nullptr},
                          {"set_limit", set_limit, METH_O, nullptr},
                          {"tick", do_tick, METH_NOARGS, nullptr},
                          {"probe", do_probe, METH_NOARGS, nullptr},
                          {"publish_on_crash", do_publish_on_crash, METH_NOARGS, nullptr},
                          {"return_free_memory", return_free_memory, METH_NOARGS, nullptr},
                          {"attribute", attribute, METH_O, nullptr},
                          {nullptr, nullptr, 0, nullptr}};

PyMethodDef kAtExit = {"close_detached_readers", close_detached_readers, METH_NOARGS, nullptr};

// Runs before Python frees the states of threads that are still going.
bool register_at_exit() {
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) return true;
    PyObject* callback = PyCFunction_New(&kAtExit, nullptr);
    PyObject* atexit_module = PyImport_ImportModule("atexit");
    PyObject* result = callback != nullptr && atexit_module != nullptr
                           ? PyObject_CallMethod(atexit_module, "register", "O", callback)
                           : nullptr;
    Py_XDECREF(callback);
    Py_XDECREF(atexit_module);
    Py_XDECREF(result);
    return result != nullptr;
}

int execute(PyObject* module) {
    static const char* const domains[] = {"python", "native", "mapped"};
    const bool added =
        add_components(module) && add_attribution_names(module) && add_names(module, "DOMAINS", domains) &&
        add_names(module, "STATUS_COLUMNS", kStatusColumns) && add_names(module, "COUNTER_COLUMNS", kCounterColumns) &&
        add_names(module, "SITE_COLUMNS", kSiteColumns) && add_names(module, "AGE_COLUMNS", kAgeColumns) &&
        add_names(module, "SERIES_COLUMNS", kSeriesColumns) && add_names(module, "SAMPLE_COLUMNS", kSampleColumns) &&
        add_names(module, "OWN_COLUMNS", kOwnColumns) && add_names(module, "PHASE_COLUMNS", kPhaseColumns);
    if (!added || !register_at_exit() || PyModule_AddIntConstant(module, "AGE_BINS", kAgeBins) != 0 ||
        PyModule_AddIntConstant(module, "HISTORY_WINDOWS", kHistoryWindows) != 0) {
        return -1;
    }
    return 0;
}

PyModuleDef_Slot kSlots[] = {{Py_mod_exec, reinterpret_cast<void*>(execute)},
#if PY_VERSION_HEX >= 0x030c0000
                             {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
                             {0, nullptr}};

PyModuleDef kModule = {PyModuleDef_HEAD_INIT, "_memory", nullptr, 0, kMethods, kSlots, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__memory() {
    return PyModuleDef_Init(&kModule);
}

#include "memory/importing.h"

#include <algorithm>
#include <string_view>

#include "memory/pages.h"
#include "memory/python_text.h"
#include "memory/tracker.h"

namespace flyweight::memory {
namespace {

using Name = std::string_view;

// A function of the import system that tells something. Where `path` and `module` are both given, that is where the
// name of a module and its file are first seen together.
struct Function {
    Name name;
    bool loads;   // what it allocates itself is the module's
    Name path;    // the local that holds the module's file
    Name module;  // the local that holds the module's full name
};

constexpr Function kFunctions[] = {
    {"_call_with_frames_removed", true, {}, {}},  // compile, and all that extension modules make as they are created
    {"_compile_bytecode", true, {}, {}},
    {"_find_and_load_unlocked", false, {}, "name"},
    {"_exec", false, {}, "name"},  // reload
    {"_new_module", true, {}, {}},
    {"spec_from_file_location", true, "location", "name"},
    {"FileFinder._get_spec", true, "path", {}},
    {"FileLoader.get_data", true, {}, {}},
    {"SourceLoader.get_code", false, "source_path", {}},
    {"SourceLoader.source_to_code", false, "path", {}},
    {"SourcelessFileLoader.get_code", false, "path", {}},
    {"_LoaderBasics.exec_module", true, {}, {}},
    // zipimport
    {"_compile_source", true, {}, {}},
    {"_get_data", true, {}, {}},
    {"_unmarshal_code", true, {}, {}},
};

constexpr uint32_t kDeepest = 24;  // frames of the import system between a block and the function that knows the module

StableArray<uint32_t, StringTable::kMostStrings> files;  // by the string number of a module's name
size_t files_end = 0;
std::atomic<uint32_t> edition{1};  // of what LastImport may have remembered

bool is_import_system(PyCodeObject* code) noexcept {
    const Name file = ascii_text(code->co_filename);
    return file == "<frozen importlib._bootstrap>" || file == "<frozen importlib._bootstrap_external>" ||
           file == "<frozen zipimport>";
}

const Function* function_of(PyCodeObject* code) noexcept {
    const Name name = ascii_text(code->co_qualname);
    const auto* const found = std::ranges::find(kFunctions, name, &Function::name);
    return found != std::end(kFunctions) ? found : nullptr;
}

// -1: it has no such local.
int slot_of(PyCodeObject* code, Name local) noexcept {
    PyObject* const names = code->co_localsplusnames;
    for (int slot = 0; slot < code->co_nlocalsplus; ++slot) {
        if (ascii_text(PyTuple_GET_ITEM(names, slot)) == local) return slot;
    }
    return -1;
}

// Borrowed. Null: not set, no text of its own, or just being enlarged in place by the realloc that we are called from,
// and moved.
PyObject* text_of(const Frame* frame, const Frame* inner, int slot) noexcept {
    PyObject* const value = local_of(frame, inner, slot);
    const bool is_text = value != nullptr && value != this_thread.reallocating && PyUnicode_CheckExact(value);
    return is_text ? value : nullptr;
}

// Empty: there is no such local, or it holds no text now.
NamingLocal read_local(const Frame* frame, const Frame* inner, uint32_t depth, PyCodeObject* code,
                       Name local) noexcept {
    const int slot = local.empty() ? -1 : slot_of(code, local);
    PyObject* const text = slot >= 0 ? text_of(frame, inner, slot) : nullptr;
    return text != nullptr ? NamingLocal{depth, code, slot, intern_text(text)} : NamingLocal{};
}

bool is_file(uint32_t text) noexcept {
    const Name path = tracker.strings[text];
    return !path.empty() && path[0] != '<';  // as in <unknown>
}

void learn(uint32_t module, uint32_t file) noexcept {
    if (module == 0 || files[module] == file) return;
    files[module] = file;
    files_end = std::max(files_end, size_t{module} + 1);
    edition.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

constinit LastImport last_import;

bool loads_modules(PyCodeObject* code) noexcept {
    if (!is_import_system(code)) return false;
    const Function* const function = function_of(code);
    return function != nullptr && function->loads;
}

LoadingModule module_being_loaded(const Frame* current) noexcept {
    const Frame* inner = nullptr;
    uint32_t depth = 0;
    for (const Frame* frame = current; frame != nullptr && depth < kDeepest;
         inner = frame, frame = frame->previous, ++depth) {
        PyCodeObject* const code = code_of(frame);
        if (code == nullptr) continue;
        if (!is_import_system(code)) break;
        const Function* const function = function_of(code);
        if (function == nullptr) continue;
        const NamingLocal path = read_local(frame, inner, depth, code, function->path);
        const NamingLocal module = read_local(frame, inner, depth, code, function->module);
        if (is_file(path.text)) {
            if (function->module.empty()) return {path.text, path};
            learn(module.text, path.text);
            return {path.text, {}};
        }
        if (module.text != 0) return {files[module.text], module};
    }
    return {};
}

bool reserve_imports() noexcept {
    return files.reserve();
}

void forget_imports() noexcept {
    files.clear();
    files_end = 0;
    edition.fetch_add(1, std::memory_order_relaxed);
}

size_t imports_own_bytes() noexcept {
    return files_end * sizeof(uint32_t);
}

bool LastImport::is_as_it_was(const PyThreadState* thread) const noexcept {
    if (edition_ != edition.load(std::memory_order_relaxed)) return false;
    const Frame* frame = current_frame(thread);
    const Frame* inner = nullptr;
    for (uint32_t depth = seen_at_.depth; depth != 0 && frame != nullptr; --depth) {
        inner = frame;
        frame = frame->previous;
    }
    if (frame == nullptr || !runs(frame, seen_at_.code)) return false;
    // Should that code have died and another lie in its place, this is some local of that one's.
    if (seen_at_.slot >= seen_at_.code->co_nlocalsplus) return false;
    return ascii_text(text_of(frame, inner, seen_at_.slot)) == text_;
}

void LastImport::put(PlaceKey key, const NamingLocal& seen_at, SiteId site) noexcept {
    if (seen_at.code == nullptr) return;
    key_ = key;
    seen_at_ = seen_at;
    text_ = tracker.strings[seen_at.text];
    site_ = site;
    edition_ = edition.load(std::memory_order_relaxed);
}

}  // namespace flyweight::memory

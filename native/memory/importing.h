// Whose module the import system is loading.
//
// What a module keeps from being imported (code objects, constants, names, docstrings) is allocated while a function of
// importlib runs, the same one for every module. So an instruction there is no place: the site is (the module's file,
// <import>), and the file is read from the functions' own locals, anew for each block.
#pragma once

#include <string_view>

#include "memory/python_frame.h"
#include "memory/site_cache.h"

namespace flyweight::memory {

// Whether what this function allocates itself belongs to the module that is being loaded.
bool loads_modules(PyCodeObject* code) noexcept;

// The local variable that named the module.
struct NamingLocal {
    uint32_t depth = 0;                  // frames from the current one to its own
    const PyCodeObject* code = nullptr;  // null: not to be asked again
    int slot = 0;
    uint32_t text = 0;  // a string number
};

struct LoadingModule {
    uint32_t file = 0;  // a string number; 0: not known
    NamingLocal seen_at;
};

// Everything below but LastImport::knows under the slow lock. The thread is attached.
LoadingModule module_being_loaded(const Frame* current) noexcept;

bool reserve_imports() noexcept;
void forget_imports() noexcept;  // sites are renumbered by a new session
size_t imports_own_bytes() noexcept;

// The last answer, of use as long as the same instruction allocates for the same module. For the exclusive writer, and
// without a lock; the local variable is read again and its text compared.
class LastImport {
  public:
    [[gnu::always_inline]] bool knows(const PyThreadState* thread, PlaceKey key, SiteId* site) const noexcept {
        if (key != key_ || !is_as_it_was(thread)) return false;
        *site = site_;
        return true;
    }
    void put(PlaceKey key, const NamingLocal& seen_at, SiteId site) noexcept;

  private:
    bool is_as_it_was(const PyThreadState* thread) const noexcept;

    PlaceKey key_ = 0;
    NamingLocal seen_at_;
    std::string_view text_;
    SiteId site_ = kNoSite;
    uint32_t edition_ = 0;
};

extern LastImport last_import;

}  // namespace flyweight::memory

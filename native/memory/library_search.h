// dlopen on behalf of somebody else.
//
// The loader looks for a name without a slash where the library that calls dlopen says (DT_RPATH, DT_RUNPATH), and it
// knows the caller by the return address. A function that stands between the two has to search for the caller.
#pragma once

#include <dlfcn.h>

#include <cstring>

namespace flyweight::memory {

// The directories that the loader would search for the library of `caller` before those that it searches for us.
class CallersDirectories {
  public:
    explicit CallersDirectories(const void* caller) noexcept;
    ~CallersDirectories();
    CallersDirectories(const CallersDirectories&) = delete;
    CallersDirectories& operator=(const CallersDirectories&) = delete;

    unsigned count() const noexcept { return count_; }
    // The path of the file in one of the directories; false when there is none.
    bool find(unsigned index, const char* name, char (&path)[4096]) const noexcept;

  private:
    Dl_serinfo* theirs_ = nullptr;
    Dl_serinfo* ours_ = nullptr;
    unsigned count_ = 0;
};

// Opens `name` by open(name, flags) as if `caller` had called it.
template <class Open>
void* open_for(const void* caller, const char* name, int flags, Open&& open) noexcept {
    if (name != nullptr && name[0] != '\0' && std::strchr(name, '/') == nullptr) {
        const CallersDirectories directories(caller);
        if (directories.count() > 0) {
            // A library that is loaded under this name is found before any directory is searched.
            if (void* handle = open(name, flags | RTLD_NOLOAD)) return handle;
            char path[4096];
            for (unsigned i = 0; i < directories.count(); ++i) {
                if (!directories.find(i, name, path)) continue;
                if (void* handle = open(path, flags)) return handle;
            }
        }
    }
    return open(name, flags);
}

}  // namespace flyweight::memory

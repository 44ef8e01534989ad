#include "memory/library_search.h"

#include <link.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>

namespace flyweight::memory {
namespace {

// Our own import slots are never rewritten: this memory is not recorded.
bool read(const void* address, Dl_serinfo*& list) noexcept {
    Dl_info info;
    void* library = nullptr;
    if (dladdr1(address, &info, &library, RTLD_DL_LINKMAP) == 0 || library == nullptr) return false;
    Dl_serinfo size;
    if (dlinfo(library, RTLD_DI_SERINFOSIZE, &size) != 0) return false;
    list = static_cast<Dl_serinfo*>(std::malloc(size.dls_size));
    if (list == nullptr) return false;
    std::memcpy(static_cast<void*>(list), &size, offsetof(Dl_serinfo, dls_serpath));
    return dlinfo(library, RTLD_DI_SERINFO, list) == 0;
}

}  // namespace

// Both lists end alike, in the directories of the environment and of the system; what a library adds itself comes
// first (DT_RPATH) or between those two (DT_RUNPATH). The system's are left to the loader, which asks its cache first.
CallersDirectories::CallersDirectories(const void* caller) noexcept {
    if (!read(caller, theirs_) || !read(reinterpret_cast<const void*>(&read), ours_)) return;
    count_ = theirs_->dls_cnt;
    for (unsigned i = ours_->dls_cnt; i > 0 && count_ > 0; --i, --count_) {
        if (std::strcmp(ours_->dls_serpath[i - 1].dls_name, theirs_->dls_serpath[count_ - 1].dls_name) != 0) break;
    }
}

CallersDirectories::~CallersDirectories() {
    std::free(theirs_);
    std::free(ours_);
}

bool CallersDirectories::find(unsigned index, const char* name, char (&path)[4096]) const noexcept {
    const char* directory = theirs_->dls_serpath[index].dls_name;
    const size_t directory_length = std::strlen(directory), name_length = std::strlen(name);
    if (directory_length + name_length + 2 > sizeof path) return false;
    std::memcpy(path, directory, directory_length);
    path[directory_length] = '/';
    std::memcpy(path + directory_length + 1, name, name_length + 1);
    return access(path, R_OK) == 0;
}

}  // namespace flyweight::memory

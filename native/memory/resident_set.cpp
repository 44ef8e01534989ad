#include "memory/resident_set.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace flyweight::memory {

uint64_t resident_set_bytes() noexcept {
    const int saved = errno;
    uint64_t bytes = 0;
    // Opened each time: a descriptor that is kept would be the parent's in a forked child, would be counted by programs
    // that look for leaks of their own, and may be closed under us by one that turns itself into a daemon.
    const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        char text[128];
        const ssize_t got = read(file, text, sizeof text - 1);
        close(file);
        if (got > 0) {
            text[got] = 0;
            char* second = nullptr;
            std::strtoull(text, &second, 10);
            bytes = std::strtoull(second, nullptr, 10) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
        }
    }
    errno = saved;
    return bytes;
}

}  // namespace flyweight::memory

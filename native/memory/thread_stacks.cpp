#include "memory/thread_stacks.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "memory/pages.h"

namespace flyweight::memory {
namespace {

constexpr size_t kDescriptor = 2304;  // bytes of struct pthread that are looked at; 2.36 has 2,304
constexpr size_t kAlignment = 64;     // of struct pthread
constexpr size_t kMostPages = 256;    // looked at for one stack
constexpr size_t kWordsPerPage = kPageSize / sizeof(uint64_t);

// getdents64(2): no allocation, which opendir would make.
struct DirectoryEntry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[1];
};

uint64_t stack_pointer_of(int tasks, const char* name) {
    char path[64];
    const size_t length = strnlen(name, 20);
    std::memcpy(path, name, length);
    std::memcpy(path + length, "/syscall", 9);
    const int file = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[256];
    const ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    if (got <= 0) return 0;
    text[got] = '\0';
    // "running", or numbers, the last two of which are stack pointer and instruction.
    char* end = std::strrchr(text, ' ');
    if (end == nullptr) return 0;
    *end = '\0';
    const char* word = std::strrchr(text, ' ');
    return word != nullptr ? std::strtoull(word, nullptr, 16) : 0;
}

// The words of a descriptor that say where its stack is.
bool read_extent(const uint64_t* words, size_t count, uintptr_t descriptor, const Mapping& mapping, Stack* stack) {
    for (size_t i = 0; i + 2 < count; ++i) {
        const uint64_t start = words[i], size = words[i + 1], guard = words[i + 2];
        if (start == 0 || start % kPageSize != 0 || start >= descriptor || size % kPageSize != 0) continue;
        const uint64_t end = start + size;
        if (size == 0 || end <= descriptor || end > mapping.end || guard >= size) continue;
        const uint64_t usable = (start + guard + kPageSize - 1) & ~(kPageSize - 1);
        if (usable < mapping.start || usable >= descriptor) continue;
        // The descriptor is on top: below the thread's static variables at most.
        if (end - descriptor > (size_t{1} << 20)) continue;
        stack->start = usable;
        stack->end = end;
        return true;
    }
    return false;
}

}  // namespace

size_t read_stack_pointers(uintptr_t* pointers, size_t capacity) noexcept {
    const int saved = errno;
    const int tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t count = 0;
    if (tasks >= 0) {
        alignas(DirectoryEntry) char buffer[4096];
        for (;;) {
            const long got = syscall(SYS_getdents64, tasks, buffer, sizeof buffer);
            if (got <= 0) break;
            for (long at = 0; at < got;) {
                const auto* entry = reinterpret_cast<const DirectoryEntry*>(buffer + at);
                at += entry->length;
                if (entry->name[0] < '0' || entry->name[0] > '9' || count == capacity) continue;
                if (const uint64_t pointer = stack_pointer_of(tasks, entry->name); pointer != 0) {
                    pointers[count++] = pointer;
                }
            }
        }
        close(tasks);
    }
    errno = saved;
    return count;
}

bool find_stack(const Mapping& mapping, uintptr_t from, ResidentRuns& runs, const SafeReader& reader,
                Stack* stack) noexcept {
#if defined(__x86_64__)
    uint64_t page[kWordsPerPage];
    size_t looked_at = 0;
    for (uintptr_t at = from & ~(kPageSize - 1); at < mapping.end && looked_at < kMostPages; at += kPageSize) {
        const Run* const run = runs.behind(at);
        if (run == nullptr) break;
        if (run->start > at) at = run->start;
        if (at >= mapping.end) break;
        ++looked_at;
        if (!reader.read(at, page, sizeof page)) continue;
        for (size_t word = 0; word < kWordsPerPage; word += kAlignment / sizeof(uint64_t)) {
            const uintptr_t address = at + word * sizeof(uint64_t);
            if (page[word] != address || word + 2 >= kWordsPerPage || page[word + 2] != address) continue;
            stack->descriptor = address;
            uint64_t words[kDescriptor / sizeof(uint64_t)];
            const size_t here = mapping.end - address < sizeof words ? mapping.end - address : sizeof words;
            if (reader.read(address, words, here) &&
                read_extent(words, here / sizeof(uint64_t), address, mapping, stack)) {
                return true;
            }
        }
    }
#else
    (void)mapping, (void)from, (void)runs, (void)reader, (void)stack;
#endif
    return false;
}

}  // namespace flyweight::memory

#include "memory/library_map.h"

#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "memory/pages.h"

namespace flyweight::memory {
namespace {

struct Segment {
    std::atomic<uintptr_t> start, end, base;
    std::atomic<const char*> path;
};

struct PlainSegment {
    uintptr_t start, end, base;
    const char* path;
    bool operator==(const PlainSegment&) const = default;
};

constexpr size_t kMostSegments = size_t{1} << 15;
constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire, kRelease = std::memory_order_release;

// Two pictures, shown in turn: picture g % 2 is shown in generation g and is written to again only for generation
// g + 2. A reader that took long enough for that to happen reads once more; it never waits for the writer. Words are
// written with release and read with acquire, so that whoever reads a word of g + 2 also sees that it is being written.
struct Picture {
    StableArray<Segment, kMostSegments> segments;
    std::atomic<size_t> count{0};
};
Picture pictures[2];
std::atomic<uint32_t> generation{0};
std::atomic<uint32_t> last_written{0};  // the generation being made or made last

const Picture& shown() {
    return pictures[generation.load(kRelaxed) % 2];
}

StableArray<PlainSegment, kMostSegments> found;
StableArray<char, size_t{1} << 22> text;  // each path once, with its terminator

Library search(const Picture& picture, uintptr_t address) {
    size_t low = 0, high = std::min(picture.count.load(kAcquire), kMostSegments);
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const Segment& segment = picture.segments[middle];
        if (address < segment.start.load(kAcquire)) {
            high = middle;
        } else if (address >= segment.end.load(kAcquire)) {
            low = middle + 1;
        } else {
            return {segment.path.load(kAcquire), segment.base.load(kAcquire)};
        }
    }
    return {};
}

const char* keep(const char* path) {
    const size_t length = std::strlen(path) + 1;
    for (size_t at = 0; at < text.size(); at += std::strlen(&text[at]) + 1) {
        if (std::strcmp(&text[at], path) == 0) return &text[at];
    }
    const size_t at = text.append(length);
    if (at == text.capacity()) return "";
    std::memcpy(&text[at], path, length);
    return &text[at];
}

const char* path_of(const dl_phdr_info& info, const Library& known, bool is_program) {
    const char* name = info.dlpi_name == nullptr ? "" : info.dlpi_name;
    const bool unnamed = is_program && name[0] == '\0';
    if (known.path != nullptr && known.base == info.dlpi_addr && (unnamed || std::strcmp(known.path, name) == 0)) {
        return known.path;
    }
    if (!unnamed) return keep(name);
    char path[4096];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0) return keep("(program)");
    path[length] = '\0';
    return keep(path);
}

int add_segments(dl_phdr_info* info, size_t, void* is_program) {
    const char* path = nullptr;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& header = info->dlpi_phdr[i];
        if (header.p_type != PT_LOAD || !(header.p_flags & PF_X)) continue;
        const size_t at = found.append();
        if (at == found.capacity()) return 1;
        const uintptr_t start = info->dlpi_addr + header.p_vaddr;
        if (path == nullptr) path = path_of(*info, search(shown(), start), *static_cast<bool*>(is_program));
        found[at] = {start, start + header.p_memsz, info->dlpi_addr, path};
    }
    *static_cast<bool*>(is_program) = false;
    return 0;
}

bool is_as_found(const Picture& picture) {
    if (picture.count.load(kRelaxed) != found.size()) return false;
    for (size_t i = 0; i < found.size(); ++i) {
        const Segment& segment = picture.segments[i];
        const PlainSegment plain{segment.start.load(kRelaxed), segment.end.load(kRelaxed), segment.base.load(kRelaxed),
                                 segment.path.load(kRelaxed)};
        if (!(plain == found[i])) return false;
    }
    return true;
}

}  // namespace

Library library_at(const void* address) noexcept {
    for (;;) {
        const uint32_t seen = generation.load(kAcquire);
        const Library library = search(pictures[seen % 2], reinterpret_cast<uintptr_t>(address));
        if (last_written.load(kRelaxed) - seen < 2) return library;
    }
}

uint32_t library_generation() noexcept {
    return generation.load(kAcquire);
}

void refresh_library_map() noexcept {
    const int saved = errno;
    if (!found.reserve() || !text.reserve() || !pictures[0].segments.reserve() || !pictures[1].segments.reserve())
        return;
    found.clear();
    bool is_program = true;
    dl_iterate_phdr(add_segments, &is_program);
    std::sort(found.data(), found.data() + found.size(),
              [](const PlainSegment& a, const PlainSegment& b) { return a.start < b.start; });
    if (!is_as_found(shown())) {
        const uint32_t next = generation.load(kRelaxed) + 1;
        last_written.store(next, kRelaxed);
        Picture& picture = pictures[next % 2];
        for (size_t i = 0; i < found.size(); ++i) {
            picture.segments[i].start.store(found[i].start, kRelease);
            picture.segments[i].end.store(found[i].end, kRelease);
            picture.segments[i].base.store(found[i].base, kRelease);
            picture.segments[i].path.store(found[i].path, kRelease);
        }
        picture.count.store(found.size(), kRelease);
        generation.store(next, kRelease);
    }
    errno = saved;
}

size_t library_map_bytes() noexcept {
    const size_t segments = shown().count.load(kRelaxed);
    return text.used_bytes() + segments * (2 * sizeof(Segment) + sizeof(PlainSegment));
}

}  // namespace flyweight::memory

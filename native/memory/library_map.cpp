#include "memory/library_map.h"

#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <iterator>

namespace flyweight::memory {

constinit LibraryPages library_pages;

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

std::atomic<const char*> numbered[size_t{1} << kLibraryBits];  // paths by number
size_t number_count = 1;

LibraryNumber number_of(const char* path) {
    if (path[0] == '\0') return 0;
    for (size_t i = 1; i < number_count; ++i) {
        if (numbered[i].load(kRelaxed) == path) return static_cast<LibraryNumber>(i);
    }
    if (number_count == std::size(numbered)) return 0;
    numbered[number_count].store(path, kRelease);
    return static_cast<LibraryNumber>(number_count++);
}

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

PlainSegment plain(const Segment& segment) {
    return {segment.start.load(kRelaxed), segment.end.load(kRelaxed), segment.base.load(kRelaxed),
            segment.path.load(kRelaxed)};
}

bool is_as_found(const Picture& picture) {
    if (picture.count.load(kRelaxed) != found.size()) return false;
    for (size_t i = 0; i < found.size(); ++i) {
        if (!(plain(picture.segments[i]) == found[i])) return false;
    }
    return true;
}

// Both are in order of address. Calls `gone` for what is in the first only, and `came` for what is in the second only.
template <class Gone, class Came>
void compare(const Picture& before, Gone&& gone, Came&& came) {
    const size_t count = before.count.load(kRelaxed);
    size_t i = 0, j = 0;
    while (i < count || j < found.size()) {
        if (i < count && j < found.size() && plain(before.segments[i]) == found[j]) {
            ++i, ++j;
        } else if (j == found.size() || (i < count && plain(before.segments[i]).start <= found[j].start)) {
            gone(plain(before.segments[i++]));
        } else {
            came(found[j++]);
        }
    }
}

// What went is taken out before anything is put in: the two may share addresses.
void renumber_pages() {
    if (!library_pages.reserve()) return;
    const auto nothing = [](const PlainSegment&) {};
    compare(shown(), [](const PlainSegment& old) { library_pages.set(old.start, old.end, 0); }, nothing);
    compare(shown(), nothing,
            [](const PlainSegment& fresh) { library_pages.set(fresh.start, fresh.end, number_of(fresh.path)); });
}

}  // namespace

bool LibraryPages::reserve() noexcept {
    if (leaves_.load(kRelaxed) != none_) return true;
    void* const pages = reserve_pages(kMostLeaves * kLeafPages * sizeof(uint16_t));
    if (pages != nullptr) leaves_.store(static_cast<std::atomic<uint16_t>*>(pages), kRelease);
    return pages != nullptr;
}

void LibraryPages::set(uintptr_t start, uintptr_t end, LibraryNumber library) noexcept {
    for (uintptr_t page = start / kPageSize; page <= (end - 1) / kPageSize && start < end; ++page) {
        std::atomic<uint8_t>& leaf = leaf_of_[(page >> kLeafBits) % kChunks];
        if (leaf.load(kRelaxed) == 0) {
            if (library == 0 || leaf_count_ == kMostLeaves) continue;
            leaf.store(static_cast<uint8_t>(leaf_count_++), kRelaxed);
        }
        leaves_.load(kRelaxed)[size_t{leaf.load(kRelaxed)} << kLeafBits | (page & (kLeafPages - 1))].store(
            static_cast<uint16_t>(library), kRelaxed);
    }
}

size_t LibraryPages::own_bytes() const noexcept {
    const auto* const leaves = leaves_.load(kRelaxed);
    return leaves == none_ ? 0 : resident_bytes(leaves, leaf_count_ * kLeafPages * sizeof(uint16_t));
}

const char* library_path(LibraryNumber library) noexcept {
    return library < std::size(numbered) ? numbered[library].load(kAcquire) : nullptr;
}

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
        renumber_pages();
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
    return text.used_bytes() + library_pages.own_bytes() + segments * (2 * sizeof(Segment) + sizeof(PlainSegment));
}

}  // namespace flyweight::memory

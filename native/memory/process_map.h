// What the kernel says about this process's memory, mapping by mapping: /proc/self/smaps, and their sum in
// smaps_rollup.
//
// Read with plain reads into a small buffer and parsed as it comes, into room that the caller has reserved: no malloc,
// no allocation of Python's, so that reading changes what is read as little as can be. Lines and units as in proc(5)
// and the kernel's fs/proc/task_mmu.c; all figures there are whole KiB.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flyweight::memory {

// Bytes. rss = priv + shared for what smaps counts; dirty is the dirty part of both.
struct Figures {
    uint64_t rss = 0, priv = 0, shared = 0, private_dirty = 0, shared_dirty = 0, pss = 0, swap = 0;
    Figures& operator+=(const Figures& other) noexcept;
    bool operator==(const Figures&) const = default;
};

struct Mapping {
    uintptr_t start = 0, end = 0;
    Figures figures;
    uint32_t name = 0;      // offset of its text, with a terminator; 0: none
    bool readable = false;  // by any thread of the process
    bool writable = false, executable = false, shared = false;
};

// Room for what is read. `mappings` and `text` may be sparse memory that is touched as it fills.
struct ProcessMap {
    Mapping* mappings = nullptr;
    size_t capacity = 0;
    char* text = nullptr;
    size_t text_capacity = 0;

    size_t count = 0;
    size_t text_size = 1;   // offset 0 is the empty text
    bool overflow = false;  // something found no room

    void clear() noexcept { count = 0, text_size = 1, overflow = false; }
    const char* name(const Mapping& mapping) const noexcept { return text + mapping.name; }
    // Keeps a text and returns its offset; 0 when there is no room.
    uint32_t keep(const char* from, size_t length) noexcept;
    Figures sum() const noexcept;
};

// Takes the text of smaps or of smaps_rollup in pieces of any length.
class SmapsParser {
  public:
    explicit SmapsParser(ProcessMap& map) noexcept : map_(map) {}
    void feed(const char* piece, size_t length) noexcept;
    void finish() noexcept;  // the last line may lack its end

  private:
    void line(const char* text, size_t length) noexcept;
    void header(const char* text, size_t length) noexcept;

    static constexpr size_t kLongestLine = 4096 + 512;  // a path may have PATH_MAX bytes, escapes make it longer
    ProcessMap& map_;
    bool in_mapping_ = false;
    size_t held_ = 0;
    char rest_[kLongestLine];  // of the line that goes on in the next piece; what is longer is cut
};

// False: the file cannot be read; errno says why.
bool read_process_map(const char* path, ProcessMap& map) noexcept;

}  // namespace flyweight::memory

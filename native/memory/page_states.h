// Which pages of a mapping are resident: runs of them.
//
// Counted is what smaps counts: the kernel's page of zeros is mapped where fresh memory was only read, is present in
// the page table and is nobody's, so it is left out. PAGEMAP_SCAN (linux/fs.h, kernel 6.7) tells it apart and answers
// in runs. Before that, /proc/self/pagemap answers page by page (Documentation/admin-guide/mm/pagemap.rst): bit 63
// present, 56 mapped here and nowhere else; there the page of zeros cannot be told from a page shared since a fork.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flyweight::memory {

struct Run {
    uintptr_t start, end;
    bool shared;  // other processes map these pages too
};

// Bytes of resident pages by who maps them.
struct Resident {
    uint64_t priv = 0, shared = 0;
    uint64_t total() const noexcept { return priv + shared; }
    Resident& operator+=(const Resident& other) noexcept {
        priv += other.priv;
        shared += other.shared;
        return *this;
    }
};

class PageStates {
  public:
    explicit PageStates(bool may_scan = true) noexcept;
    ~PageStates();
    PageStates(const PageStates&) = delete;
    PageStates& operator=(const PageStates&) = delete;

    bool works() const noexcept { return file_ >= 0; }
    bool scans() const noexcept { return scans_; }

    // What may be assumed of the pages in question, from the mapping's figures.
    enum class Sharing { none, all, mixed };
    // Resident runs of [start, end) in order. Returns how many there are, at most `capacity`: pages that found no room
    // are left out.
    size_t resident(uintptr_t start, uintptr_t end, Sharing sharing, Run* runs, size_t capacity) const noexcept;
    // Whether each page was ever written to: present or swapped out. One bit a page, set where that is not known.
    void written(uintptr_t start, size_t pages, uint64_t* bits) const noexcept;

  private:
    size_t scan(uintptr_t start, uintptr_t end, bool shared, Run* runs, size_t capacity) const noexcept;
    size_t page_by_page(uintptr_t start, uintptr_t end, Sharing sharing, Run* runs, size_t capacity) const noexcept;

    int file_ = -1;
    bool scans_ = false;
};

// Runs of one mapping, asked for ranges in mostly ascending order.
class ResidentRuns {
  public:
    ResidentRuns() = default;
    ResidentRuns(const Run* runs, size_t count) noexcept : runs_(runs), count_(count) {}

    const Run* begin() const noexcept { return runs_; }
    const Run* end() const noexcept { return runs_ + count_; }
    // The first run that ends behind the address; null: none.
    const Run* behind(uintptr_t address) noexcept {
        if (at_ >= count_ || (at_ > 0 && runs_[at_ - 1].end > address)) at_ = 0;
        if (at_ < count_ && runs_[at_].end <= address) seek(address);
        return at_ < count_ ? runs_ + at_ : nullptr;
    }
    Resident within(uintptr_t start, uintptr_t end) noexcept;
    bool holds(uintptr_t address) noexcept {
        const Run* const run = behind(address);
        return run != nullptr && run->start <= address;
    }

  private:
    void seek(uintptr_t address) noexcept;

    const Run* runs_ = nullptr;
    size_t count_ = 0;
    size_t at_ = 0;
};

}  // namespace flyweight::memory

// Reading memory that other threads may unmap at any moment.
//
// Heaps are read while threads that hold no GIL use them: one may trim a heap or unmap a block between our finding its
// address and our looking there. process_vm_readv(2) on ourselves answers EFAULT where a load would be the end of the
// process. With no other thread there is nobody to do that, and plain loads are taken.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flyweight::memory {

class SafeReader {
  public:
    // direct: nobody else can unmap anything.
    explicit SafeReader(bool direct) noexcept;

    bool direct() const noexcept { return direct_; }
    bool works() const noexcept { return works_; }  // false where a sandbox forbids the call: then nothing is read

    // All of [address, address + bytes), or false.
    bool read(uintptr_t address, void* into, size_t bytes) const noexcept;
    // `each` bytes at each address, one after another; where an address cannot be read, zeros. `each` bytes lie in one
    // page.
    void read_many(const uintptr_t* addresses, size_t count, size_t each, void* into) const noexcept;

  private:
    bool direct_;
    bool works_ = true;
};

// Threads of this process, from /proc/self/stat; 0 where that cannot be read.
size_t thread_count() noexcept;

}  // namespace flyweight::memory

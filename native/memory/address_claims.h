// Who owns which addresses: intervals from several sources, the earlier source winning where they overlap.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flyweight::memory {

struct Claim {
    uintptr_t start, end;
    uint32_t number;  // what it means is the source's business
};

// Adds what of the claim none of the others covers, which are disjoint and in order and stay so. Returns how many there
// are then; parts that find no room are left out.
size_t add_uncovered(Claim* claims, size_t count, size_t capacity, const Claim& claim) noexcept;

class AddressClaims {
  public:
    static constexpr size_t kSources = 6;
    static constexpr size_t kNobody = kSources;

    struct Stretch {
        uintptr_t start, end;
        size_t source;  // kNobody: unclaimed
        uint32_t number;
    };

    // Sorts the claims and cuts overlaps within the source; the array is kept and not copied. Returns how many are
    // left.
    size_t set(size_t source, Claim* claims, size_t count) noexcept;
    // The stretch that begins at `address` and ends before `end`. Addresses may be asked for in any order; ascending
    // ones are found at once.
    Stretch at(uintptr_t address, uintptr_t end) noexcept;

  private:
    struct Source {
        Claim* claims = nullptr;
        size_t count = 0;
        size_t at = 0;  // the first claim that ends behind the address asked for last
    };
    Source sources_[kSources];
};

}  // namespace flyweight::memory

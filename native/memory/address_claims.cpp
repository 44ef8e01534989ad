#include "memory/address_claims.h"

#include <algorithm>

namespace flyweight::memory {

size_t add_uncovered(Claim* claims, size_t count, size_t capacity, const Claim& claim) noexcept {
    uintptr_t at = claim.start;
    auto next = static_cast<size_t>(
        std::partition_point(claims, claims + count, [at](const Claim& other) { return other.end <= at; }) - claims);
    while (at < claim.end) {
        const uintptr_t until = next < count ? std::min(claims[next].start, claim.end) : claim.end;
        if (at < until) {
            if (count == capacity) return count;
            std::copy_backward(claims + next, claims + count, claims + count + 1);
            claims[next++] = {at, until, claim.number};
            ++count;
        }
        if (next == count) break;
        at = std::max(until, claims[next++].end);
    }
    return count;
}

size_t AddressClaims::set(size_t source, Claim* claims, size_t count) noexcept {
    const auto earlier = [](const Claim& a, const Claim& b) { return a.start < b.start; };
    if (!std::is_sorted(claims, claims + count, earlier)) std::sort(claims, claims + count, earlier);
    size_t kept = 0;
    uintptr_t covered = 0;
    for (size_t i = 0; i < count; ++i) {
        Claim claim = claims[i];
        claim.start = std::max(claim.start, covered);
        if (claim.start >= claim.end) continue;
        covered = claim.end;
        claims[kept++] = claim;
    }
    sources_[source] = {claims, kept, 0};
    return kept;
}

AddressClaims::Stretch AddressClaims::at(uintptr_t address, uintptr_t end) noexcept {
    Stretch found{address, end, kNobody, 0};
    for (size_t number = 0; number < kSources; ++number) {
        Source& source = sources_[number];
        if (source.at > 0 && source.claims[source.at - 1].end > address) source.at = 0;
        if (source.at < source.count && source.claims[source.at].end <= address) {
            const auto* next = std::partition_point(source.claims + source.at, source.claims + source.count,
                                                    [address](const Claim& claim) { return claim.end <= address; });
            source.at = static_cast<size_t>(next - source.claims);
        }
        if (source.at == source.count) continue;
        const Claim& claim = source.claims[source.at];
        if (claim.start <= address) {
            found.source = number;
            found.number = claim.number;
            found.end = std::min(found.end, claim.end);
            break;  // later sources have no say here
        }
        found.end = std::min(found.end, claim.start);
    }
    return found;
}

}  // namespace flyweight::memory

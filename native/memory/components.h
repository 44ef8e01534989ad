// Which component a site belongs to, by rules from paths to names. The rules are made in Python
// (flyweight/memory/components.py), where their meaning is written down; they are applied here, because a site is made
// where no Python code may run. A site gets its component at the tick after it was made, or when somebody asks before.
#pragma once

#include <cstdint>
#include <string_view>

#include "memory/pages.h"
#include "memory/site_table.h"

namespace flyweight::memory {

using ComponentId = uint16_t;

// Bytes in half the room: exact below 2 GiB, above it in pages.
class PackedBytes {
  public:
    constexpr PackedBytes() noexcept = default;
    constexpr PackedBytes(uint64_t bytes) noexcept
        : bits_(bytes < kInPages                         ? static_cast<uint32_t>(bytes)
                : bytes / kPageSize < uint64_t{kInPages} ? static_cast<uint32_t>(bytes / kPageSize) | kInPages
                                                         : UINT32_MAX) {}
    constexpr operator uint64_t() const noexcept {
        return bits_ < kInPages ? bits_ : uint64_t{bits_ & ~kInPages} * kPageSize;
    }

  private:
    static constexpr uint32_t kInPages = uint32_t{1} << 31;
    uint32_t bits_ = 0;
};
static_assert(sizeof(PackedBytes) == 4);

// How far into a path a pattern reaches, in bytes; 0 when it does not match. `name` is whose package "*" stands for.
size_t reach(std::string_view pattern, std::string_view path) noexcept;
std::string_view package_at(std::string_view path, size_t reached) noexcept;

// Everything but `reserve` under the slow lock.
class Components {
  public:
    static constexpr size_t kMostRules = 2000;
    static constexpr size_t kMostComponents = 1024;
    static constexpr ComponentId kOther = 0;  // once there are that many names

    bool reserve() noexcept;
    void forget_sites() noexcept;  // a new session renumbers them; rules and names stay

    // The rules in force from now on, one after another; all sites are assigned anew.
    void clear_rules() noexcept;
    bool add_rule(std::string_view pattern, std::string_view name) noexcept;  // false: no room
    ComponentId number_of(std::string_view name) noexcept;                    // made if new
    ComponentId number_of_path(std::string_view path) noexcept;

    void assign_new_sites() noexcept;
    size_t assigned() const noexcept { return assigned_; }  // sites below have their component
    ComponentId of(SiteId site) const noexcept { return of_site_[site]; }
    size_t count() const noexcept { return names_.size(); }
    uint32_t name(ComponentId number) const noexcept { return names_[number]; }  // a string number

    // Live bytes and blocks of all sites, summed by component.
    struct Sum {
        uint64_t live_bytes, live_count, highest_bytes;  // the most live bytes at any tick
    };
    void clear_sums() noexcept;
    void add(SiteId site, uint64_t bytes, uint64_t blocks) noexcept {
        Sum& sum = sums_[of_site_[site]];
        sum.live_bytes += bytes;
        sum.live_count += blocks;
    }
    void note_highest() noexcept;
    void sum_up() noexcept;  // when it is not done along with another pass
    const Sum& sum(ComponentId number) const noexcept { return sums_[number]; }

    size_t own_bytes() const noexcept;

  private:
    struct Rule {
        uint32_t pattern, name;  // string numbers
    };
    StableArray<Rule, kMostRules> rules_;
    StableArray<uint32_t, kMostComponents> names_;
    StableArray<Sum, kMostComponents> sums_;
    StableArray<ComponentId, SiteTable::kCapacity> of_site_;
    size_t assigned_ = 1;
};

extern Components components;

}  // namespace flyweight::memory

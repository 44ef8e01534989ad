#include "memory/components.h"

#include "memory/tracker.h"

namespace flyweight::memory {
namespace {

// Whose code asked, a string number: of native blocks and mappings the library that called, else the Python code's
// file.
uint32_t path_of(SiteId number) noexcept {
    const Location location = tracker.sites.location(number);
    return location.library != 0 ? location.library : location.file;
}

}  // namespace

constinit Components components;

size_t reach(std::string_view pattern, std::string_view path) noexcept {
    if (pattern.empty()) return 0;
    const bool open_end = pattern.back() == '*';
    if (open_end) pattern.remove_suffix(1);
    size_t end = 0;
    if (pattern.starts_with("*/")) {
        pattern.remove_prefix(1);
        const size_t start = path.rfind(pattern);
        if (start == std::string_view::npos) return 0;
        end = start + pattern.size();
    } else {
        if (!path.starts_with(pattern)) return 0;
        end = pattern.size();
    }
    if (open_end || end == path.size() || (end > 0 && path[end - 1] == '/')) return end;
    return path[end] == '/' || path[end] == '.' || path[end] == '>' ? end : 0;
}

std::string_view package_at(std::string_view path, size_t reached) noexcept {
    path.remove_prefix(reached);
    path = path.substr(0, path.find('/'));
    const size_t dot = path.find('.');
    return dot == 0 ? path : path.substr(0, dot);
}

bool Components::reserve() noexcept {
    if (!rules_.reserve() || !names_.reserve() || !sums_.reserve() || !of_site_.reserve()) return false;
    if (names_.size() == 0) {
        names_.append();
        names_[kOther] = tracker.strings.intern("(other)");
    }
    return true;
}

void Components::forget_sites() noexcept {
    of_site_.clear();
    sums_.clear();
    assigned_ = 1;
}

void Components::clear_rules() noexcept {
    rules_.clear();
    assigned_ = 1;
}

bool Components::add_rule(std::string_view pattern, std::string_view name) noexcept {
    const uint32_t pattern_number = tracker.strings.intern(pattern), name_number = tracker.strings.intern(name);
    if (pattern_number == 0 || name_number == 0) return false;
    const size_t number = rules_.append();
    if (number == kMostRules) return false;
    rules_[number] = {pattern_number, name_number};
    return true;
}

ComponentId Components::number_of(std::string_view name) noexcept {
    const uint32_t wanted = tracker.strings.intern(name);
    if (wanted == 0) return kOther;
    for (size_t number = 1; number < names_.size(); ++number) {
        if (names_[number] == wanted) return static_cast<ComponentId>(number);
    }
    const size_t number = names_.append();
    if (number == kMostComponents) return kOther;
    names_[number] = wanted;
    return static_cast<ComponentId>(number);
}

ComponentId Components::number_of_path(std::string_view path) noexcept {
    size_t furthest = 0;
    uint32_t found = 0;
    for (size_t i = 0; i < rules_.size(); ++i) {
        const size_t reached = reach(tracker.strings[rules_[i].pattern], path);
        if (reached == 0 || reached < furthest) continue;
        furthest = reached;
        found = rules_[i].name;
    }
    std::string_view name = tracker.strings[found];
    if (name == "*") name = package_at(path, furthest);
    return number_of(name.empty() ? "program" : name);
}

void Components::assign_new_sites() noexcept {
    const size_t count = tracker.sites.size();
    if (assigned_ >= count) return;
    uint32_t last = 0;  // neighbours are often of one path
    ComponentId found = number_of_path({});
    for (; assigned_ < count; ++assigned_) {
        const uint32_t path = path_of(static_cast<SiteId>(assigned_));
        if (path != last) {
            last = path;
            found = number_of_path(tracker.strings[path]);
        }
        of_site_[assigned_] = found;
    }
}

void Components::clear_sums() noexcept {
    for (size_t number = 0; number < names_.size(); ++number) sums_[number].live_bytes = sums_[number].live_count = 0;
}

void Components::note_highest() noexcept {
    for (size_t number = 0; number < names_.size(); ++number) {
        Sum& sum = sums_[number];
        if (sum.live_bytes > sum.highest_bytes) sum.highest_bytes = sum.live_bytes;
    }
}

void Components::sum_up() noexcept {
    assign_new_sites();
    clear_sums();
    for (size_t number = 1; number < assigned_; ++number) {
        const Site& site = tracker.sites[static_cast<SiteId>(number)];
        // Blocks of no bytes count too. For a moment one writer's frees may be ahead of another's allocations.
        const uint64_t bytes = site.live_bytes(), blocks = site.live_count();
        if (above(blocks, 0) && !above(0, bytes)) add(static_cast<SiteId>(number), bytes, blocks);
    }
}

size_t Components::own_bytes() const noexcept {
    return rules_.used_bytes() + names_.used_bytes() + names_.size() * sizeof(Sum) + assigned_ * sizeof(ComponentId);
}

}  // namespace flyweight::memory

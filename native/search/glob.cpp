#include "search/glob.h"

#include <cstdint>
#include <vector>

namespace flyweight::search {

namespace {

// Matches one character against the set that begins at pattern[begin] == '['. Sets `end` past the closing bracket.
// An unclosed set does not match (glob_fault refuses it first).
bool set_matches(std::string_view pattern, size_t begin, unsigned char c, size_t& end) {
    size_t i = begin + 1;
    const bool negated = i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
    if (negated) ++i;
    bool found = false;
    for (bool first = true; i < pattern.size() && (first || pattern[i] != ']'); first = false) {
        if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
        const auto low = static_cast<unsigned char>(pattern[i++]);
        unsigned char high = low;
        if (i + 1 < pattern.size() && pattern[i] == '-' && pattern[i + 1] != ']') {
            high = static_cast<unsigned char>(pattern[i + 1]);
            i += 2;
        }
        found = found || (low <= c && c <= high);
    }
    end = i + 1;
    return i < pattern.size() && found != negated;
}

// Whether pattern matches all of text, or text up to a '/'. Two places to fall back to suffice: a later `*` within the
// same name makes an earlier one pointless, and a later `**` makes every earlier star pointless.
bool matches_here(std::string_view pattern, std::string_view text) {
    constexpr size_t kNone = std::string_view::npos;
    size_t p = 0;
    size_t t = 0;
    size_t star_p = kNone;
    size_t star_t = 0;
    size_t cross_p = kNone;
    size_t cross_t = 0;
    bool cross_names = false;  // `**/`: what follows begins at a name
    while (true) {
        if (p == pattern.size() && (t == text.size() || text[t] == '/')) return true;
        if (p < pattern.size() && pattern.substr(p, 2) == "**") {
            p += 2;
            // `**/` stands for any number of directories, none included: `a/**/b` also matches `a/b`.
            cross_names = p < pattern.size() && pattern[p] == '/' && (t == 0 || text[t - 1] == '/');
            if (cross_names) ++p;
            cross_p = p;
            cross_t = t;
            star_p = kNone;
            continue;
        }
        if (p < pattern.size() && pattern[p] == '*') {
            star_p = ++p;
            star_t = t;
            continue;
        }
        if (p < pattern.size() && t < text.size()) {
            const char c = text[t];
            size_t next = p + 1;
            bool same = false;
            if (pattern[p] == '?') {
                same = c != '/';
            } else if (pattern[p] == '[') {
                same = c != '/' && set_matches(pattern, p, static_cast<unsigned char>(c), next);
            } else if (pattern[p] == '\\' && p + 1 < pattern.size()) {
                same = c == pattern[p + 1];
                next = p + 2;
            } else {
                same = c == pattern[p];
            }
            if (same) {
                p = next;
                ++t;
                continue;
            }
        }
        if (star_p != kNone && star_t < text.size() && text[star_t] != '/') {
            p = star_p;
            t = ++star_t;
        } else if (cross_p != kNone && cross_t < text.size()) {
            p = cross_p;
            do {
                ++cross_t;
            } while (cross_names && cross_t < text.size() && text[cross_t - 1] != '/');
            t = cross_t;
            star_p = kNone;
            if (cross_names && text[t - 1] != '/') return false;
        } else {
            return false;
        }
    }
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view path) {
    while (pattern.size() > 1 && pattern.back() == '/') pattern.remove_suffix(1);
    const bool anchored = pattern.find('/') != std::string_view::npos;
    if (pattern.substr(0, 2) == "./") pattern.remove_prefix(2);
    if (!pattern.empty() && pattern.front() == '/') pattern.remove_prefix(1);
    if (matches_here(pattern, path)) return true;
    if (anchored) return false;
    for (size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
        if (matches_here(pattern, path.substr(slash + 1))) return true;
    }
    return false;
}

std::string glob_fault(std::string_view pattern) {
    if (pattern.empty()) return "it is empty";
    if (pattern.size() > 1024) return "it is longer than 1024 bytes";
    for (size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] == '\0') return "it holds a NUL";
        if (pattern[i] == '\\') {
            if (++i == pattern.size()) return "it ends in a lone backslash";
        } else if (pattern[i] == '[') {
            size_t end = i + 1;
            if (end < pattern.size() && (pattern[end] == '!' || pattern[end] == '^')) ++end;
            if (end < pattern.size() && pattern[end] == ']') ++end;
            while (end < pattern.size() && pattern[end] != ']') end += pattern[end] == '\\' ? 2 : 1;
            if (end >= pattern.size())
                return "the set that begins at character " + std::to_string(i + 1) + " is not closed";
            i = end;
        }
    }
    return {};
}

}  // namespace flyweight::search

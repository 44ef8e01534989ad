#include "memory/process_map.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace flyweight::memory {
namespace {

// A number in base 16 or 10 at `at`; false when there is none.
bool parse_number(const char*& at, const char* end, unsigned base, uint64_t* number) {
    const char* const first = at;
    *number = 0;
    for (; at < end; ++at) {
        unsigned digit;
        if (*at >= '0' && *at <= '9') {
            digit = static_cast<unsigned>(*at - '0');
        } else if (base == 16 && *at >= 'a' && *at <= 'f') {
            digit = static_cast<unsigned>(*at - 'a') + 10;
        } else {
            break;
        }
        *number = *number * base + digit;
    }
    return at > first && at - first <= 20;
}

bool skip(const char*& at, const char* end, char wanted) {
    if (at == end || *at != wanted) return false;
    ++at;
    return true;
}

void skip_word(const char*& at, const char* end) {
    while (at < end && *at != ' ') ++at;
    while (at < end && *at == ' ') ++at;
}

struct Key {
    const char* name;
    size_t length;
    uint64_t Figures::* figure;
    uint64_t Figures::* also;
};
#define KEY(text, figure, also) {text ":", sizeof(text), &Figures::figure, also}
constexpr Key kKeys[] = {KEY("Rss", rss, nullptr),
                         KEY("Pss", pss, nullptr),
                         KEY("Shared_Clean", shared, nullptr),
                         KEY("Shared_Dirty", shared, &Figures::shared_dirty),
                         KEY("Private_Clean", priv, nullptr),
                         KEY("Private_Dirty", priv, &Figures::private_dirty),
                         KEY("Swap", swap, nullptr)};
#undef KEY

}  // namespace

Figures& Figures::operator+=(const Figures& other) noexcept {
    rss += other.rss;
    priv += other.priv;
    shared += other.shared;
    private_dirty += other.private_dirty;
    shared_dirty += other.shared_dirty;
    pss += other.pss;
    swap += other.swap;
    return *this;
}

uint32_t ProcessMap::keep(const char* from, size_t length) noexcept {
    if (length == 0) return 0;
    // Neighbours have the same name: a library's segments.
    if (count > 0) {
        const Mapping& last = mappings[count - 1];
        if (last.name != 0 && std::strlen(text + last.name) == length &&
            std::memcmp(text + last.name, from, length) == 0) {
            return last.name;
        }
    }
    if (text_capacity - text_size < length + 1) {
        overflow = true;
        return 0;
    }
    const size_t at = text_size;
    std::memcpy(text + at, from, length);
    text[at + length] = '\0';
    text_size += length + 1;
    return static_cast<uint32_t>(at);
}

Figures ProcessMap::sum() const noexcept {
    Figures total;
    for (size_t i = 0; i < count; ++i) total += mappings[i].figures;
    return total;
}

void SmapsParser::header(const char* text, size_t length) noexcept {
    in_mapping_ = false;
    const char *at = text, *const end = text + length;
    Mapping mapping;
    uint64_t start, stop;
    if (!parse_number(at, end, 16, &start) || !skip(at, end, '-') || !parse_number(at, end, 16, &stop) ||
        !skip(at, end, ' ') || end - at < 4 || stop < start) {
        return;
    }
    mapping.start = start;
    mapping.end = stop;
    mapping.readable = at[0] == 'r';
    mapping.writable = at[1] == 'w';
    mapping.executable = at[2] == 'x';
    mapping.shared = at[3] == 's' || at[3] == 'S';
    for (int word = 0; word < 4; ++word) skip_word(at, end);  // protection, offset, device, inode
    if (map_.count == map_.capacity) {
        map_.overflow = true;
        return;
    }
    mapping.name = map_.keep(at, static_cast<size_t>(end - at));
    map_.mappings[map_.count++] = mapping;
    in_mapping_ = true;
}

void SmapsParser::line(const char* text, size_t length) noexcept {
    if (length == 0) return;
    // Keys begin with a capital letter, addresses with a digit or a small one.
    if ((text[0] >= '0' && text[0] <= '9') || (text[0] >= 'a' && text[0] <= 'f')) return header(text, length);
    if (!in_mapping_) return;
    constexpr char kProtectionKey[] = "ProtectionKey:";
    if (length > sizeof kProtectionKey && std::memcmp(text, kProtectionKey, sizeof kProtectionKey - 1) == 0) {
        // Threads may be kept from such memory whatever its protection says; see pkeys(7).
        if (text[length - 1] != '0') map_.mappings[map_.count - 1].readable = false;
        return;
    }
    for (const Key& key : kKeys) {
        if (length <= key.length || std::memcmp(text, key.name, key.length) != 0) continue;
        const char *at = text + key.length, *const end = text + length;
        while (at < end && *at == ' ') ++at;
        uint64_t number;
        if (!parse_number(at, end, 10, &number)) return;
        Figures& figures = map_.mappings[map_.count - 1].figures;
        figures.*key.figure += number * 1024;
        if (key.also != nullptr) figures.*key.also += number * 1024;
        return;
    }
}

void SmapsParser::feed(const char* piece, size_t length) noexcept {
    const char* const end = piece + length;
    while (piece < end) {
        const auto* stop = static_cast<const char*>(std::memchr(piece, '\n', static_cast<size_t>(end - piece)));
        const size_t here = static_cast<size_t>((stop != nullptr ? stop : end) - piece);
        if (held_ > 0 || stop == nullptr) {
            const size_t room = kLongestLine - held_, kept = here < room ? here : room;
            std::memcpy(rest_ + held_, piece, kept);
            held_ += kept;
            if (stop == nullptr) return;
            line(rest_, held_);
            held_ = 0;
        } else {
            line(piece, here);
        }
        piece = stop + 1;
    }
}

void SmapsParser::finish() noexcept {
    line(rest_, held_);
    held_ = 0;
}

bool read_process_map(const char* path, ProcessMap& map) noexcept {
    map.clear();
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    SmapsParser parser(map);
    char buffer[8192];  // the kernel hands out a page at a time, whatever is asked for
    ssize_t got;
    while ((got = read(file, buffer, sizeof buffer)) > 0 || (got < 0 && errno == EINTR)) {
        if (got > 0) parser.feed(buffer, static_cast<size_t>(got));
    }
    const int error = errno;
    parser.finish();
    close(file);
    errno = error;
    return got == 0;
}

}  // namespace flyweight::memory

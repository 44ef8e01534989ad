#include "memory/attribution_rows.h"

#include <cstring>

namespace flyweight::memory {
namespace {

// Cuts a total into shares in proportion to weights that come one after another; the shares sum to the total.
class Shares {
  public:
    Shares(uint64_t total, uint64_t weights) noexcept : total_(total), weights_(weights) {}
    uint64_t next(uint64_t weight) noexcept {
        if (weights_ == 0) return 0;
        seen_ += weight;
        const auto until = static_cast<uint64_t>(static_cast<unsigned __int128>(total_) * seen_ / weights_);
        const uint64_t share = until - given_;
        given_ = until;
        return share;
    }

  private:
    const uint64_t total_, weights_;
    uint64_t seen_ = 0, given_ = 0;
};

// By the end of the name, where paths differ.
uint64_t hash_of(RowKind kind, const char* text, size_t length) {
    uint64_t words[3] = {};
    const size_t used = length < sizeof words ? length : sizeof words;
    std::memcpy(words, text + length - used, used);
    uint64_t hash = static_cast<uint64_t>(kind) << 32 | length;
    for (const uint64_t word : words) hash = (hash ^ word ^ hash >> 29) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 32;
}

}  // namespace

AttributedRow& AttributedRows::find_or_add(RowKind kind, const char* text) noexcept {
    return find_or_add(kind, text, std::strlen(text));
}

AttributedRow& AttributedRows::find_or_add(RowKind kind, const char* text, size_t length) noexcept {
    size_t slot = hash_of(kind, text, length) & (index_size_ - 1);
    for (; index_[slot] != 0; slot = (slot + 1) & (index_size_ - 1)) {
        AttributedRow& row = rows_[index_[slot] - 1];
        if (row.kind == kind && row.length == length && std::memcmp(row.text, text, length) == 0) return row;
    }
    if (count_ == kCapacity) return rows_[kCapacity - 1];
    AttributedRow& row = rows_[count_++];
    row.kind = kind;
    row.text = text;
    row.length = static_cast<uint32_t>(length);
    index_[slot] = static_cast<uint32_t>(count_);
    if (count_ * 2 > index_size_ && index_size_ < kIndexSize) grow_index();
    return row;
}

void AttributedRows::grow_index() noexcept {
    index_size_ *= 2;
    std::memset(index_, 0, index_size_ * sizeof(uint32_t));
    for (size_t i = 0; i < count_; ++i) {
        size_t slot = hash_of(rows_[i].kind, rows_[i].text, rows_[i].length) & (index_size_ - 1);
        while (index_[slot] != 0) slot = (slot + 1) & (index_size_ - 1);
        index_[slot] = static_cast<uint32_t>(i + 1);
    }
}

Figures AttributedRows::sum() const noexcept {
    Figures total;
    for (size_t i = 0; i < count_; ++i) total += rows_[i].figures;
    return total;
}

// Pages that went away while they were counted: taken from the largest rows, where they change least.
void AttributedRows::take_from_largest(uint64_t excess) noexcept {
    while (excess > 0) {
        AttributedRow* largest = nullptr;
        for (size_t i = 0; i < count_; ++i) {
            if (largest == nullptr || rows_[i].parts.total() > largest->parts.total()) largest = &rows_[i];
        }
        if (largest == nullptr || largest->parts.total() == 0) return;
        Resident gone;
        give(largest->parts, excess, gone);
        excess -= gone.total();
    }
}

template <class Room, class Change>
void AttributedRows::spread(uint64_t bytes, Room&& room, Change&& change) noexcept {
    uint64_t all = 0;
    for (size_t i = 0; i < count_; ++i) all += room(rows_[i].figures);
    Shares shares(bytes < all ? bytes : all, all);
    for (size_t i = 0; i < count_; ++i) change(rows_[i].figures, shares.next(room(rows_[i].figures)));
}

void AttributedRows::move(uint64_t Resident::* from, uint64_t Resident::* to, uint64_t bytes) noexcept {
    uint64_t weights = 0;
    for (size_t i = 0; i < count_; ++i) weights += rows_[i].parts.*from;
    Shares shares(bytes < weights ? bytes : weights, weights);
    for (size_t i = 0; i < count_; ++i) {
        const uint64_t share = shares.next(rows_[i].parts.*from);
        rows_[i].parts.*from -= share;
        rows_[i].parts.*to += share;
    }
}

void AttributedRows::settle(const Figures& divided, AttributedRow& missing) noexcept {
    Resident claimed;
    for (size_t i = 0; i < count_; ++i) claimed += rows_[i].parts;
    const uint64_t wanted = divided.priv + divided.shared;
    if (claimed.total() < wanted) {
        missing.parts.priv += wanted - claimed.total();
        claimed.priv += wanted - claimed.total();
    } else if (claimed.total() > wanted) {
        take_from_largest(claimed.total() - wanted);
        claimed = {};
        for (size_t i = 0; i < count_; ++i) claimed += rows_[i].parts;
    }
    if (claimed.priv > divided.priv) move(&Resident::priv, &Resident::shared, claimed.priv - divided.priv);
    if (claimed.shared > divided.shared) move(&Resident::shared, &Resident::priv, claimed.shared - divided.shared);

    // Rss may differ from the sum of its parts only by the kernel's own rounding, which for whole pages is none.
    Shares private_dirty(divided.private_dirty, divided.priv), shared_dirty(divided.shared_dirty, divided.shared);
    Shares proportional(divided.pss > divided.priv ? divided.pss - divided.priv : 0, divided.shared);
    Shares swapped(divided.swap, wanted), rest(divided.rss > wanted ? divided.rss - wanted : 0, wanted);
    for (size_t i = 0; i < count_; ++i) {
        AttributedRow& row = rows_[i];
        const Resident parts = row.parts;
        Figures& figures = row.figures;
        figures.rss += parts.total() + rest.next(parts.total());
        figures.priv += parts.priv;
        figures.shared += parts.shared;
        figures.private_dirty += private_dirty.next(parts.priv);
        figures.shared_dirty += shared_dirty.next(parts.shared);
        figures.pss += parts.priv + proportional.next(parts.shared);
        figures.swap += swapped.next(parts.total());
        row.parts = {};
    }
    if (wanted == 0) missing.figures.swap += divided.swap;
}

void AttributedRows::reconcile(const Figures& wanted, AttributedRow& missing) noexcept {
    Figures found = sum();
    if (found.rss < wanted.rss) {
        const uint64_t bytes = wanted.rss - found.rss;
        missing.figures.rss += bytes;
        missing.figures.priv += bytes;
        missing.figures.pss += bytes;
    } else if (found.rss > wanted.rss) {
        for (size_t i = 0; i < count_; ++i) rows_[i].parts = {rows_[i].figures.priv, rows_[i].figures.shared};
        take_from_largest(found.rss - wanted.rss);
        for (size_t i = 0; i < count_; ++i) {
            AttributedRow& row = rows_[i];
            row.figures.priv = row.parts.priv;
            row.figures.shared = row.parts.shared;
            row.figures.rss = row.parts.total();
            row.parts = {};
        }
    }
    found = sum();
    if (found.priv > wanted.priv) {
        const auto private_bytes = [](const Figures& figures) { return figures.priv; };
        spread(found.priv - wanted.priv, private_bytes, [](Figures& figures, uint64_t bytes) {
            figures.priv -= bytes;
            figures.shared += bytes;
        });
    } else {
        const auto shared_bytes = [](const Figures& figures) { return figures.shared; };
        spread(wanted.priv - found.priv, shared_bytes, [](Figures& figures, uint64_t bytes) {
            figures.shared -= bytes;
            figures.priv += bytes;
        });
    }
    for (size_t i = 0; i < count_; ++i) {
        Figures& figures = rows_[i].figures;
        figures.private_dirty = figures.private_dirty < figures.priv ? figures.private_dirty : figures.priv;
        figures.shared_dirty = figures.shared_dirty < figures.shared ? figures.shared_dirty : figures.shared;
        figures.pss = figures.pss < figures.priv ? figures.priv : figures.pss < figures.rss ? figures.pss : figures.rss;
    }
    // A figure, what it cannot fall below and what it cannot rise above.
    const auto adjust = [&](uint64_t Figures::* figure, auto&& least, auto&& most) {
        const uint64_t now = sum().*figure, target = wanted.*figure;
        if (now > target) {
            spread(
                now - target, [&](const Figures& figures) { return figures.*figure - least(figures); },
                [&](Figures& figures, uint64_t bytes) { figures.*figure -= bytes; });
        } else {
            spread(
                target - now, [&](const Figures& figures) { return most(figures) - figures.*figure; },
                [&](Figures& figures, uint64_t bytes) { figures.*figure += bytes; });
        }
    };
    const auto none = [](const Figures&) { return uint64_t{0}; };
    const auto private_bytes = [](const Figures& figures) { return figures.priv; };
    adjust(&Figures::private_dirty, none, private_bytes);
    adjust(&Figures::shared_dirty, none, [](const Figures& figures) { return figures.shared; });
    adjust(&Figures::pss, private_bytes, [](const Figures& figures) { return figures.rss; });
    const uint64_t swapped = sum().swap;
    if (swapped <= wanted.swap) {
        missing.figures.swap += wanted.swap - swapped;
    } else {
        adjust(&Figures::swap, none, none);
    }
}

void give(Resident& left, uint64_t bytes, Resident& to) noexcept {
    const uint64_t there = left.total();
    if (bytes >= there) {
        to += left;
        left = {};
        return;
    }
    uint64_t shared = 0;
    if (left.shared != 0) {
        shared = static_cast<uint64_t>(static_cast<unsigned __int128>(bytes) * left.shared / there);
    }
    uint64_t priv = bytes - shared;
    if (priv > left.priv) {
        shared += priv - left.priv;
        priv = left.priv;
    }
    left.priv -= priv;
    left.shared -= shared;
    to.priv += priv;
    to.shared += shared;
}

}  // namespace flyweight::memory

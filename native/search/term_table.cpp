#include "search/term_table.h"

#include <algorithm>
#include <numeric>

namespace flyweight::search {

namespace {

constexpr size_t kFirstSlots = 1 << 12;
constexpr uint32_t kNoChunk = 0xFFFFFFFF;

uint64_t hash_term(std::string_view term) {
    uint64_t hash = 0xCBF29CE484222325ULL;  // FNV-1a: terms are short and this is not where the time goes
    for (const char c : term) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
    return hash ^ (hash >> 29);
}

}  // namespace

TermTable::TermTable() : slots_(kFirstSlots, 0) {}

uint32_t TermTable::number(std::string_view term) {
    const size_t mask = slots_.size() - 1;
    size_t slot = hash_term(term) & mask;
    while (slots_[slot] != 0) {
        if (text_of(slots_[slot] - 1) == term) return slots_[slot] - 1;
        slot = (slot + 1) & mask;
    }
    entries_.push_back({static_cast<uint32_t>(strings_.size()), static_cast<uint32_t>(term.size()), kNoChunk, 0, 0});
    strings_.append(term);
    slots_[slot] = static_cast<uint32_t>(entries_.size());
    const auto added = static_cast<uint32_t>(entries_.size() - 1);
    if (entries_.size() * 3 > slots_.size() * 2) grow();
    return added;
}

void TermTable::grow() {
    slots_.assign(slots_.size() * 2, 0);
    const size_t mask = slots_.size() - 1;
    for (uint32_t term = 0; term < entries_.size(); ++term) {
        size_t slot = hash_term(text_of(term)) & mask;
        while (slots_[slot] != 0) slot = (slot + 1) & mask;
        slots_[slot] = term + 1;
    }
}

void TermTable::count(std::string_view term, uint32_t weight) {
    const uint32_t term_number = number(term);
    Entry& entry = entries_[term_number];
    if (entry.current_chunk != chunk_) {
        entry.current_chunk = chunk_;
        entry.current_slot = static_cast<uint32_t>(current_.size());
        current_.push_back({term_number, 0});
    }
    current_[entry.current_slot].frequency += weight;
}

uint32_t TermTable::add(std::string_view text, uint32_t weight) {
    uint32_t terms = 0;
    splitter_.split(text, [&](std::string_view term) {
        count(term, weight);
        ++terms;
    });
    return terms;
}

void TermTable::add_whole(std::string_view term) {
    count(term, 1);
}

void TermTable::end_chunk() {
    for (const Posting& posting : current_) {
        postings_.push_back({posting.chunk, chunk_ << 8 | std::min<uint32_t>(posting.frequency, 255)});
        ++entries_[posting.chunk].count;
    }
    current_.clear();
    ++chunk_;
}

size_t TermTable::memory_bytes() const {
    return strings_.capacity() + entries_.capacity() * sizeof(Entry) + slots_.capacity() * sizeof(uint32_t) +
           postings_.capacity() * sizeof(Packed);
}

std::vector<uint32_t> TermTable::sorted_terms() const {
    std::vector<uint32_t> order(entries_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [this](uint32_t a, uint32_t b) { return text_of(a) < text_of(b); });
    return order;
}

}  // namespace flyweight::search

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "search/terms.h"

namespace flyweight::search {

// An inverted index in memory: terms of the chunks of a segment under construction.
// One 8-byte posting per distinct term of a chunk, sorted by counting when the segment is written.
class TermTable {
  public:
    TermTable();

    // Adds the terms of `text` to the current chunk; returns how many there are.
    uint32_t add(std::string_view text, uint32_t weight);
    // Files the current chunk under exactly this term.
    void add_whole(std::string_view term);
    void end_chunk();

    size_t memory_bytes() const;

    // Calls sink(term, first, last) for every term in byte order, with its postings in chunk order.
    struct Posting {
        uint32_t chunk;
        uint32_t frequency;
    };
    template <typename Sink>
    void drain(Sink&& sink);

  private:
    struct Entry {
        uint32_t offset;
        uint32_t length;
        uint32_t current_chunk;  // last chunk the term was seen in
        uint32_t current_slot;   // its place in current_
        uint32_t count;          // postings so far
    };
    struct Packed {
        uint32_t term;
        uint32_t chunk_and_frequency;  // chunk << 8 | min(frequency, 255)
    };

    uint32_t number(std::string_view term);
    void count(std::string_view term, uint32_t weight);
    void grow();
    std::string_view text_of(uint32_t term) const {
        return std::string_view(strings_).substr(entries_[term].offset, entries_[term].length);
    }
    std::vector<uint32_t> sorted_terms() const;

    TermSplitter splitter_;
    std::string strings_;
    std::vector<Entry> entries_;
    std::vector<uint32_t> slots_;   // open addressing, entry number + 1
    std::vector<Posting> current_;  // chunk holds the term number here
    std::vector<Packed> postings_;
    uint32_t chunk_ = 0;
};

template <typename Sink>
void TermTable::drain(Sink&& sink) {
    std::vector<uint32_t> begins(entries_.size() + 1, 0);
    for (size_t i = 0; i < entries_.size(); ++i) begins[i + 1] = begins[i] + entries_[i].count;
    std::vector<uint32_t> places(begins.begin(), begins.end() - 1);
    std::vector<uint32_t> ordered(postings_.size());
    for (const Packed& posting : postings_) ordered[places[posting.term]++] = posting.chunk_and_frequency;
    for (const uint32_t term : sorted_terms()) {
        sink(text_of(term), ordered.data() + begins[term], ordered.data() + begins[term + 1]);
    }
}

}  // namespace flyweight::search

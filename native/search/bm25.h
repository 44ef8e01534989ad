#pragma once

#include <array>
#include <string>
#include <vector>

#include "search/best.h"
#include "search/filter.h"
#include "search/index_view.h"
#include "search/path_class.h"
#include "search/postings.h"

namespace flyweight::search {

// Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009).
constexpr float kBm25K1 = 0.8F;  // 1.2 is usual; code repeats its words for other reasons than prose
constexpr float kBm25B = 0.75F;

// The part of BM25 that depends on a chunk alone, for every frequency up to 16 and every length code: a table
// instead of a division a posting. Rebuilt when the index changes.
class TermImpact {
  public:
    static constexpr uint32_t kMaxFrequency = 16;  // beyond it tf saturates to within 7 % of the limit

    void set_average_length(float average_length);
    float operator()(uint8_t frequency, uint8_t length_code) const {
        return table_[frequency < kMaxFrequency ? frequency : kMaxFrequency][length_code];
    }

  private:
    std::array<std::array<float, 256>, kMaxFrequency + 1> table_{};
};

// The lexicon entry under which a chunk is filed that defines exactly this name. Not counted in its length.
inline std::string definition_term(std::string_view name) {
    return "=" + std::string(name.substr(0, format::kMaxTermBytes - 1));
}

// Scores all chunks that hold a term of the query. Works through the chunks in windows, all terms within one window:
// memory is one window whatever the size of the index, and it stays in the first-level cache.
class Bm25 {
  public:
    void set_view(const IndexView& view);
    // Offers every admitted chunk that has a term, with its score times the prior of its file, to `best`; and those
    // that define one of `names`, with the same score, to `defining`.
    void search(const IndexView& view, const std::vector<std::string>& terms, const std::vector<std::string>& names,
                const Priors& priors, Filter& filter, Best& best, Best& defining);

  private:
    static constexpr uint32_t kWindow = 4096;

    struct Active {
        PostingsCursor cursor;
        float weight;   // 0: not a term of the query but a definition of one of its names
        uint32_t next;  // within the cursor's block
    };
    void search_segment(const IndexView& view, uint32_t segment, const Priors& priors, Filter& filter, Best& best,
                        Best& defining);
    // Adds what an active term says of the chunks in [begin, end); false when its postings are at their end.
    bool score_window(Active& active, uint32_t begin, uint32_t end, const uint8_t* lengths);

    TermImpact impact_;
    double total_chunks_ = 0.0;
    std::vector<Active> active_;
    std::array<float, kWindow> scores_{};
    std::vector<uint32_t> definitions_;  // chunks of the window that define a name
};

}  // namespace flyweight::search

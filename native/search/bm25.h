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
constexpr float kBm25K1 = 1.2F;
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

// Scores all chunks that hold a term of the query. Works through the chunks in windows, all terms within one window:
// memory is one window whatever the size of the index, and it stays in the first-level cache.
class Bm25 {
  public:
    void set_view(const IndexView& view);
    // Offers every admitted chunk with its score, times the prior of its file, to `best`.
    void search(const IndexView& view, const std::vector<std::string>& terms, const Priors& priors, Filter& filter,
                Best& best);

  private:
    static constexpr uint32_t kWindow = 4096;

    struct Active {
        PostingsCursor cursor;
        float weight;
        uint32_t next;  // within the cursor's block
    };
    void search_segment(const IndexView& view, uint32_t segment, const Priors& priors, Filter& filter, Best& best);

    TermImpact impact_;
    double total_chunks_ = 0.0;
    std::vector<Active> active_;
    std::array<float, kWindow> scores_{};
};

}  // namespace flyweight::search

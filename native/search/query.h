#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "search/best.h"
#include "search/bm25.h"
#include "search/filter.h"
#include "search/hit.h"
#include "search/index_view.h"
#include "search/ranking.h"
#include "search/static_model.h"
#include "search/vector_scan.h"

namespace flyweight::search {

struct QueryRequest {
    std::string text;
    std::vector<float> vector;  // empty: the model embeds the text; of zeros: lexical search alone
    size_t limit = 10;
    float min_score = 0.0F;
    FilterRules filter;
};

// One query from text to hits, with the scratch memory it needs. Runs without the GIL and without Python; one
// thread at a time. The steps, in order: words -> vector -> BM25 and vector scan -> candidates -> ranking -> hits.
class QueryPipeline {
  public:
    std::vector<Hit> run(const IndexView& view, const StaticModel* model, const QueryRequest& request);

    // The vector scan alone, for measuring its recall: cosines of the best `limit` chunks.
    std::vector<Scored> scan(const IndexView& view, const std::vector<float>& vector, size_t limit);

  private:
    void prepare(const IndexView& view);
    void collect_candidates(const IndexView& view, const Priors& priors, const VectorQuery* vector, float floor);

    uint64_t prepared_generation_ = ~uint64_t{0};
    Bm25 bm25_;
    Filter filter_;
    Best lexical_;
    Best defining_;
    Best sketched_;
    Best nearest_;
    std::vector<Candidate> candidates_;
};

}  // namespace flyweight::search

#include "search/query.h"

#include <algorithm>


namespace flyweight::search {

namespace {

// Words beyond this many add time and no meaning; a 1 MB query is a pasted file.
constexpr size_t kMaxQueryTerms = 64;

bool is_zero(const std::vector<float>& vector) {
    return std::all_of(vector.begin(), vector.end(), [](float component) { return component == 0.0F; });
}

bool before(const ChunkRef& a, const ChunkRef& b) {
    return a.segment != b.segment ? a.segment < b.segment : a.chunk < b.chunk;
}

}  // namespace

void QueryPipeline::prepare(const IndexView& view) {
    if (prepared_generation_ == view.generation) return;
    bm25_.set_view(view);
    prepared_generation_ = view.generation;
}

std::vector<Hit> QueryPipeline::run(const IndexView& view, const StaticModel* model, const QueryRequest& request) {
    std::vector<Hit> hits;
    if (view.segments.empty() || request.limit == 0) return hits;
    prepare(view);
    const QueryWords words(request.text);
    std::vector<float> embedded = request.vector;
    if (embedded.empty() && model != nullptr) {
        embedded.resize(view.segments.front().segment->dimensions());
        model->embed(request.text, static_cast<uint32_t>(embedded.size()), embedded.data());
        model->release();
    }
    filter_.begin(view, request.filter);

    const size_t wanted = std::max(kCandidatesPerSearch, request.limit);
    std::vector<QueryTerm> terms;
    for (const std::string& word : words.words) {
        if (terms.size() == kMaxQueryTerms) break;
        terms.push_back({word, 1.0F});
    }
    lexical_.reset(wanted);
    const float greatest_lexical = bm25_.search(view, terms, filter_, lexical_);

    nearest_.reset(wanted);
    if (!embedded.empty() && !is_zero(embedded)) {
        const VectorQuery vector(embedded.data(), embedded.size());
        const size_t rescored = std::max(wanted, rescored_for(view.chunk_count()));
        scan_vectors(view, vector, rescored, filter_, sketched_, nearest_);
        collect_candidates(view, &vector);
    } else {
        collect_candidates(view, nullptr);
    }
    rank(view, words, greatest_lexical, candidates_, request.limit);
    for (const Candidate& candidate : candidates_) {
        if (candidate.score >= request.min_score) hits.push_back(make_hit(view, candidate.ref, candidate.score));
    }
    view.release();
    return hits;
}

void QueryPipeline::collect_candidates(const IndexView& view, const VectorQuery* vector) {
    candidates_.clear();
    for (const Scored& scored : lexical_.unsorted()) {
        const float cosine = vector == nullptr ? 0.0F : vector->cosine(*view.segments[scored.ref.segment].segment, scored.ref.chunk);
        candidates_.push_back({scored.ref, scored.score, cosine, 0.0F});
    }
    for (const Scored& scored : nearest_.unsorted()) candidates_.push_back({scored.ref, 0.0F, scored.score, 0.0F});
    // A chunk found by both is kept once, with its lexical score.
    std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
        return a.ref == b.ref ? a.lexical > b.lexical : before(a.ref, b.ref);
    });
    const auto same = [](const Candidate& a, const Candidate& b) { return a.ref == b.ref; };
    candidates_.erase(std::unique(candidates_.begin(), candidates_.end(), same), candidates_.end());
}

std::vector<Scored> QueryPipeline::scan(const IndexView& view, const std::vector<float>& vector, size_t limit) {
    if (view.segments.empty()) return {};
    static const FilterRules kEverything;
    filter_.begin(view, kEverything);
    nearest_.reset(limit);
    const VectorQuery query(vector.data(), vector.size());
    scan_vectors(view, query, std::max(limit, rescored_for(view.chunk_count())), filter_, sketched_, nearest_);
    view.release();
    return nearest_.sorted();
}

}  // namespace flyweight::search

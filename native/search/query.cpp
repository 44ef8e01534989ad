#include "search/query.h"

#include <algorithm>

namespace flyweight::search {

namespace {

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
    const std::string_view text = std::string_view(request.text).substr(0, kMaxQueryBytes);
    const QueryWords words(text);
    std::vector<float> embedded = request.vector;
    if (embedded.empty() && model != nullptr) {
        embedded.resize(view.segments.front().segment->dimensions());
        model->embed_once(text, static_cast<uint32_t>(embedded.size()), embedded.data());
    }
    filter_.begin(view, request.filter);
    const Priors priors = words.priors();
    const size_t wanted = candidates_for(request.limit);

    lexical_.reset(wanted);
    defining_.reset(definitions_kept());
    bm25_.search(view, words.terms, words.names, priors, filter_, lexical_, defining_);

    nearest_.reset(wanted);
    if (!embedded.empty() && !is_zero(embedded)) {
        const VectorQuery vector(embedded.data(), embedded.size());
        const float floor = vector.mean_cosine(view);
        const size_t rescored = std::max(wanted, rescored_for(view.chunk_count()));
        scan_vectors(view, vector, floor, priors, rescored, filter_, sketched_, nearest_);
        collect_candidates(view, priors, &vector, floor);
    } else {
        collect_candidates(view, priors, nullptr, 0.0F);
    }
    rank(SegmentChunks(view), words, candidates_, request.limit);
    for (const Candidate& candidate : candidates_) {
        if (candidate.score >= request.min_score) hits.push_back(make_hit(view, candidate.ref, candidate.score));
    }
    view.release();
    return hits;
}

void QueryPipeline::collect_candidates(const IndexView& view, const Priors& priors, const VectorQuery* vector,
                                       float floor) {
    candidates_.clear();
    const auto add_lexical = [&](const Scored& found) {
        float dense = 0.0F;
        if (vector != nullptr) {
            const float cosine = vector->cosine(*view.segments[found.ref.segment].segment, found.ref.chunk);
            dense = (cosine - floor) * priors.of(view, found.ref);
        }
        candidates_.push_back({found.ref, found.score, dense, 0.0F});
    };
    for (const Scored& found : lexical_.unsorted()) add_lexical(found);
    for (const Scored& found : defining_.unsorted()) add_lexical(found);
    for (const Scored& found : nearest_.unsorted()) candidates_.push_back({found.ref, 0.0F, found.score, 0.0F});
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
    scan_vectors(view, query, 0.0F, Priors(), std::max(limit, rescored_for(view.chunk_count())), filter_, sketched_,
                 nearest_);
    view.release();
    return nearest_.sorted();
}

}  // namespace flyweight::search

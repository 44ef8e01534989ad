#include "search/bm25.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace flyweight::search {

namespace {
constexpr uint32_t kBlock = 32;

bool any_above(const float* scores, float limit) {
    uint32_t above = 0;
    for (uint32_t i = 0; i < kBlock; ++i) above |= static_cast<uint32_t>(scores[i] > limit);
    return above != 0;
}
}  // namespace

void TermImpact::set_average_length(float average_length) {
    for (uint32_t code = 0; code < 256; ++code) {
        const float length = decode_length(static_cast<uint8_t>(code)) / std::max(average_length, 1.0F);
        const float norm = kBm25K1 * (1.0F - kBm25B + kBm25B * length);
        for (uint32_t frequency = 0; frequency <= kMaxFrequency; ++frequency) {
            const auto tf = static_cast<float>(frequency);
            table_[frequency][code] = tf > 0.0F ? tf * (kBm25K1 + 1.0F) / (tf + norm) : 0.0F;
        }
    }
}

void Bm25::set_view(const IndexView& view) {
    double terms = 0.0;
    total_chunks_ = 0.0;
    for (const SegmentView& part : view.segments) {
        total_chunks_ += part.segment->chunk_count();
        terms += static_cast<double>(part.segment->total_terms());
    }
    impact_.set_average_length(total_chunks_ > 0.0 ? static_cast<float>(terms / total_chunks_) : 1.0F);
}

void Bm25::search(const IndexView& view, const std::vector<std::string>& terms, const std::vector<std::string>& names,
                  const Priors& priors, Filter& filter, Best& best, Best& defining) {
    const size_t segments = view.segments.size();
    std::vector<std::optional<TermPostings>> found(terms.size() * segments);
    std::vector<float> weights(terms.size(), 0.0F);
    for (size_t term = 0; term < terms.size(); ++term) {
        double holders = 0.0;
        for (size_t segment = 0; segment < segments; ++segment) {
            auto& postings = found[term * segments + segment];
            postings = view.segments[segment].segment->find_term(terms[term]);
            if (postings) holders += postings->count;
        }
        weights[term] = static_cast<float>(std::log(1.0 + (total_chunks_ - holders + 0.5) / (holders + 0.5)));
    }
    for (uint32_t segment = 0; segment < segments; ++segment) {
        active_.clear();
        const auto activate = [this](const std::optional<TermPostings>& postings, float weight) {
            if (!postings) return;
            Active active{PostingsCursor(postings->data, postings->length, postings->count), weight, 0};
            if (active.cursor.next_block()) active_.push_back(active);
        };
        for (size_t term = 0; term < terms.size(); ++term) activate(found[term * segments + segment], weights[term]);
        for (const std::string& name : names) {
            activate(view.segments[segment].segment->find_term(definition_term(name)), 0.0F);
        }
        search_segment(view, segment, priors, filter, best, defining);
    }
}

bool Bm25::score_window(Active& active, uint32_t begin, uint32_t end, const uint8_t* lengths) {
    while (true) {
        const uint32_t* chunks = active.cursor.chunks();
        const uint8_t* frequencies = active.cursor.frequencies();
        const uint32_t size = active.cursor.size();
        uint32_t next = active.next;
        if (active.weight == 0.0F) {
            for (; next < size && chunks[next] < end; ++next) definitions_.push_back(chunks[next]);
        } else {
            for (; next < size && chunks[next] < end; ++next) {
                const uint32_t chunk = chunks[next];
                scores_[chunk - begin] += active.weight * impact_(frequencies[next], lengths[chunk]);
            }
        }
        active.next = next;
        if (next < size) return true;
        if (!active.cursor.next_block()) return false;
        active.next = 0;
    }
}

void Bm25::search_segment(const IndexView& view, uint32_t segment, const Priors& priors, Filter& filter, Best& best,
                          Best& defining) {
    const Segment& data = *view.segments[segment].segment;
    const uint32_t count = data.chunk_count();
    const uint8_t* lengths = data.lengths();
    while (!active_.empty()) {
        uint32_t first = count;
        for (const Active& active : active_) first = std::min(first, active.cursor.chunks()[active.next]);
        if (first >= count) return;
        const uint32_t begin = first / kWindow * kWindow;
        const uint32_t end = std::min(count, begin + kWindow);
        definitions_.clear();
        for (size_t i = 0; i < active_.size();) {
            if (score_window(active_[i], begin, end, lengths)) {
                ++i;
            } else {
                active_[i] = active_.back();
                active_.pop_back();
            }
        }
        for (const uint32_t chunk : definitions_) {
            const ChunkRef ref{segment, chunk};
            const float score = scores_[chunk - begin] * priors.of(view, ref);
            if (score > defining.threshold() && filter.admits(ref)) defining.offer(ref, score);
        }
        for (uint32_t block = 0; block < kWindow; block += kBlock) {
            // A prior only lowers a score: most chunks are refused, 32 at a time, before theirs is looked up.
            const float limit = std::max(0.0F, best.threshold());
            if (!any_above(scores_.data() + block, limit)) continue;
            for (uint32_t i = block; i < block + kBlock; ++i) {
                if (scores_[i] <= limit) continue;
                const ChunkRef ref{segment, begin + i};
                const float score = scores_[i] * priors.of(view, ref);
                if (score > best.threshold() && filter.admits(ref)) best.offer(ref, score);
            }
        }
        std::fill_n(scores_.begin(), end - begin, 0.0F);
    }
}

}  // namespace flyweight::search

#include "search/vector_scan.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "search/quantize.h"

namespace flyweight::search {

namespace {

std::vector<float> rotated_copy(const float* vector, size_t dimensions) {
    std::vector<float> rotated(dimensions);
    rotate(vector, dimensions, rotated.data());
    return rotated;
}

// Pages are given back after this many bytes, so that even while it runs a scan holds a few MB and not the index.
constexpr uint32_t kReleasedSketchBytes = 2 * 1024 * 1024;
constexpr uint32_t kReleasedVectorBytes = 4 * 1024 * 1024;

void rescore(const IndexView& view, const VectorQuery& query, float floor, const Priors& priors,
             std::vector<Scored>& candidates, Best& best) {
    std::sort(candidates.begin(), candidates.end(), [](const Scored& a, const Scored& b) {
        return a.ref.segment != b.ref.segment ? a.ref.segment < b.ref.segment : a.ref.chunk < b.ref.chunk;
    });
    uint32_t held_segment = 0;
    uint32_t held_from = 0;
    const uint32_t release_after = kReleasedVectorBytes / static_cast<uint32_t>(query.dimensions());
    for (const Scored& candidate : candidates) {
        const Segment& segment = *view.segments[candidate.ref.segment].segment;
        const uint32_t chunk = candidate.ref.chunk;
        if (candidate.ref.segment != held_segment || chunk - held_from >= release_after) {
            const Segment& held = *view.segments[held_segment].segment;
            held.release_vectors(held_from, std::min(held.chunk_count(), held_from + release_after));
            held_segment = candidate.ref.segment;
            held_from = chunk;
        }
        best.offer(candidate.ref, (query.cosine(segment, chunk) - floor) * priors.of(view, candidate.ref));
    }
}

}  // namespace

VectorQuery::VectorQuery(const float* vector, size_t dimensions)
    : rotated_(rotated_copy(vector, dimensions)),
      sketch_(rotated_.data(), dimensions),
      quantized_(dimensions),
      scale_(quantize_int16(rotated_.data(), dimensions, quantized_.data())) {}

float VectorQuery::cosine(const Segment& segment, uint32_t chunk) const {
    const int32_t dot = dot_int16_int8(quantized_.data(), segment.vector(chunk), quantized_.size());
    return static_cast<float>(dot) * scale_ * segment.scale(chunk);
}

float VectorQuery::mean_cosine(const IndexView& view) const {
    return std::inner_product(rotated_.begin(), rotated_.end(), view.centroid().begin(), 0.0F);
}

void scan_vectors(const IndexView& view, const VectorQuery& query, float floor, const Priors& priors, size_t rescored,
                  Filter& filter, Best& candidates, Best& best) {
    constexpr uint32_t kBlock = format::kSketchBlock;
    candidates.reset(rescored);
    const uint32_t release_after =
        kReleasedSketchBytes / static_cast<uint32_t>(query.dimensions() / 8) / kBlock * kBlock;
    float estimates[kBlock];
    for (uint32_t number = 0; number < view.segments.size(); ++number) {
        const Segment& segment = *view.segments[number].segment;
        const uint32_t count = segment.chunk_count();
        for (uint32_t begin = 0; begin < count; begin += kBlock) {
            if (begin % release_after == 0 && begin > 0) segment.release_sketches(begin - release_after, begin);
            const uint32_t lanes = std::min(kBlock, count - begin);
            const float* factors = segment.sketch_scales() + begin;
            float padded[kBlock] = {};
            if (lanes < kBlock) {
                std::copy_n(factors, lanes, padded);
                factors = padded;
            }
            uint64_t above = query.sketch().scan_block(segment.sketch_block(begin / kBlock), factors,
                                                       candidates.threshold() + floor, estimates);
            if (lanes < kBlock) above &= (uint64_t{1} << lanes) - 1;
            for (; above != 0; above &= above - 1) {
                const auto lane = static_cast<uint32_t>(std::countr_zero(above));
                const ChunkRef ref{number, begin + lane};
                const float score = (estimates[lane] - floor) * priors.of(view, ref);
                if (score > candidates.threshold() && filter.admits(ref)) candidates.offer(ref, score);
            }
        }
    }
    rescore(view, query, floor, priors, candidates.unsorted(), best);
}

size_t rescored_for(uint64_t chunk_count) {
    return static_cast<size_t>(std::clamp<uint64_t>(chunk_count / 64, 256, 1024));
}

}  // namespace flyweight::search

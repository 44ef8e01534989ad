#pragma once

#include <cstdint>
#include <vector>

#include "search/best.h"
#include "search/filter.h"
#include "search/index_view.h"
#include "search/path_class.h"
#include "search/sketch.h"

namespace flyweight::search {

// A query vector in the forms the scan needs.
class VectorQuery {
  public:
    // `vector` has length one (or zero: it is then near nothing).
    VectorQuery(const float* vector, size_t dimensions);

    size_t dimensions() const { return rotated_.size(); }
    const SketchQuery& sketch() const { return sketch_; }
    // Cosine of the query and a chunk, to within the rounding of int8.
    float cosine(const Segment& segment, uint32_t chunk) const;
    // Mean of the cosines of all chunks.
    float mean_cosine(const IndexView& view) const;

  private:
    std::vector<float> rotated_;
    SketchQuery sketch_;
    std::vector<int16_t> quantized_;
    float scale_;
};

// Offers the chunks nearest to the query to `best`, with (cosine - floor) times the prior of their file: all sketches
// are scanned, the most promising `rescored` chunks are scored exactly. `candidates` is scratch.
void scan_vectors(const IndexView& view, const VectorQuery& query, float floor, const Priors& priors, size_t rescored,
                  Filter& filter, Best& candidates, Best& best);

// How many candidates to rescore for recall@10 >= 0.99 against exact float: measured, see benchmarks/README.md.
size_t rescored_for(uint64_t chunk_count);

}  // namespace flyweight::search

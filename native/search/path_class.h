#pragma once

#include <array>
#include <string_view>

#include "search/index_view.h"

namespace flyweight::search {

// What a path says its file is: a set of bits, kept in the index for every chunk. How much each counts is policy and
// not in the index: see ranking.cpp.
using FileClass = uint8_t;
enum PathClass : FileClass {
    kTest = 1,
    kExample = 2,
    kVendored = 4,  // third-party or generated
    kLegacy = 8,    // compatibility layers
    kProse = 16,
    kData = 32,         // configuration and tables
    kDeclaration = 64,  // .d.ts
};
constexpr size_t kPathClasses = 7;

FileClass classify(std::string_view path);

// What a query makes of each class: a factor on the scores of its files. A factor is never above 1.
class Priors {
  public:
    Priors() { by_class_.fill(1.0F); }
    // `factors` in the order of the bits; `lifted` are the classes the query asks for.
    Priors(const std::array<float, kPathClasses>& factors, FileClass lifted);

    float of(FileClass file_class) const { return by_class_[file_class & (by_class_.size() - 1)]; }
    float of(const IndexView& view, ChunkRef ref) const {
        return of(view.segments[ref.segment].segment->classes()[ref.chunk]);
    }

  private:
    std::array<float, size_t{1} << kPathClasses> by_class_;
};

}  // namespace flyweight::search

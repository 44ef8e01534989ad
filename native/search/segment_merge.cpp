#include "search/segment_merge.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <queue>

#include "search/errors.h"
#include "search/postings.h"
#include "search/segment_output.h"
#include "search/sketch.h"

namespace flyweight::search {

namespace {

using format::Section;

// Input pages touched before they are given back. Larger saves nothing: the pages are read once.
constexpr uint64_t kReleaseBytes = 2 * 1024 * 1024;

// Old numbers to new ones where some are dead: a bit each, and a running count per 64.
class Renumbering {
  public:
    Renumbering(uint32_t count, uint32_t first_new)
        : bits_((count + 63) / 64, 0), ranks_(bits_.size()), next_(first_new) {}

    void keep(uint32_t index) { bits_[index / 64] |= uint64_t{1} << (index % 64); }
    void seal() {
        for (size_t word = 0; word < bits_.size(); ++word) {
            ranks_[word] = next_;
            next_ += static_cast<uint32_t>(std::popcount(bits_[word]));
        }
    }
    bool alive(uint32_t index) const { return (bits_[index / 64] >> (index % 64) & 1) != 0; }
    uint32_t operator[](uint32_t index) const {
        const uint64_t before = bits_[index / 64] & ((uint64_t{1} << (index % 64)) - 1);
        return ranks_[index / 64] + static_cast<uint32_t>(std::popcount(before));
    }
    uint32_t end() const { return next_; }

  private:
    std::vector<uint64_t> bits_;
    std::vector<uint32_t> ranks_;
    uint32_t next_;
};

struct Source {
    const Segment& segment;
    Renumbering files;
    Renumbering chunks;
    std::vector<uint16_t> names;  // old number to new
};

class Merge {
  public:
    Merge(const std::vector<MergeInput>& inputs, const std::string& path)
        : directory_(path.substr(0, path.rfind('/'))), output_(path, SegmentOutput::kLargeBuffer) {
        uint32_t files = 0;
        uint32_t chunks = 0;
        for (const MergeInput& input : inputs) {
            add_source(input, files, chunks);
            files = sources_.back().files.end();
            chunks = sources_.back().chunks.end();
        }
        result_.file_count = files;
        result_.chunk_count = chunks;
    }

    MergeResult run(const std::string& meta) {
        write_text();
        output_.begin(Section::kMeta);
        output_.write(meta);
        output_.begin(Section::kNames);
        for (const std::string& name : names_) output_.write(std::string_view(name.c_str(), name.size() + 1));
        write_files();
        write_file_order();
        write_chunks();
        write_vectors();
        write_sketch();
        write_lengths();
        output_.begin(Section::kClasses);
        each_chunk([this](const Source& source, uint32_t chunk) { copy(source.segment.classes() + chunk, 1); });
        format::Header header{};
        header.term_count = write_postings();
        header.dimensions = sources_.front().segment.dimensions();
        header.chunk_count = result_.chunk_count;
        header.file_count = result_.file_count;
        header.total_terms = total_terms_;
        header.name_count = static_cast<uint32_t>(names_.size());
        result_.size_bytes = output_.finish(header);
        return result_;
    }

  private:
    void add_source(const MergeInput& input, uint32_t first_file, uint32_t first_chunk) {
        const Segment& segment = *input.segment;
        Source source{segment,
                      Renumbering(segment.file_count(), first_file),
                      Renumbering(segment.chunk_count(), first_chunk),
                      {}};
        for (uint32_t file = 0; file < segment.file_count(); ++file) {
            touched(sizeof(format::FileRecord));
            if (file < input.dead_files.size() && input.dead_files[file]) continue;
            source.files.keep(file);
            const format::FileRecord& record = segment.file(file);
            for (uint32_t i = 0; i < record.chunk_count; ++i) source.chunks.keep(record.first_chunk + i);
        }
        source.files.seal();
        source.chunks.seal();
        for (const std::string& name : segment.names()) {
            const auto found = std::find(names_.begin(), names_.end(), name);
            source.names.push_back(static_cast<uint16_t>(found - names_.begin()));
            if (found == names_.end()) names_.push_back(name);
        }
        segment.release();
        sources_.push_back(std::move(source));
    }

    void touched(uint64_t bytes) {
        touched_ += bytes;
        if (touched_ < kReleaseBytes) return;
        for (const Source& source : sources_) source.segment.release();
        touched_ = 0;
    }

    void copy(const void* bytes, uint64_t length) {
        const auto* begin = static_cast<const uint8_t*>(bytes);
        while (length > 0) {
            const uint64_t piece = std::min<uint64_t>(length, kReleaseBytes / 4);
            output_.write(begin, piece);
            touched(piece);
            begin += piece;
            length -= piece;
        }
    }

    template <typename Visit>
    void each_file(Visit&& visit) {
        for (const Source& source : sources_) {
            for (uint32_t file = 0; file < source.segment.file_count(); ++file) {
                if (source.files.alive(file)) visit(source, file);
            }
        }
    }

    template <typename Visit>
    void each_chunk(Visit&& visit) {
        for (const Source& source : sources_) {
            for (uint32_t chunk = 0; chunk < source.segment.chunk_count(); ++chunk) {
                if (source.chunks.alive(chunk)) visit(source, chunk);
            }
        }
    }

    void write_text() {
        output_.begin(Section::kText);
        each_file([this](const Source& source, uint32_t file) {
            const format::FileRecord& record = source.segment.file(file);
            if (record.flags & format::kFileSkipped) return;
            const std::string_view text = source.segment.file_text(file);
            copy(text.data(), text.size());
        });
    }

    void write_files() {
        output_.begin(Section::kFiles);
        uint64_t path_offset = 0;
        uint64_t text_offset = 0;
        uint32_t first_chunk = 0;
        each_file([&](const Source& source, uint32_t file) {
            format::FileRecord record = source.segment.file(file);
            record.path_offset = path_offset;
            record.first_chunk = first_chunk;
            record.text_offset = text_offset;
            record.name = source.names[record.name];
            path_offset += record.path_length;
            first_chunk += record.chunk_count;
            if ((record.flags & format::kFileSkipped) == 0) text_offset += record.size_bytes;
            output_.write_record(record);
            touched(sizeof record);
        });
        output_.begin(Section::kPaths);
        each_file([this](const Source& source, uint32_t file) {
            const std::string_view path = source.segment.file_path(file);
            copy(path.data(), path.size());
        });
    }

    void write_file_order() {
        output_.begin(Section::kFileOrder);
        struct Head {
            const Source* source;
            uint32_t position;
            std::string_view path;
            bool operator<(const Head& other) const { return path > other.path; }  // smallest on top
        };
        std::priority_queue<Head> heads;
        const auto push_next = [&](const Source* source, uint32_t position) {
            for (; position < source->segment.file_count(); ++position) {
                const uint32_t file = source->segment.file_in_order(position);
                if (!source->files.alive(file)) continue;
                heads.push({source, position, source->segment.file_path(file)});
                return;
            }
        };
        for (const Source& source : sources_) push_next(&source, 0);
        while (!heads.empty()) {
            const Head head = heads.top();
            heads.pop();
            output_.write_record(head.source->files[head.source->segment.file_in_order(head.position)]);
            touched(head.path.size() + sizeof(uint32_t) + sizeof(format::FileRecord));
            push_next(head.source, head.position + 1);
        }
    }

    void write_chunks() {
        output_.begin(Section::kChunks);
        uint64_t symbol_offset = 0;
        each_chunk([&](const Source& source, uint32_t chunk) {
            format::ChunkRecord record = source.segment.chunk(chunk);
            record.file = source.files[record.file];
            record.symbol_offset = static_cast<uint32_t>(symbol_offset);
            record.kind = source.names[record.kind];
            symbol_offset += record.symbol_length;
            output_.write_record(record);
            touched(sizeof record);
        });
        if (symbol_offset > UINT32_MAX) throw WriteError("too many symbols for one segment");
        output_.begin(Section::kSymbols);
        each_chunk([this](const Source& source, uint32_t chunk) {
            const std::string_view symbols = source.segment.symbols(chunk);
            copy(symbols.data(), symbols.size());
        });
    }

    void write_vectors() {
        const size_t dimensions = sources_.front().segment.dimensions();
        output_.begin(Section::kVectors);
        std::vector<double> sum(dimensions);
        each_chunk([&](const Source& source, uint32_t chunk) {
            const int8_t* vector = source.segment.vector(chunk);
            const double scale = source.segment.scale(chunk);
            for (size_t i = 0; i < dimensions; ++i) sum[i] += scale * vector[i];
            copy(vector, dimensions);
        });
        output_.begin(Section::kVectorSum);
        for (const double component : sum) output_.write_record(static_cast<float>(component));
        output_.begin(Section::kScales);
        each_chunk([this](const Source& source, uint32_t chunk) {
            const float scale = source.segment.scale(chunk);
            copy(&scale, sizeof scale);
        });
    }

    void write_sketch() {
        const size_t rows = sources_.front().segment.dimensions() / 4;
        std::vector<uint8_t> block(rows * 32, 0);
        uint32_t filled = 0;
        output_.begin(Section::kSketch);
        each_chunk([&](const Source& source, uint32_t chunk) {
            const uint8_t* from = source.segment.sketch_block(chunk / format::kSketchBlock) + chunk % 32;
            const int from_shift = chunk % format::kSketchBlock < 32 ? 0 : 4;
            uint8_t* to = block.data() + filled % 32;
            const int to_shift = filled < 32 ? 0 : 4;
            for (size_t row = 0; row < rows; ++row) {
                to[row * 32] = static_cast<uint8_t>(to[row * 32] | (from[row * 32] >> from_shift & 15) << to_shift);
            }
            touched(rows / 2);
            if (++filled < format::kSketchBlock) return;
            output_.write(block.data(), block.size());
            std::fill(block.begin(), block.end(), uint8_t{0});
            filled = 0;
        });
        if (filled > 0) output_.write(block.data(), block.size());
        output_.begin(Section::kSketchScales);
        each_chunk([this](const Source& source, uint32_t chunk) {
            copy(source.segment.sketch_scales() + chunk, sizeof(float));
        });
    }

    void write_lengths() {
        output_.begin(Section::kLengths);
        for (const Source& source : sources_) {
            const bool whole =
                source.chunks.end() - (source.segment.chunk_count() == 0 ? source.chunks.end() : source.chunks[0]) ==
                source.segment.chunk_count();
            // Where chunks died only their coded lengths are left to subtract; the average hardly notices.
            double living = 0.0;
            for (uint32_t chunk = 0; chunk < source.segment.chunk_count(); ++chunk) {
                if (!source.chunks.alive(chunk)) continue;
                living += decode_length(source.segment.lengths()[chunk]);
                copy(source.segment.lengths() + chunk, 1);
            }
            total_terms_ += whole ? source.segment.total_terms() : static_cast<uint64_t>(std::llround(living));
        }
    }

    uint64_t write_postings() {
        output_.begin(Section::kPostings);
        LexiconOutput lexicon(output_, directory_);
        std::vector<LexiconReader> readers;
        for (const Source& source : sources_) readers.emplace_back(source.segment);
        // Ordered by term, then by source, so that chunk numbers of a term come out ascending.
        const auto after = [&](size_t a, size_t b) {
            const int order = readers[a].term().compare(readers[b].term());
            return order != 0 ? order > 0 : a > b;
        };
        std::priority_queue<size_t, std::vector<size_t>, decltype(after)> heads(after);
        for (size_t i = 0; i < readers.size(); ++i) {
            if (readers[i].next()) heads.push(i);
        }
        std::string term;
        std::vector<uint8_t> encoded;
        PostingsEncoder encoder;
        while (!heads.empty()) {
            term.assign(readers[heads.top()].term());
            encoded.clear();
            while (!heads.empty() && readers[heads.top()].term() == term) {
                const size_t reader = heads.top();
                heads.pop();
                append_living(sources_[reader], readers[reader].postings(), encoder, encoded);
                if (readers[reader].next()) heads.push(reader);
            }
            const uint32_t count = encoder.finish(encoded);
            if (count > 0) lexicon.add(term, count, encoded);
        }
        return lexicon.finish();
    }

    void append_living(const Source& source, const TermPostings& postings, PostingsEncoder& encoder,
                       std::vector<uint8_t>& encoded) {
        PostingsCursor cursor(postings.data, postings.length, postings.count);
        while (cursor.next_block()) {
            for (uint32_t i = 0; i < cursor.size(); ++i) {
                const uint32_t chunk = cursor.chunks()[i];
                if (!source.chunks.alive(chunk)) continue;
                encoder.append(source.chunks[chunk], cursor.frequencies()[i], encoded);
            }
        }
        touched(postings.length + 16);
    }

    std::string directory_;
    SegmentOutput output_;
    std::vector<Source> sources_;
    std::vector<std::string> names_;
    uint64_t touched_ = 0;
    uint64_t total_terms_ = 0;
    MergeResult result_;
};

}  // namespace

MergeResult merge_segments(const std::vector<MergeInput>& inputs, const std::string& path, const std::string& meta) {
    if (inputs.empty()) throw FormatError("nothing to merge");
    for (const MergeInput& input : inputs) {
        if (input.segment->dimensions() != inputs.front().segment->dimensions()) {
            throw FormatError("segments of different dimensions cannot be merged");
        }
    }
    return Merge(inputs, path).run(meta);
}

}  // namespace flyweight::search

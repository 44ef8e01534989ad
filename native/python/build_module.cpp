// flyweight._build: what the builder and the doctor need of the native core.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "python/conversions.h"
#include "python/error_translation.h"
#include "search/chunk_fields.h"
#include "search/index_view.h"
#include "search/segment.h"
#include "search/segment_builder.h"
#include "search/segment_merge.h"
#include "search/sketch.h"
#include "search/terms.h"

namespace nb = nanobind;

namespace flyweight::search {
namespace {

using python::bytes_object;
using python::bytes_of;
using python::path_object;
using python::text_object;

std::array<uint8_t, 16> hash_of(const nb::bytes& digest) {
    std::array<uint8_t, 16> hash{};
    if (digest.size() != hash.size()) throw nb::value_error("a content hash has 16 bytes");
    std::memcpy(hash.data(), digest.c_str(), hash.size());
    return hash;
}

// What Python hands over for a chunk: its Chunk object, read by attribute.
struct OwnedChunk {
    ChunkInput input{};
    std::string symbol;
    std::string scope;
    std::string defined;
    std::string kind;
};

OwnedChunk chunk_of(nb::handle chunk) {
    OwnedChunk owned;
    owned.input.start_byte = nb::cast<uint32_t>(chunk.attr("start_byte"));
    owned.input.end_byte = nb::cast<uint32_t>(chunk.attr("end_byte"));
    owned.input.start_line = nb::cast<uint32_t>(chunk.attr("start_line"));
    owned.input.end_line = nb::cast<uint32_t>(chunk.attr("end_line"));
    owned.symbol = bytes_of(chunk.attr("symbol"));
    owned.scope = bytes_of(chunk.attr("scope"));
    owned.kind = bytes_of(chunk.attr("kind"));
    for (nb::handle name : chunk.attr("symbols")) {
        if (!owned.defined.empty()) owned.defined.push_back('\0');
        owned.defined += bytes_of(name);
    }
    return owned;
}

void add_file(SegmentBuilder& builder, const nb::object& path, const std::string& language, const nb::bytes& digest,
              int64_t mtime_ns, const nb::bytes& text, const nb::list& chunks, const nb::bytes& vectors) {
    std::vector<OwnedChunk> owned;
    owned.reserve(chunks.size());
    for (nb::handle chunk : chunks) owned.push_back(chunk_of(chunk));
    std::vector<ChunkInput> inputs;
    inputs.reserve(owned.size());
    for (OwnedChunk& chunk : owned) {
        ChunkInput input = chunk.input;
        if (input.end_byte < input.start_byte || input.end_byte > text.size()) {
            throw nb::value_error("a chunk lies outside its file");
        }
        input.symbol = chunk.symbol;
        input.scope = chunk.scope;
        input.defined = chunk.defined;
        input.kind = chunk.kind;
        inputs.push_back(input);
    }
    if (vectors.size() != inputs.size() * builder.dimensions() * sizeof(float)) {
        throw nb::value_error("vectors must hold one float32 vector per chunk");
    }
    const std::string path_bytes = bytes_of(path);
    const FileInput file{path_bytes, language, hash_of(digest), text.size(), mtime_ns};
    const std::string_view bytes(text.c_str(), text.size());
    const auto* floats = static_cast<const float*>(vectors.data());
    nb::gil_scoped_release unlocked;
    builder.add_file(file, bytes, inputs, floats);
}

void add_skipped(SegmentBuilder& builder, const nb::object& path, const std::string& reason, const nb::bytes& digest,
                 uint64_t size_bytes, int64_t mtime_ns) {
    const std::string path_bytes = bytes_of(path);
    builder.add_skipped({path_bytes, reason, hash_of(digest), size_bytes, mtime_ns});
}

using PathAndDead = std::pair<nb::object, std::string>;  // path of a segment, its dead files

nb::tuple merge(const std::vector<PathAndDead>& inputs, const nb::object& path, const nb::bytes& meta) {
    const std::string meta_text(meta.c_str(), meta.size());
    const std::string path_bytes = bytes_of(path);
    std::vector<std::pair<std::string, std::string>> sources;
    for (const auto& [segment_path, dead] : inputs) sources.emplace_back(bytes_of(segment_path), dead);
    MergeResult result;
    {
        nb::gil_scoped_release unlocked;
        std::vector<MergeInput> opened;
        for (const auto& [segment_path, dead] : sources) {
            MergeInput input;
            input.segment = Segment::open(segment_path, true, MappedFile::Use::kStream);
            input.dead_files = parse_dead_files(dead, input.segment->file_count());
            opened.push_back(std::move(input));
        }
        result = merge_segments(opened, path_bytes, meta_text);
    }
    return nb::make_tuple(result.size_bytes, result.file_count, result.chunk_count);
}

void check_file(const Segment& segment, uint32_t index) {
    if (index >= segment.file_count()) throw nb::index_error("the segment has fewer files");
}

void check_chunk(const Segment& segment, uint32_t index) {
    if (index >= segment.chunk_count()) throw nb::index_error("the segment has fewer chunks");
}

nb::tuple file_tuple(const Segment& segment, uint32_t index) {
    check_file(segment, index);
    const format::FileRecord& record = segment.file(index);
    const bool skipped = (record.flags & format::kFileSkipped) != 0;
    const std::string_view hash(reinterpret_cast<const char*>(record.content_hash.data()), record.content_hash.size());
    return nb::make_tuple(path_object(segment.file_path(index)), text_object(segment.file_name(index)),
                          bytes_object(hash), record.size_bytes, record.mtime_ns, record.chunk_count, skipped);
}

nb::tuple chunk_tuple(const Segment& segment, uint32_t index) {
    check_chunk(segment, index);
    const format::ChunkRecord& record = segment.chunk(index);
    std::string_view fields[3];  // symbol, scope, all that is defined
    std::string_view rest = segment.symbols(index);
    for (std::string_view& field : fields) {
        const size_t end = &field == &fields[2] ? rest.size() : std::min(rest.find('\0'), rest.size());
        field = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return nb::make_tuple(record.file, record.start_line, record.end_line, record.text_start,
                          record.text_start + record.text_length, text_object(fields[0]), text_object(fields[1]),
                          bytes_object(fields[2]), text_object(segment.names()[record.kind]));
}

nb::bytes chunk_vector(const Segment& segment, uint32_t index) {
    check_chunk(segment, index);
    const size_t dimensions = segment.dimensions();
    std::vector<float> stored(dimensions);
    std::vector<float> vector(dimensions);
    for (size_t i = 0; i < dimensions; ++i) stored[i] = static_cast<float>(segment.vector(index)[i]);
    rotate_back(stored.data(), dimensions, vector.data());
    // Rounding to int8 has changed the length a little.
    const float length = std::sqrt(std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0F));
    for (float& component : vector) component = length > 0.0F ? component / length : 0.0F;
    return nb::bytes(reinterpret_cast<const char*>(vector.data()), dimensions * sizeof(float));
}

nb::bytes file_text(const Segment& segment, uint32_t index) {
    check_file(segment, index);
    const bool skipped = (segment.file(index).flags & format::kFileSkipped) != 0;
    return bytes_object(skipped ? std::string_view() : segment.file_text(index));
}

nb::object chunk_terms_of(const nb::object& path, const nb::object& text, const nb::object& symbol,
                          const nb::object& scope, const nb::object& defined) {
    const std::string path_bytes = bytes_of(path);
    const std::string text_bytes = bytes_of(text);
    const std::string symbol_bytes = bytes_of(symbol);
    const std::string scope_bytes = bytes_of(scope);
    const std::string defined_bytes = bytes_of(defined);
    return text_object(chunk_terms(text_bytes, {path_bytes, symbol_bytes, scope_bytes, defined_bytes}));
}

nb::list terms_of(const nb::object& text) {
    nb::list terms;
    TermSplitter splitter;
    const std::string bytes = bytes_of(text);
    splitter.split(bytes, [&](std::string_view term) { terms.append(text_object(term)); });
    return terms;
}

}  // namespace
}  // namespace flyweight::search

NB_MODULE(_build, module) {
    using namespace flyweight::search;
    flyweight::python::translate_errors();

    nb::class_<SegmentBuilder>(module, "SegmentBuilder")
        .def(
            "__init__",
            [](SegmentBuilder* self, const nb::object& path, uint32_t dimensions, const nb::bytes& meta) {
                if (!has_sketches(dimensions)) throw nb::value_error("dimensions are a multiple of 8 up to 4096");
                new (self) SegmentBuilder(bytes_of(path), dimensions, std::string(meta.c_str(), meta.size()));
            },
            nb::arg("path"), nb::arg("dimensions"), nb::arg("meta"))
        .def("add_file", &add_file, nb::arg("path"), nb::arg("language"), nb::arg("content_hash"), nb::arg("mtime_ns"),
             nb::arg("text"), nb::arg("chunks"), nb::arg("vectors"))
        .def("add_skipped", &add_skipped, nb::arg("path"), nb::arg("reason"), nb::arg("content_hash"),
             nb::arg("size_bytes"), nb::arg("mtime_ns"))
        .def_prop_ro("file_count", &SegmentBuilder::file_count)
        .def_prop_ro("chunk_count", &SegmentBuilder::chunk_count)
        .def_prop_ro("buffered_bytes", &SegmentBuilder::buffered_bytes)
        .def("finish", &SegmentBuilder::finish, nb::call_guard<nb::gil_scoped_release>());

    nb::class_<Segment>(module, "Segment")
        .def_static(
            "open",
            [](const nb::object& path, bool verify) {
                const std::string path_bytes = bytes_of(path);
                nb::gil_scoped_release unlocked;
                return std::const_pointer_cast<Segment>(Segment::open(path_bytes, verify, MappedFile::Use::kStream));
            },
            nb::arg("path"), nb::arg("verify") = true)
        .def_prop_ro("file_count", &Segment::file_count)
        .def_prop_ro("chunk_count", &Segment::chunk_count)
        .def_prop_ro("term_count", &Segment::term_count)
        .def_prop_ro("dimensions", &Segment::dimensions)
        .def_prop_ro("size_bytes", &Segment::size_bytes)
        .def_prop_ro("meta", [](const Segment& self) { return bytes_object(self.meta()); })
        .def("file", &file_tuple, nb::arg("index"))
        .def("find_file", [](const Segment& self, const nb::object& path) { return self.find_file(bytes_of(path)); })
        .def("text",
             [](const Segment& self, uint32_t chunk) {
                 check_chunk(self, chunk);
                 return bytes_object(self.text(chunk));
             })
        .def("chunk", &chunk_tuple, nb::arg("index"))
        .def("vector", &chunk_vector, nb::arg("chunk"))
        .def("file_text", &file_text, nb::arg("index"))
        .def("text_intact", [](const Segment& self) { return self.section_intact(format::Section::kText); })
        .def("release", [](const Segment& self) { self.release(); });

    module.def("merge_segments", &merge, nb::arg("inputs"), nb::arg("path"), nb::arg("meta"));
    module.def("chunk_terms", &chunk_terms_of, nb::arg("path"), nb::arg("text"), nb::arg("symbol"), nb::arg("scope"),
               nb::arg("defined"));
    module.def("terms", &terms_of, nb::arg("text"));
}

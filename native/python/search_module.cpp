// flyweight._search: what the resident needs of the native core, and nothing else.

#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <malloc.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "python/conversions.h"
#include "python/error_translation.h"
#include "search/crc32c.h"
#include "search/given_rows.h"
#include "search/glob.h"
#include "search/query.h"
#include "search/query_cache.h"
#include "search/static_model.h"

namespace nb = nanobind;

namespace flyweight::search {
namespace {

using python::bytes_of;
using python::path_object;
using python::text_object;

using Pieces = std::vector<std::string>;
using Stamp = std::tuple<int64_t, uint64_t, uint64_t>;  // of the manifest: mtime_ns, inode, size

double monotonic_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::vector<float> floats_of(const nb::bytes& bytes) {
    if (bytes.size() % sizeof(float) != 0) throw nb::value_error("a vector is float32 bytes");
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.c_str(), bytes.size());
    return values;
}

nb::object hit_text(const Hit& hit) {
    nb::object text = text_object(hit.segment->text(hit.chunk));
    hit.segment->release();
    return text;
}

// The index a resident has open, with its query cache. All members run with the GIL held except the query itself, so
// nothing here needs a lock, and a fork, which also needs the GIL, finds everything whole.
class Searcher {
  public:
    Searcher(const nb::object& model_path, size_t cache_entries, size_t hits_per_entry, double ttl_s)
        : cache_(cache_entries, hits_per_entry, ttl_s) {
        if (!model_path.is_none()) model_ = StaticModel::open(bytes_of(model_path));
    }

    // Opens the segments and makes them what searches see. `stamp` says which manifest they are from; it is kept with
    // the view in one step, so that threads that load at the same time can at worst load once more.
    void load(const Stamp& stamp, const std::vector<std::pair<nb::object, std::string>>& segments) {
        auto view = std::make_shared<IndexView>();
        // Counted here and not taken from the manifest: an index that was deleted and made again starts over.
        view->generation = ++loads_;
        for (const auto& [path_given, dead] : segments) {
            const std::string path = bytes_of(path_given);
            SegmentView part;
            // A segment that stays is not opened, and so not checked, again.
            const std::shared_ptr<const IndexView> current = view_;
            for (const SegmentView& known : current->segments) {
                if (known.segment->path() == path) part.segment = known.segment;
            }
            if (!part.segment) {
                nb::gil_scoped_release unlocked;
                part.segment = Segment::open(path);
            }
            part.dead_files = parse_dead_files(dead, part.segment->file_count());
            if (!view->segments.empty() && part.segment->dimensions() != view->segments.front().segment->dimensions()) {
                throw FormatError("segment " + path + " has another number of dimensions than the rest of the index");
            }
            view->segments.push_back(std::move(part));
        }
        view->seal();
        view_ = std::move(view);
        stamp_ = stamp;
    }

    bool is_current(const Stamp& stamp) const { return stamp_ == stamp; }

    void unload() {
        view_ = std::make_shared<IndexView>();
        stamp_ = {};
        cache_.clear();
    }

    // The hits that are kept for this request, or None. For those who would first have to fetch a vector.
    nb::object find_cached(const nb::object& query, size_t limit, double min_score, Pieces languages, Pieces include,
                           Pieces exclude) {
        const QueryRequest request =
            request_of(query, limit, min_score, std::move(languages), std::move(include), std::move(exclude));
        std::vector<Hit> hits;
        const std::shared_ptr<const IndexView> view = view_;
        if (!cache_.find(key_of(request), *view, monotonic_seconds(), hits)) return nb::none();
        return nb::cast(std::move(hits));
    }

    // Returns (hits, from cache). With a vector the cache is not asked again, only written.
    std::pair<std::vector<Hit>, bool> search(const nb::object& query, size_t limit, double min_score, Pieces languages,
                                             Pieces include, Pieces exclude, const nb::object& vector, bool use_cache) {
        QueryRequest request =
            request_of(query, limit, min_score, std::move(languages), std::move(include), std::move(exclude));
        const std::shared_ptr<const IndexView> view = view_;
        const std::string key = use_cache ? key_of(request) : std::string();
        std::pair<std::vector<Hit>, bool> answer;
        answer.second = use_cache && vector.is_none() && cache_.find(key, *view, monotonic_seconds(), answer.first);
        if (answer.second) return answer;
        if (!vector.is_none()) request.vector = floats_of(nb::cast<nb::bytes>(vector));
        if (!request.vector.empty()) check_dimensions(request.vector, *view);
        std::unique_ptr<QueryPipeline> pipeline = take_pipeline();
        {
            nb::gil_scoped_release unlocked;
            answer.first = pipeline->run(*view, model_.get(), request);
        }
        give_back(std::move(pipeline));
        if (use_cache) cache_.store(key, *view, monotonic_seconds(), answer.first);
        return answer;
    }

    std::vector<std::tuple<uint32_t, uint32_t, float>> vector_scan(const nb::bytes& vector, size_t limit) {
        const std::vector<float> values = floats_of(vector);
        const std::shared_ptr<const IndexView> view = view_;
        check_dimensions(values, *view);
        std::unique_ptr<QueryPipeline> pipeline = take_pipeline();
        std::vector<std::tuple<uint32_t, uint32_t, float>> found;
        {
            nb::gil_scoped_release unlocked;
            for (const Scored& scored : pipeline->scan(*view, values, limit)) {
                found.emplace_back(scored.ref.segment, scored.ref.chunk, scored.score);
            }
        }
        give_back(std::move(pipeline));
        return found;
    }

    // Gives back what the next queries can do without or have made again: cached results, scratch, mapped pages, and
    // what malloc keeps. Queries that run meanwhile in other threads are not disturbed.
    void trim() {
        idle_.clear();
        cache_.give_back();
        const std::shared_ptr<const IndexView> view = view_;
        nb::gil_scoped_release unlocked;
        view->release();
        if (model_) model_->release();
#ifdef __GLIBC__
        ::malloc_trim(0);
#endif
    }

    // Where the query cache's pool lies: (address, bytes).
    std::pair<uintptr_t, size_t> cache_pool() const {
        return {reinterpret_cast<uintptr_t>(cache_.pool()), cache_.stored_bytes()};
    }

    uint64_t chunk_count() const { return view_->chunk_count(); }
    const StaticModel* model() const { return model_.get(); }
    QueryCache& cache() { return cache_; }
    std::shared_ptr<const IndexView> view() const { return view_; }

  private:
    static void check_dimensions(const std::vector<float>& vector, const IndexView& view) {
        if (!view.segments.empty() && vector.size() != view.segments.front().segment->dimensions()) {
            throw nb::value_error("the query vector has another number of dimensions than the index");
        }
    }

    static QueryRequest request_of(const nb::object& query, size_t limit, double min_score, Pieces languages,
                                   Pieces include, Pieces exclude) {
        QueryRequest request;
        request.text = bytes_of(query);
        request.limit = limit;
        request.min_score = static_cast<float>(min_score);
        request.filter = {std::move(languages), std::move(include), std::move(exclude)};
        return request;
    }

    static std::string key_of(const QueryRequest& request) {
        std::string key = request.text;
        const auto field = [&key](char tag, std::string_view value) {
            key.push_back('\0');
            key.push_back(tag);
            key.append(value);
        };
        field('k', std::to_string(request.limit));
        field('m', std::string_view(reinterpret_cast<const char*>(&request.min_score), sizeof request.min_score));
        for (const std::string& language : request.filter.languages) field('l', language);
        for (const std::string& glob : request.filter.include) field('i', glob);
        for (const std::string& glob : request.filter.exclude) field('x', glob);
        return key;
    }

    std::unique_ptr<QueryPipeline> take_pipeline() {
        if (idle_.empty()) return std::make_unique<QueryPipeline>();
        std::unique_ptr<QueryPipeline> pipeline = std::move(idle_.back());
        idle_.pop_back();
        return pipeline;
    }
    void give_back(std::unique_ptr<QueryPipeline> pipeline) {
        // A burst of threads must not leave its scratch behind for good.
        if (idle_.size() < 2) idle_.push_back(std::move(pipeline));
    }

    std::shared_ptr<const StaticModel> model_;
    std::shared_ptr<const IndexView> view_ = std::make_shared<IndexView>();
    Stamp stamp_{};
    uint64_t loads_ = 0;
    QueryCache cache_;
    std::vector<std::unique_ptr<QueryPipeline>> idle_;
};

nb::dict hit_as_dict(const Hit& hit) {
    nb::dict fields;
    fields["path"] = path_object(hit.path());
    fields["start_line"] = hit.start_line;
    fields["end_line"] = hit.end_line;
    fields["language"] = text_object(hit.language());
    fields["kind"] = text_object(hit.kind());
    fields["symbol"] = text_object(hit.symbol());
    fields["scope"] = text_object(hit.scope());
    fields["score"] = hit.score;
    fields["text"] = hit_text(hit);
    return fields;
}

std::string hit_repr(const Hit& hit) {
    char score[32];
    std::snprintf(score, sizeof score, "%.3f", static_cast<double>(hit.score));
    return "<SearchHit " + std::string(hit.path()) + ":" + std::to_string(hit.start_line) + "-" +
           std::to_string(hit.end_line) + (hit.symbol_length > 0 ? " " + std::string(hit.symbol()) : "") +
           " score=" + score + ">";
}

void bind_hit(nb::module_& module) {
    nb::class_<Hit>(module, "SearchHit")
        .def_prop_ro("path", [](const Hit& hit) { return path_object(hit.path()); })
        .def_ro("start_line", &Hit::start_line)
        .def_ro("end_line", &Hit::end_line)
        .def_ro("score", &Hit::score)
        .def_prop_ro("language", [](const Hit& hit) { return text_object(hit.language()); })
        .def_prop_ro("kind", [](const Hit& hit) { return text_object(hit.kind()); })
        .def_prop_ro("symbol", [](const Hit& hit) { return text_object(hit.symbol()); })
        .def_prop_ro("scope", [](const Hit& hit) { return text_object(hit.scope()); })
        .def_prop_ro("text", &hit_text)
        .def("as_dict", &hit_as_dict)
        .def("__repr__", [](const Hit& hit) { return text_object(hit_repr(hit)); });
}

void check_dimensions(const StaticModel& model, uint32_t dimensions) {
    if (dimensions == 0 || dimensions > model.dimensions()) throw nb::value_error("the model has fewer dimensions");
}

void bind_model(nb::module_& module) {
    nb::class_<StaticModel>(module, "StaticModel")
        .def(nb::new_([](const nb::object& path) {
                 return std::const_pointer_cast<StaticModel>(StaticModel::open(bytes_of(path)));
             }),
             nb::arg("path"))
        .def_prop_ro("dimensions", &StaticModel::dimensions)
        .def_prop_ro("id", [](const StaticModel& self) { return text_object(self.id()); })
        .def("tokenize", [](const StaticModel& self, const nb::object& text) { return self.tokenize(bytes_of(text)); })
        .def("token", [](const StaticModel& self, uint32_t id) { return text_object(self.token(id)); })
        .def(
            "embed",
            [](const StaticModel& self, const nb::object& text, uint32_t dimensions) {
                check_dimensions(self, dimensions);
                const std::string bytes = bytes_of(text);
                std::vector<float> vector(dimensions);
                {
                    nb::gil_scoped_release unlocked;
                    self.embed(bytes, dimensions, vector.data());
                }
                return nb::bytes(reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float));
            },
            nb::arg("text"), nb::arg("dims") = 256)
        .def(
            "embed_once",
            [](const StaticModel& self, const nb::object& text, uint32_t dimensions) {
                check_dimensions(self, dimensions);
                std::vector<float> vector(dimensions);
                self.embed_once(std::string_view(bytes_of(text)).substr(0, kMaxQueryBytes), dimensions, vector.data());
                return nb::bytes(reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float));
            },
            nb::arg("text"), nb::arg("dims"));
}

void bind_searcher(nb::module_& module) {
    nb::class_<Searcher>(module, "Searcher")
        .def(nb::init<const nb::object&, size_t, size_t, double>(), nb::arg("model_path").none(),
             nb::arg("cache_entries"), nb::arg("hits_per_entry"), nb::arg("ttl_s"))
        .def("load", &Searcher::load, nb::arg("stamp"), nb::arg("segments"))
        .def("is_current", &Searcher::is_current, nb::arg("stamp"))
        .def("unload", &Searcher::unload)
        .def("search", &Searcher::search, nb::arg("query"), nb::arg("limit"), nb::arg("min_score"),
             nb::arg("languages"), nb::arg("include"), nb::arg("exclude"), nb::arg("vector").none(),
             nb::arg("use_cache"))
        .def("find_cached", &Searcher::find_cached, nb::arg("query"), nb::arg("limit"), nb::arg("min_score"),
             nb::arg("languages"), nb::arg("include"), nb::arg("exclude"))
        .def("vector_scan", &Searcher::vector_scan, nb::arg("vector"), nb::arg("limit"))
        .def_prop_ro("model_id",
                     [](const Searcher& self) { return text_object(self.model() ? self.model()->id() : ""); })
        .def_prop_ro("chunk_count", &Searcher::chunk_count)
        .def("clear_cache", [](Searcher& self) { self.cache().clear(); })
        .def("cache_pool", &Searcher::cache_pool)
        .def("trim", &Searcher::trim)
        .def("cache_counters", [](Searcher& self) {
            const CacheCounters& counters = self.cache().counters();
            nb::dict fields;
            fields["hits"] = counters.hits;
            fields["misses"] = counters.misses;
            fields["evictions"] = counters.evictions;
            fields["expired"] = counters.expired;
            fields["entries"] = self.cache().size();
            fields["capacity"] = self.cache().capacity();
            fields["pool_bytes"] = self.cache().pool_bytes();
            return fields;
        });
}

nb::list text_list(const std::vector<std::string>& texts) {
    nb::list list;
    for (const std::string& text : texts) list.append(text_object(text));
    return list;
}

const char* form_name(QueryForm form) {
    switch (form) {
        case QueryForm::kName:
            return "name";
        case QueryForm::kWord:
            return "word";
        default:
            return "text";
    }
}

nb::tuple query_words(const nb::object& query) {
    const QueryWords words(bytes_of(query));
    return nb::make_tuple(text_list(words.terms), text_list(words.names), form_name(words.form));
}

std::vector<std::pair<uint32_t, float>> rank_given(const nb::object& query, size_t limit, const nb::list& rows,
                                                   double mean_cosine) {
    std::vector<GivenRow> given;
    given.reserve(rows.size());
    for (nb::handle item : rows) {
        const auto row = nb::cast<nb::tuple>(item);
        if (row.size() != 4) throw nb::value_error("a row is (path, symbols, lexical, cosine)");
        // Without a cosine: as far away as the average chunk.
        const double dense = row[3].is_none() ? 0.0 : nb::cast<double>(row[3]) - mean_cosine;
        given.push_back({bytes_of(row[0]), bytes_of(row[1]), nb::cast<float>(row[2]), static_cast<float>(dense)});
    }
    const std::string text = bytes_of(query);
    nb::gil_scoped_release unlocked;
    return rank_rows(text, given, limit);
}

// For stores that are not segments: what a query looks for, and the ranking of what they have found.
void bind_ranking(nb::module_& module) {
    module.def("query_words", &query_words, nb::arg("query"));
    module.def(
        "definition_term", [](const nb::object& name) { return text_object(definition_term(bytes_of(name))); },
        nb::arg("name"));
    module.def(
        "candidates_for", [](size_t limit) { return std::pair(candidates_for(limit), definitions_kept()); },
        nb::arg("limit"));
    module.def(
        "prior",
        [](const nb::object& query, const nb::object& path) {
            return QueryWords(bytes_of(query)).priors().of(classify(bytes_of(path)));
        },
        nb::arg("query"), nb::arg("path"));
    module.def("rank", &rank_given, nb::arg("query"), nb::arg("limit"), nb::arg("rows"), nb::arg("mean_cosine") = 0.0);
}

}  // namespace
}  // namespace flyweight::search

NB_MODULE(_search, module) {
    flyweight::python::translate_errors();
    module.def("crc32c",
               [](const nb::bytes& bytes) { return flyweight::search::crc32c(0, bytes.c_str(), bytes.size()); });
    module.def("glob_fault",
               [](const nb::object& glob) { return flyweight::search::glob_fault(flyweight::python::bytes_of(glob)); });
    module.def("glob_matches", [](const nb::object& glob, const nb::object& path) {
        return flyweight::search::glob_matches(flyweight::python::bytes_of(glob), flyweight::python::bytes_of(path));
    });
    flyweight::search::bind_model(module);
    flyweight::search::bind_hit(module);
    flyweight::search::bind_searcher(module);
    flyweight::search::bind_ranking(module);
}

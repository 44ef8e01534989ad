#include "search/path_class.h"

#include <algorithm>
#include <string>

#include "search/terms.h"

namespace flyweight::search {

namespace {

constexpr std::string_view kTestDirectories[] = {"test",    "tests",     "__tests__", "spec",      "specs",
                                                 "testing", "testdata",  "fixtures",  "__mocks__", "e2e",
                                                 "mocks",   "testutils", "testsuite"};
constexpr std::string_view kExampleDirectories[] = {
    "example", "examples", "_examples", "demo",       "demos",    "sample",    "samples", "docs_src",
    "bench",   "benches",  "benchmark", "benchmarks", "tutorial", "tutorials", "fuzz",    "fuzzing"};
constexpr std::string_view kVendoredDirectories[] = {
    "vendor",   "vendored", "_vendor", "third_party", "thirdparty", "3rdparty", "node_modules",
    "external", "extern",   "deps",    "dist",        "build",      "gen",      "generated"};
constexpr std::string_view kLegacyDirectories[] = {"compat", "_compat", "legacy", "deprecated"};
constexpr std::string_view kProseExtensions[] = {"md", "rst", "txt", "mdx", "adoc", "html", "markdown"};
constexpr std::string_view kDataExtensions[] = {"json", "yml", "yaml", "toml",       "cfg",    "ini",   "lock", "xml",
                                                "csv",  "svg", "css",  "properties", "gradle", "plist", "mod",  "sum"};
constexpr std::string_view kGeneratedEndings[] = {"_pb2.py", ".pb.go", ".pb.h",      ".pb.cc",
                                                  ".g.dart", ".lock",  "-lock.json", "-lock.yaml"};
constexpr std::string_view kTestStems[] = {"test", "tests", "conftest"};
constexpr std::string_view kTestStemEndings[] = {"_test", "_tests", "_spec", ".test", ".spec", "-test"};
constexpr std::string_view kCamelTestEndings[] = {"Test", "Tests", "Spec", "TestCase"};

template <size_t N>
bool is_one_of(std::string_view word, const std::string_view (&words)[N]) {
    return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

template <size_t N>
bool ends_with_any(std::string_view word, const std::string_view (&endings)[N]) {
    return std::any_of(std::begin(endings), std::end(endings),
                       [word](std::string_view ending) { return word.ends_with(ending); });
}

FileClass classify_directory(std::string_view name) {
    FileClass found = 0;
    if (is_one_of(name, kTestDirectories)) found |= kTest;
    if (is_one_of(name, kExampleDirectories)) found |= kExample;
    if (is_one_of(name, kVendoredDirectories)) found |= kVendored;
    if (is_one_of(name, kLegacyDirectories)) found |= kLegacy;
    return found;
}

// RouterTest, IoTests: an ending that follows a small letter or a digit.
bool is_camel_test(std::string_view stem) {
    return std::any_of(std::begin(kCamelTestEndings), std::end(kCamelTestEndings), [stem](std::string_view ending) {
        if (stem.size() <= ending.size() || !stem.ends_with(ending)) return false;
        const char before = stem[stem.size() - ending.size() - 1];
        return (before >= 'a' && before <= 'z') || (before >= '0' && before <= '9');
    });
}

}  // namespace

FileClass classify(std::string_view path) {
    const std::string low = lowered(path);
    std::string_view rest(low);
    FileClass found = 0;
    for (size_t slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
        found |= classify_directory(rest.substr(0, slash));
        rest.remove_prefix(slash + 1);
    }
    const std::string_view base = path.substr(path.size() - rest.size());
    const size_t dot = rest.rfind('.');
    const bool has_stem = dot != std::string_view::npos && dot > 0;
    const std::string_view stem = has_stem ? rest.substr(0, dot) : rest;
    const std::string_view extension = has_stem ? rest.substr(dot + 1) : std::string_view();
    if (is_one_of(stem, kTestStems) || stem.starts_with("test_") || ends_with_any(stem, kTestStemEndings) ||
        is_camel_test(base.substr(0, stem.size()))) {
        found |= kTest;
    }
    if (stem.find(".min") != std::string_view::npos || ends_with_any(rest, kGeneratedEndings)) found |= kVendored;
    if (is_one_of(extension, kProseExtensions) || dot == std::string_view::npos) found |= kProse;
    if (is_one_of(extension, kDataExtensions)) found |= kData;
    if (rest.ends_with(".d.ts")) found |= kDeclaration;
    return found;
}

Priors::Priors(const std::array<float, kPathClasses>& factors, FileClass lifted) {
    for (uint32_t bits = 0; bits < by_class_.size(); ++bits) {
        float prior = 1.0F;
        for (uint32_t bit = 0; bit < factors.size(); ++bit) {
            if ((bits & ~uint32_t{lifted}) >> bit & 1U) prior *= factors[bit];
        }
        by_class_[bits] = prior;
    }
}

}  // namespace flyweight::search

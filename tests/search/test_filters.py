from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_segment import MadeFile, searcher_over, write_segment
from source_tree import SourceTree

from flyweight import SearchConfig, SearchFilters, SemanticSearchEngine

EVERYTHING = 10_000


def paths(engine: SemanticSearchEngine, query: str = "record", **filters: object) -> set[str]:
    return {hit.path for hit in engine.search(query, EVERYTHING, SearchFilters(**filters))}  # type: ignore[arg-type]


@pytest.fixture
def all_paths(engine: SemanticSearchEngine, shared_tree: SourceTree) -> set[str]:
    found = paths(engine)
    assert found == set(shared_tree.files), "an unfiltered search without a limit sees every file"
    return found


@pytest.mark.parametrize(
    ("language", "extensions"),
    [
        ("rust", {"rs"}),
        ("RS", {"rs"}),
        ("py", {"py"}),
        ("golang", {"go"}),
        (["js", "markdown"], {"js", "md"}),
        ("zig", set()),
    ],
)
def test_a_language_narrows_to_its_files(
    engine: SemanticSearchEngine, all_paths: set[str], language: str, extensions: set[str]
) -> None:
    found = paths(engine, language=language)
    assert found == {path for path in all_paths if path.rsplit(".", 1)[1] in extensions}
    assert engine.search("record", filters=SearchFilters(language=language)) or not extensions


@pytest.mark.parametrize(
    ("globs", "pattern"),
    [
        ("net/**", r"net/"),
        ("*.rs", r".*\.rs$"),
        (["net/**", "db/**"], r"(net|db)/"),
        ("account", r"account/"),
        ("/web/*.ts", r"web/[^/]*\.ts$"),
        ("nothing/**", r"$^"),
        ("**/backoff.*", r".*/backoff\."),
    ],
)
def test_paths_narrow_to_what_they_match(
    engine: SemanticSearchEngine, all_paths: set[str], globs: object, pattern: str
) -> None:
    matching = {path for path in all_paths if re.match(pattern, path)}
    assert paths(engine, paths=globs) == matching
    assert paths(engine, exclude=globs) == all_paths - matching


def test_filters_narrow_together(engine: SemanticSearchEngine, all_paths: set[str]) -> None:
    assert paths(engine, language="rust", paths="net/**") == {"net/backoff.rs"}
    assert paths(engine, paths=["net/**", "web/**"], exclude="*.rs") == {"net/backoff.py", "web/backoff.ts"}
    assert paths(engine, paths="net/**", exclude="net") == set()


def test_a_filter_never_costs_a_matching_answer_its_place(engine: SemanticSearchEngine) -> None:
    """Filtered before the best are chosen: the only matching file is found though hundreds score higher."""
    for path in ("net/backoff.py", "db/pool.go", "web/backoff.ts"):
        hits = engine.search("journal of the record writer", limit=1, filters=SearchFilters(paths=[path]))
        assert [hit.path for hit in hits] == [path]


def test_filtered_scores_keep_their_order(engine: SemanticSearchEngine) -> None:
    hits = engine.search("record writer", EVERYTHING, SearchFilters(language=["py", "rs"]))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_least_score_leaves_out_what_scores_less(engine: SemanticSearchEngine) -> None:
    every = engine.search("record writer", limit=50)
    threshold = every[7].score
    kept = engine.search("record writer", limit=50, filters=SearchFilters(min_score=threshold))
    assert [hit.as_dict() for hit in kept] == [hit.as_dict() for hit in every if hit.score >= threshold]
    assert engine.search("record writer", filters=SearchFilters(min_score=1e9)) == []


def test_the_least_score_of_a_search_overrides_the_engine_s(shared_index: str) -> None:
    with SemanticSearchEngine(SearchConfig(index_path=shared_index, min_score=1e9)) as engine:
        assert engine.search("record") == []
        assert len(engine.search("record", filters=SearchFilters(min_score=0))) == 10
        assert engine.search("record", filters=SearchFilters(language="rust")) == []


def test_a_filter_may_be_used_again_and_by_several_engines(engine: SemanticSearchEngine, shared_index: str) -> None:
    rust = SearchFilters(language="rust")
    first = [hit.as_dict() for hit in engine.search("record", filters=rust)]
    with SemanticSearchEngine(SearchConfig(index_path=shared_index)) as other:
        for engine_again in (engine, other):
            assert [hit.as_dict() for hit in engine_again.search("record", filters=rust)] == first


def test_names_with_undecodable_bytes_are_filtered(tmp_path: Path) -> None:
    names = ["caf\udce9/a.py", "café/b.py", "plain/c.py"]
    path = write_segment(tmp_path / "a.segment", [MadeFile(name, ["needle"]) for name in names])
    searcher = searcher_over(path)

    def found(include: list[str], exclude: list[str]) -> set[str]:
        hits, _ = searcher.search("needle", 10, 0.0, [], include, exclude, bytes(4 * 64), False)
        return {hit.path for hit in hits}

    assert found(["café/**"], []) == {"café/b.py"}
    assert found([], ["plain"]) == set(names[:2])
    assert found([], ["caf*"]) == {"plain/c.py"}


def test_filters_hold_across_segments_and_dead_files(tmp_path: Path) -> None:
    first = [MadeFile(f"a/{i}.py", ["needle"], language="python" if i % 2 else "rust") for i in range(20)]
    second = [MadeFile(f"b/{i}.py", ["needle"], language="python" if i % 3 else "rust") for i in range(20)]
    parts = (write_segment(tmp_path / "1.segment", first), "0-9"), (write_segment(tmp_path / "2.segment", second), "19")
    searcher = searcher_over(*parts)
    hits, _ = searcher.search("needle", 100, 0.0, ["rust"], ["*.py"], ["b/0.py"], bytes(4 * 64), False)
    expected = {f"a/{i}.py" for i in range(10, 20, 2)} | {f"b/{i}.py" for i in range(3, 19, 3)}
    assert {hit.path for hit in hits} == expected

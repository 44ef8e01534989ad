from __future__ import annotations

import gc
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest
from source_tree import SourceTree

import flyweight
from flyweight import FlyweightError, SearchConfig, SearchFilters, SearchHit, SemanticSearchEngine
from flyweight.config import MAX_LIMIT
from flyweight.errors import ConfigError, IndexMissingError


def described(hits: list[SearchHit]) -> list[dict[str, object]]:
    return [hit.as_dict() for hit in hits]


# Answers


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("wait_with_backoff", "net/backoff.py"),
        ("where do we wait with backoff between attempts", "backoff"),
        ("waitWithBackoff", "web/backoff.ts"),
        ("database connection", "db/pool.go"),
        ("Acquire", "db/pool.go"),
    ],
)
def test_the_obvious_answer_comes_first(engine: SemanticSearchEngine, query: str, path: str) -> None:
    assert path in engine.search(query)[0].path


def test_a_hit_says_where_and_what_it_is(engine: SemanticSearchEngine, shared_tree: SourceTree) -> None:
    hit = engine.search("wait_with_backoff", filters=SearchFilters(language="python"))[0]
    assert (hit.path, hit.start_line, hit.end_line) == ("net/backoff.py", 1, 2)
    assert (hit.language, hit.kind, hit.symbol, hit.scope) == ("python", "function", "wait_with_backoff", "")
    assert hit.text == "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)"
    assert 0 < hit.score <= 1.5
    assert "net/backoff.py:1-2" in repr(hit)
    assert hit.as_dict() == {
        name: getattr(hit, name)
        for name in ("path", "start_line", "end_line", "language", "kind", "symbol", "scope", "score", "text")
    }


def test_the_lines_of_a_hit_are_the_lines_of_its_file(engine: SemanticSearchEngine, shared_tree: SourceTree) -> None:
    for hit in engine.search("record writer journal", limit=100):
        lines = shared_tree.files[hit.path].decode().splitlines()
        assert "\n".join(lines[hit.start_line - 1 : hit.end_line]) == hit.text


def test_hits_come_best_first_and_once_each(engine: SemanticSearchEngine) -> None:
    hits = engine.search("cache of the session", limit=200)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert len({(hit.path, hit.start_line) for hit in hits}) == len(hits)


def test_the_limit_is_kept_and_a_smaller_one_gives_the_same_best(engine: SemanticSearchEngine) -> None:
    assert len(engine.search("record")) == 10
    assert len(engine.search("record", limit=3)) == 3
    assert len(engine.search("record", limit=MAX_LIMIT)) > 100
    assert engine.search("record", limit=1)[0].path == engine.search("record", limit=20)[0].path


def test_the_same_question_gets_the_same_answer(engine: SemanticSearchEngine) -> None:
    first = described(engine.search("where is the ledger flushed", limit=50))
    engine.clear_cache()
    assert described(engine.search("where is the ledger flushed", limit=50)) == first


# Streaming


def test_streaming_gives_what_searching_gives(engine: SemanticSearchEngine) -> None:
    for query in ("record", "database connection", ""):
        for limit in (None, 1, 40):
            assert described(list(engine.stream(query, limit))) == described(engine.search(query, limit))
    rust = SearchFilters(language="rust")
    assert described(list(engine.stream("record", filters=rust))) == described(engine.search("record", filters=rust))


def test_streaming_holds_one_text_at_a_time(tree: SourceTree, index_path: Path) -> None:
    for number in range(150):
        tree.write(f"f{number}.txt", f"needle {number} " + "hay " * 300)
    with SemanticSearchEngine(SearchConfig(index_path=index_path, cache_size=0)) as engine:
        engine.index(tree.root)
        list(engine.stream("needle", limit=150))
        gc.collect()
        tracemalloc.start()
        try:
            total = sum(len(hit.text) for hit in engine.stream("needle", limit=150))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert total > 150_000
    assert peak < total / 4


def test_a_list_of_hits_holds_no_text(engine: SemanticSearchEngine) -> None:
    hit = engine.search("record")[0]
    assert hit.text == hit.text
    assert hit.text is not hit.text


def test_a_stream_may_be_left_half_read(engine: SemanticSearchEngine) -> None:
    stream = engine.stream("record", limit=30)
    first = next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert engine.search("record", limit=30)[0].path == first.path


# Life and death


def test_a_closed_engine_refuses_and_its_hits_live_on(shared_index: str) -> None:
    engine = SemanticSearchEngine(SearchConfig(index_path=shared_index))
    hits = engine.search("wait_with_backoff", limit=3)
    before = described(hits)
    stream = engine.stream("record", limit=5)
    streamed = next(stream)
    engine.close()
    engine.close()
    gc.collect()
    assert described(hits) == before
    assert streamed.text
    assert len(list(stream)) == 4
    for use in (
        lambda: engine.search("x"),
        lambda: list(engine.stream("x")),
        lambda: engine.index("."),
        lambda: engine.cache_stats(),
        lambda: engine.clear_cache(),
        lambda: engine.manifest,
        lambda: engine.__enter__(),
    ):
        with pytest.raises(FlyweightError, match="closed"):
            use()


def test_leaving_the_context_closes_the_engine_whatever_happened(shared_index: str) -> None:
    with pytest.raises(ZeroDivisionError), SemanticSearchEngine(SearchConfig(index_path=shared_index)) as engine:
        assert engine.search("record")
        raise ZeroDivisionError
    with pytest.raises(FlyweightError, match="closed"):
        engine.search("record")


def test_hits_outlive_the_index_on_disk(tree: SourceTree, index_path: Path) -> None:
    tree.grow(10)
    with SemanticSearchEngine(SearchConfig(index_path=index_path)) as engine:
        engine.index(tree.root)
        hits = engine.search("record")
        before = described(hits)
        shutil.rmtree(index_path)
        assert described(hits) == before
        with pytest.raises(IndexMissingError):
            engine.search("record")
        engine.index(tree.root)
        assert described(engine.search("record")) == before


def test_closing_lets_go_of_files_and_memory_maps(shared_index: str) -> None:
    def held() -> int:
        gc.collect()
        with open("/proc/self/maps") as maps:
            mapped = sum(shared_index in line for line in maps)
        links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        return mapped + sum(shared_index in os.readlink(link) for link in links if os.path.lexists(link))

    before = held()
    engine = SemanticSearchEngine(SearchConfig(index_path=shared_index))
    engine.search("record")
    assert held() > before
    engine.close()
    assert held() == before


def test_many_engines_may_be_open_at_once(shared_index: str) -> None:
    engines = [SemanticSearchEngine(SearchConfig(index_path=shared_index)) for _ in range(20)]
    answers = [described(engine.search("record")) for engine in engines]
    assert answers == answers[:1] * 20
    for engine in engines:
        engine.close()


def test_an_open_engine_sees_what_another_process_indexed(tree: SourceTree, index_path: Path) -> None:
    tree.write("one.py", "def first_thing():\n    return 1\n")
    with SemanticSearchEngine(SearchConfig(index_path=index_path)) as reader:
        with pytest.raises(IndexMissingError):
            reader.search("thing")
        with SemanticSearchEngine(SearchConfig(index_path=index_path)) as writer:
            writer.index(tree.root)
            assert [hit.path for hit in reader.search("thing")] == ["one.py"]
            tree.write("two.py", "def second_thing():\n    return 2\n")
            writer.index(tree.root)
            assert {hit.path for hit in reader.search("thing")} == {"one.py", "two.py"}
            tree.remove("one.py")
            writer.index(tree.root)
            assert [hit.path for hit in reader.search("thing")] == ["two.py"]
            assert reader.manifest.generation == writer.manifest.generation


@pytest.mark.parametrize("dimensions", [64, 128, 256])
def test_an_index_may_have_fewer_dimensions(tree: SourceTree, index_path: Path, dimensions: int) -> None:
    tree.grow(20)
    tree.write("net/backoff.py", "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)\n")
    with SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=dimensions)) as engine:
        engine.index(tree.root)
        assert engine.manifest.dimensions == dimensions
        assert engine.search("wait between attempts with backoff")[0].path == "net/backoff.py"


def test_a_smaller_index_is_searched_by_an_engine_that_allows_more(tree: SourceTree, index_path: Path) -> None:
    tree.grow(5)
    SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=64)).index(tree.root)
    with SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=256)) as engine:
        assert engine.search("record")


# Bad questions


@pytest.mark.parametrize("query", ["", " ", "\n\t\r", "\0", "!?()[]{}", "\u200b", "the of and"])
def test_a_question_without_words_finds_little_and_breaks_nothing(engine: SemanticSearchEngine, query: str) -> None:
    assert isinstance(engine.search(query), list)


def test_an_empty_question_finds_nothing(engine: SemanticSearchEngine) -> None:
    assert engine.search("") == []
    assert engine.search("   ") == []


@pytest.mark.parametrize(
    "query",
    [
        "record " * 150_000,
        "x" * 1_000_000,
        " ".join(f"word{number}" for number in range(120_000)),
        "é" * 500_000,
        "\0" * 1_000_000,
        "\ud800" * 300_000,
    ],
    ids=["repeated", "one word", "all different", "letters of two bytes", "NUL", "surrogates"],
)
def test_a_question_of_a_megabyte_is_answered(engine: SemanticSearchEngine, query: str) -> None:
    assert isinstance(engine.search(query), list)
    assert engine.search("record")


def test_a_long_question_is_answered_by_its_beginning(engine: SemanticSearchEngine) -> None:
    assert engine.search("wait_with_backoff " + "record " * 100_000)
    assert engine.search("wait_with_backoff " * 100)[0].path.startswith("net/backoff")


@pytest.mark.parametrize(
    "query", ["rec\0ord", "record \ud800", "\udcff record", "record\0\0 writer", "r\u0301ecord", "\U0010ffff"]
)
def test_odd_characters_in_a_question_do_no_harm(engine: SemanticSearchEngine, query: str) -> None:
    assert isinstance(engine.search(query, limit=5), list)


@pytest.mark.parametrize("query", [None, 3, b"record", ["record"], object()])
def test_a_question_that_is_no_text_is_refused(engine: SemanticSearchEngine, query: object) -> None:
    with pytest.raises(ConfigError, match="text"):
        engine.search(query)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 1, 1.5, "3", True])
def test_a_limit_that_is_no_positive_number_is_refused(engine: SemanticSearchEngine, limit: object) -> None:
    with pytest.raises(ConfigError, match="limit"):
        engine.search("record", limit=limit)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="limit"):
        list(engine.stream("record", limit=limit))  # type: ignore[arg-type]


@pytest.mark.parametrize("filters", [{"language": "rust"}, "rust", 3, ["rust"]])
def test_filters_that_are_none_are_refused(engine: SemanticSearchEngine, filters: object) -> None:
    with pytest.raises(ConfigError, match="SearchFilters"):
        engine.search("record", filters=filters)  # type: ignore[arg-type]


def test_a_config_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="SearchConfig"):
        SemanticSearchEngine("index")  # type: ignore[arg-type]


# The package


def test_the_package_exports_its_names_and_no_others() -> None:
    for name in flyweight.__all__:
        assert getattr(flyweight, name) is not None
        assert name in dir(flyweight)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = flyweight.nonsense

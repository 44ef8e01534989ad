"""An index in a LanceDB table answers as one of segments does: one ranking, two full-text and vector searches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from source_tree import SourceTree
from store.made_table import needs_lancedb

from flyweight import SearchConfig, SearchFilters, SemanticSearchEngine

pytestmark = needs_lancedb

QUERIES = (
    "wait with backoff",
    "wait_with_backoff",
    "waitWithBackoff",
    "database connection",
    "hands out a connection",
    "record writer",
    "journal",
    "where is the cache flushed",
    "parse the header",
    "queue of events",
)


@pytest.fixture(scope="module")
def stored(shared_tree: SourceTree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SemanticSearchEngine]:
    """An engine over a LanceDB index of `shared_tree`."""
    path: Path = tmp_path_factory.mktemp("stored")
    with SemanticSearchEngine(SearchConfig(index_path=path / "index", store=f"lancedb:{path / 'db'}")) as engine:
        stats = engine.index(shared_tree.root)
        assert stats.files == len(shared_tree.files)
        yield engine


def test_both_hold_the_same_chunks(stored: SemanticSearchEngine, engine: SemanticSearchEngine) -> None:
    assert stored.manifest.live_chunks == engine.manifest.live_chunks
    assert stored.manifest.embedder == engine.manifest.embedder


def test_both_find_the_same(stored: SemanticSearchEngine, engine: SemanticSearchEngine) -> None:
    shares = []
    for query in QUERIES:
        ours = {(hit.path, hit.start_line, hit.text) for hit in engine.search(query)}
        theirs = {(hit.path, hit.start_line, hit.text) for hit in stored.search(query)}
        shares.append(len(ours & theirs) / len(ours))
    assert sum(shares) / len(shares) >= 0.7, shares


@pytest.mark.parametrize("query", ["wait_with_backoff", "waitWithBackoff", "Acquire"])
def test_both_put_the_definition_of_a_name_first(
    query: str, stored: SemanticSearchEngine, engine: SemanticSearchEngine
) -> None:
    ours, theirs = engine.search(query)[0], stored.search(query)[0]
    names = ("path", "start_line", "end_line", "language", "kind", "symbol", "scope", "text")
    assert [getattr(theirs, name) for name in names] == [getattr(ours, name) for name in names]
    assert theirs.score == pytest.approx(ours.score, abs=0.1)


def test_both_take_the_same_filters(stored: SemanticSearchEngine, engine: SemanticSearchEngine) -> None:
    filters = SearchFilters(language=["python", "rust"], paths=["net/**", "*.py"], exclude="*.rs")
    for query in QUERIES[:4]:
        found = {hit.path for hit in stored.search(query, 200, filters)}
        assert found <= {hit.path for hit in engine.search(query, 10_000, filters)}
        assert found


def test_a_repeat_is_answered_from_the_cache_until_the_tree_is_indexed_again(
    stored: SemanticSearchEngine, shared_tree: SourceTree
) -> None:
    stored.search("queue of events")
    assert stored.search("queue of events").cached
    stats = stored.index(shared_tree.root)
    assert stats.new_chunks == 0
    assert [hit.path for hit in stored.search("queue of events")]

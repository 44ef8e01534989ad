"""An engine whose index is in a LanceDB table: found by its pointer, asked as any other, its process accounted for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bare_process import run_script
from different_questions import DIFFERENT_QUESTIONS
from source_tree import SourceTree

from flyweight import SearchConfig, SearchFilters, SemanticSearchEngine
from flyweight.errors import FlyweightError, IndexMismatchError, IndexMissingError
from flyweight.store.pointer import remove_pointer, write_pointer

pytest.importorskip("lancedb")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `code`, `table` (LanceDB) and `index`, which points there. Not to be changed."""
    directory = tmp_path_factory.mktemp("stored")
    tree = SourceTree(directory / "code", seed=3)
    tree.grow(12)
    tree.write("net/backoff.py", "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)\n")
    config = SearchConfig(index_path=directory / "index", store=f"lancedb:{directory}/table")
    with SemanticSearchEngine(config) as engine:
        stats = engine.index(tree.root)
    assert stats.files == len(tree.files)
    return directory


@pytest.fixture(scope="module")
def engine(stored: Path) -> Iterator[SemanticSearchEngine]:
    """Over the index that the index directory points to."""
    with SemanticSearchEngine(SearchConfig(index_path=stored / "index")) as engine:
        yield engine


def store_bytes(engine: SemanticSearchEngine) -> int:
    return engine._open().store_private_bytes()


def test_the_index_directory_leads_to_the_table(engine: SemanticSearchEngine, stored: Path) -> None:
    hits = engine.search("wait_with_backoff")
    assert hits[0].path == "net/backoff.py"
    assert hits[0].text == "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)"
    assert (hits.degraded, hits.reason) == (False, "")
    assert engine.manifest.root == str(stored / "code")
    assert (engine.manifest.embedder, engine.manifest.dimensions) == ("minilm-256/1", 256)


def test_answers_are_those_of_the_same_tree_in_segments(engine: SemanticSearchEngine, stored: Path) -> None:
    config = SearchConfig(index_path=stored / "segments", store="segments")
    with SemanticSearchEngine(config) as segments:
        segments.index(stored / "code")
        for query in ("wait_with_backoff", "record", "where is the ledger flushed"):
            for filters in (None, SearchFilters(language="python"), SearchFilters(exclude="net/")):
                ours = [hit.path for hit in engine.search(query, 3, filters)]
                assert ours[:1] == [hit.path for hit in segments.search(query, 3, filters)][:1]


def test_a_repeated_question_wakes_no_process(engine: SemanticSearchEngine) -> None:
    first = engine.search("database connection")
    engine._open()._store.close()  # type: ignore[union-attr]
    assert store_bytes(engine) == 0
    again = engine.search("database connection")
    assert again.cached and [hit.as_dict() for hit in again] == [hit.as_dict() for hit in first]
    assert store_bytes(engine) == 0


def test_trimming_ends_the_store_process_and_the_next_question_starts_one(engine: SemanticSearchEngine) -> None:
    before = [hit.as_dict() for hit in engine.search("record")]
    assert store_bytes(engine) > 1_000_000
    engine.trim()
    assert store_bytes(engine) == 0
    assert [hit.as_dict() for hit in engine.search("record")] == before


def test_the_store_process_is_a_column_of_the_phases(stored: Path) -> None:
    shown = run_script(
        """
import json, os, sys
from flyweight import SearchConfig, SemanticSearchEngine
with SemanticSearchEngine(SearchConfig(index_path=sys.argv[1], track_memory=True)) as engine:
    engine.search("record")
    phases = engine.get_memory_phases()
    account = engine.get_memory_attribution()
    assert account.store_private_bytes > 1_000_000 and "the store process holds" in str(account)
    children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
print(json.dumps([[phase.name, phase.store_private_bytes] for phase in phases]))
left = open(f"/proc/self/task/{os.getpid()}/children").read().split()
print(str(phases).splitlines()[0].split()[-1], len(children), len(left))
""",
        stored / "index",
    )
    figures, last = shown.splitlines()
    assert last == "store 1 0"
    assert dict(json.loads(figures))["After Queries"] > 1_000_000


def test_a_table_of_titan_vectors_is_searched_with_them_or_by_words_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("botocore")
    from tests.standins.bedrock import V2, BedrockStandIn

    tree = SourceTree(tmp_path / "code", seed=3)
    tree.grow(3)
    tree.write("net/backoff.py", "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    table = f"lancedb:{tmp_path}/table"
    config = SearchConfig(index_path=tmp_path / "index", store=table, embedder="titan", query_timeout_s=60)
    with BedrockStandIn() as service, SemanticSearchEngine(config) as engine:
        service.set_environment(monkeypatch)
        engine.index(tree.root)
        question = "how long to wait between attempts"
        hits = engine.search(question)
        assert hits[0].path == "net/backoff.py" and not hits.degraded
        requests = service.ledger.requests
        assert engine.search(question).cached and service.ledger.requests == requests
        service.control("/_settings", {"denied": [V2]})
        degraded = engine.search("wait_with_backoff")
        assert degraded[0].path == "net/backoff.py" and degraded.degraded and "access" in degraded.reason
        assert not engine.search("wait_with_backoff").cached
        left = SearchConfig(index_path=tmp_path / "index", embedder=None, query_timeout_s=60)
        with SemanticSearchEngine(left) as reader:
            assert reader.manifest.embedder == f"bedrock:{V2}"


def test_an_engine_of_another_embedder_refuses_the_table(stored: Path) -> None:
    config = SearchConfig(index_path=stored / "index", embedder="titan")
    with SemanticSearchEngine(config) as engine, pytest.raises(IndexMismatchError, match="minilm"):
        engine.search("record")


def test_segments_are_looked_for_when_the_config_says_so(stored: Path) -> None:
    config = SearchConfig(index_path=stored / "index", store="segments")
    with SemanticSearchEngine(config) as engine, pytest.raises(IndexMissingError):
        engine.search("record")


def test_an_engine_that_found_no_index_finds_the_table_that_is_made_meanwhile(stored: Path, tmp_path: Path) -> None:
    with SemanticSearchEngine(SearchConfig(index_path=tmp_path)) as engine:
        with pytest.raises(IndexMissingError):
            engine.search("record")
        (tmp_path / "store").write_bytes((stored / "index" / "store").read_bytes())
        assert engine.search("record")


def test_an_open_engine_follows_its_index_to_a_table_and_back(stored: Path, tmp_path: Path) -> None:
    tree = SourceTree(tmp_path / "code")
    tree.write("own.py", "def wait_with_backoff_here(attempt):\n    return attempt\n")
    index = tmp_path / "index"
    query = "wait_with_backoff"
    only_segments = SearchConfig(index_path=index, store="segments")
    with SemanticSearchEngine(SearchConfig(index_path=index)) as engine, SemanticSearchEngine(only_segments) as other:
        engine.index(tree.root)
        for asked in (engine, other, engine):  # the last answer from the cache
            assert asked.search(query)[0].path == "own.py"
        write_pointer(str(index), f"lancedb:{stored}/table", {})
        assert engine.search(query)[0].path == "net/backoff.py"
        assert engine.manifest.root == str(stored / "code")
        assert other.search(query)[0].path == "own.py"
        assert store_bytes(engine) > 1_000_000
        remove_pointer(str(index))
        assert engine.search(query)[0].path == "own.py"
        assert store_bytes(engine) == 0
        write_pointer(str(index), f"lancedb:{stored}/table", {})
        assert engine.manifest.root == str(stored / "code")
        remove_pointer(str(index))
        assert engine.manifest.root == str(tree.root)


def test_a_pointer_that_is_written_again_leaves_the_store_process_alone(stored: Path, tmp_path: Path) -> None:
    table = f"lancedb:{stored}/table"
    write_pointer(str(tmp_path), table, {})
    with SemanticSearchEngine(SearchConfig(index_path=tmp_path)) as engine:
        engine.search("record")
        asked = engine._open()
        write_pointer(str(tmp_path), table, {})
        assert engine.search("record").cached
        assert engine._open() is asked


def test_different_questions_to_a_table_leave_no_blocks_behind(stored: Path) -> None:
    assert run_script(DIFFERENT_QUESTIONS, stored / "index", "static") == "True\n"


def test_a_table_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    config = SearchConfig(index_path=tmp_path / "index", store=f"lancedb:{tmp_path}/none")
    with SemanticSearchEngine(config) as engine, pytest.raises(IndexMissingError, match="none"):
        engine.search("record")


def test_a_closed_engine_refuses_and_its_hits_live_on(stored: Path) -> None:
    engine = SemanticSearchEngine(SearchConfig(index_path=stored / "index"))
    hits = engine.search("record")
    engine.close()
    engine.close()
    assert all(hit.text for hit in hits)
    with pytest.raises(FlyweightError, match="closed"):
        engine.search("record")
    assert os.path.exists(stored / "index" / "store")

"""The way of a query from the resident through a store process to LanceDB and back."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store.made_table import DIMENSIONS, TableProgram, needs_lancedb
from store.odd_paths import FILES, MODEL, NO_FILTERS, PATHS, ask

from flyweight import SearchFilters
from flyweight._search import glob_matches
from flyweight.errors import IndexMismatchError, IndexMissingError, IndexVersionError, StoreError
from flyweight.store.lancedb.client import StoreClient

pytestmark = needs_lancedb


def test_the_chunk_that_defines_a_name_comes_first(client: StoreClient) -> None:
    hit = ask(client, "wait_with_backoff")[0]
    assert hit.as_dict() == {
        "path": "src/net/backoff.rs",
        "start_line": 1,
        "end_line": 1,
        "language": "rust",
        "kind": "function",
        "symbol": "wait_with_backoff",
        "scope": "net",
        "score": hit.score,
        "text": "fn wait_with_backoff waits for marker with growing delays 0",
    }
    assert 0.5 < hit.score <= 1.0


def test_lines_and_text_are_of_the_chunk(client: StoreClient) -> None:
    hit = ask(client, "second piece parsers", filters=SearchFilters(paths="src/lib.rs"))[0]
    assert (hit.start_line, hit.end_line) == (2, 3)
    assert hit.text == "// a second piece, about parsers\n// of two lines"


def test_the_store_says_what_it_holds(client: StoreClient) -> None:
    info = client.manifest()
    assert (info.embedder, info.dimensions, info.root) == (MODEL.id, DIMENSIONS, "/code")
    assert info.live_chunks == 2 * len(FILES)


def test_limit_and_least_score_are_kept(client: StoreClient) -> None:
    hits = ask(client, "marker", limit=5)
    assert len(hits) == 5
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    least = hits[2].score
    assert [hit.path for hit in ask(client, "marker", limit=5, min_score=least)] == [
        hit.path for hit in hits if hit.score >= least
    ]


def test_a_vector_of_zeros_leaves_it_to_the_words(client: StoreClient) -> None:
    zeros = bytes(4 * DIMENSIONS)
    assert client.search("wait_with_backoff", zeros, 3, 0.0, NO_FILTERS)[0].symbol == "wait_with_backoff"
    assert client.search("unheardof", zeros, 3, 0.0, NO_FILTERS) == []


def test_a_query_without_words_finds_by_its_vector_alone(client: StoreClient) -> None:
    vector = MODEL.embed("a second piece about parsers", DIMENSIONS)
    hits = client.search("?!", vector, 3, 0.0, NO_FILTERS)
    assert {hit.start_line for hit in hits} == {2}
    assert client.search("?!", bytes(4 * DIMENSIONS), 3, 0.0, NO_FILTERS) == []


@pytest.mark.parametrize(
    "query", ["'; DROP TABLE flyweight; --", "\udcff\udcfe marker", "\ud800", "x" * 100_000, "\0marker\0"]
)
def test_any_text_is_a_query(client: StoreClient, query: str) -> None:
    assert isinstance(ask(client, query), list)


def paths_found(client: StoreClient, filters: SearchFilters) -> set[str]:
    return {hit.path for hit in ask(client, "marker", limit=1000, filters=filters)}


EVERY = {os.fsdecode(path) for path in PATHS}


def test_without_filters_every_path_is_found_as_it_was(client: StoreClient) -> None:
    assert paths_found(client, NO_FILTERS) == EVERY


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_only_a_path(client: StoreClient, path: bytes) -> None:
    name = os.fsdecode(path)
    escaped = "".join(f"\\{c}" if c in "*?[]\\" else c for c in name)
    assert paths_found(client, SearchFilters(paths=escaped)) == {name}
    assert paths_found(client, SearchFilters(exclude=escaped)) == EVERY - {name}


PIECES = "* ** **/ ? / src net a x ' % _ .py .rs [!s] [a-z] é 日 \\[ \\\\ 100 backoff"
pieces = st.sampled_from([*PIECES.split(), "\n", " ", "\udce9"])


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(pieces, min_size=1, max_size=4).map("".join), st.booleans())
def test_globs_admit_what_they_admit_elsewhere(client: StoreClient, glob: str, exclude: bool) -> None:
    filters = SearchFilters(exclude=glob) if exclude else SearchFilters(paths=glob)
    expected = {path for path in EVERY if glob_matches(glob, os.fsencode(path)) != exclude}
    assert paths_found(client, filters) == expected


def test_languages_are_pushed_down(client: StoreClient) -> None:
    assert {hit.language for hit in ask(client, "marker", filters=SearchFilters(language="rust"))} == {"rust"}
    both = SearchFilters(language=["rust", "python"], paths="src/**", exclude="*.rs")
    assert ask(client, "marker", filters=both) == []


def test_a_missing_table_is_a_missing_index(uri: Path, tmp_path: Path) -> None:
    for place, options in ((tmp_path / "none", {}), (uri, {"table": "other"})):
        client = StoreClient(f"lancedb:{place}", options)
        with pytest.raises(IndexMissingError, match=f"no index at {place}.*flyweight index --store"):
            client.manifest()
        client.close()


def test_another_embedder_in_the_store_is_no_silent_nonsense(client: StoreClient) -> None:
    with pytest.raises(IndexMismatchError, match=rf"{MODEL.id} of {DIMENSIONS} dimensions.*of 8"):
        client.search("marker", bytes(4 * 8), 3, 0.0, NO_FILTERS)
    assert ask(client, "marker")


def test_readers_see_what_a_writer_commits(tmp_path: Path) -> None:
    place = tmp_path / "db"
    client = StoreClient(str(place), idle_s=600.0, cache_entries=5)
    try:
        with TableProgram() as program:
            with pytest.raises(IndexMissingError):
                client.manifest()
            program.write(place, ("flyweight", FILES[:2], {}))
            first = client.manifest()
            assert {os.fsencode(hit.path) for hit in ask(client, "marker")} == {*PATHS[:2]}
            program.write(place, ("flyweight", FILES[2:4], {}))
            assert client.find_cached("marker", 10, 0.0, NO_FILTERS) is None
            assert {os.fsencode(hit.path) for hit in ask(client, "marker")} == {*PATHS[:4]}
            info = client.manifest()
            assert info.generation > first.generation
            assert info.live_chunks == 8
            shutil.rmtree(place)
            program.write(place, ("flyweight", FILES[4:6], {}))
            assert {os.fsencode(hit.path) for hit in ask(client, "marker")} == {*PATHS[4:6]}
    finally:
        client.close()


def test_a_table_of_a_foreign_schema_is_refused(uri: Path) -> None:
    with pytest.raises(StoreError, match=r"'foreign' at .* is not a Flyweight index: .* table="):
        StoreClient(str(uri), {"table": "foreign"}).manifest()


def test_a_damaged_table_is_named_as_such(uri: Path, tmp_path: Path) -> None:
    shutil.copytree(uri, tmp_path / "db")
    for data in (tmp_path / "db" / "flyweight.lance" / "data").iterdir():
        os.truncate(data, 100)
    client = StoreClient(str(tmp_path / "db"))
    with pytest.raises(StoreError, match=r"missing or damaged, run 'flyweight index --rebuild'"):
        ask(client, "marker")
    client.close()


def test_a_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    client = StoreClient(str(tmp_path / "file" / "db"))
    with pytest.raises(StoreError, match="is not a directory"):
        client.manifest()
    client.close()


def test_without_lancedb_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from flyweight.store.lancedb.core import lean_core

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"pip install 'flyweight\[lancedb\]'"):
        lean_core()


def test_a_table_of_a_newer_format_is_refused(uri: Path) -> None:
    with pytest.raises(IndexVersionError, match="written in format 99, this build reads 1"):
        StoreClient(str(uri), {"table": "newer"}).manifest()

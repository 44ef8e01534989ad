"""The way of a query from the resident through a store process to LanceDB and back, and what can go wrong on it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bare_process import run_script
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_table import DIMENSIONS, File, needs_lancedb, write_table, write_tables

from flyweight import SearchFilters
from flyweight._search import StaticModel, glob_matches
from flyweight.embed.static import model_path
from flyweight.errors import IndexMismatchError, IndexMissingError, IndexVersionError, StoreError
from flyweight.store.lancedb.client import StoreClient
from flyweight.store.lancedb.hit import StoredHit

pytestmark = needs_lancedb

NO_FILTERS = SearchFilters()
PATHS = [
    b"src/net/backoff.rs",
    b"src/net/retry.rs",
    b"src/lib.rs",
    b"tests/backoff_test.rs",
    b"x' OR '1'='1",
    b"dir/x'; DROP TABLE flyweight; --.py",
    b"100%_done/a_b.py",
    b"100xydone/aXb.py",
    b"back\\slash/a.py",
    b"new\nline/a.py",
    "größe/日本.py".encode(),
    b"latin-\xe9/caf\xe9.py",
    b"[set]/a{b}.py",
    b"sp ace/$x^.py",
]


def file_at(path: bytes, number: int) -> File:
    language = "rust" if path.endswith(b".rs") else "python"
    symbol = "wait_with_backoff" if path == b"src/net/backoff.rs" else f"Symbol{number}"
    return (
        path,
        language,
        [
            (f"fn {symbol} waits for marker with growing delays {number}".encode(), symbol, "net"),
            (b"// a second piece, about parsers\n// of two lines", "", ""),
        ],
    )


FILES = [file_at(path, number) for number, path in enumerate(PATHS)]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of all that paths may hold, and tables that are not ours, or not any more. Not to be changed."""
    path = tmp_path_factory.mktemp("store") / "db"
    write_tables(
        path,
        ("flyweight", FILES, {}),
        ("foreign", FILES[:1], None),
        ("newer", FILES[:1], {"flyweight.format": "99"}),
    )
    return path


@pytest.fixture(scope="module")
def client(uri: Path) -> Iterator[StoreClient]:
    client = StoreClient(f"lancedb:{uri}", idle_s=600.0)
    yield client
    client.close()


MODEL = StaticModel(model_path())


def ask(
    client: StoreClient, query: str, limit: int = 10, filters: SearchFilters = NO_FILTERS, min_score: float = 0.0
) -> list[StoredHit]:
    return client.search(query, MODEL.embed(query, DIMENSIONS), limit, min_score, filters)


def store_pid(client: StoreClient) -> int:
    return int(client._store._pid)


def has_ended(pid: int) -> bool:
    """Gone, or waiting for whoever started it to notice."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for_end(pid: int) -> None:
    while not has_ended(pid):
        time.sleep(0.01)


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


@pytest.mark.parametrize("query", ["'; DROP TABLE flyweight; --", "\udcff\udcfe marker", "x" * 100_000, "\0marker\0"])
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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(pieces, min_size=1, max_size=4).map("".join), st.booleans())
def test_globs_admit_what_they_admit_elsewhere(client: StoreClient, glob: str, exclude: bool) -> None:
    filters = SearchFilters(exclude=glob) if exclude else SearchFilters(paths=glob)
    expected = {path for path in EVERY if glob_matches(glob, os.fsencode(path)) != exclude}
    assert paths_found(client, filters) == expected


def test_languages_are_pushed_down(client: StoreClient) -> None:
    assert {hit.language for hit in ask(client, "marker", filters=SearchFilters(language="rust"))} == {"rust"}
    both = SearchFilters(language=["rust", "python"], paths="src/**", exclude="*.rs")
    assert ask(client, "marker", filters=both) == []


def test_a_repeat_asks_no_process(uri: Path) -> None:
    client = StoreClient(str(uri), cache_entries=5)
    try:
        first = ask(client, "wait_with_backoff")
        pid = store_pid(client)
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        again = client.find_cached("wait_with_backoff", 10, 0.0, NO_FILTERS)
        assert again is not None
        assert [hit.as_dict() for hit in again] == [hit.as_dict() for hit in first]
        assert client.find_cached("wait_with_backoff", 9, 0.0, NO_FILTERS) is None
        assert client.find_cached("wait_with_backoff", 10, 0.0, SearchFilters(paths="src")) is None
        assert client.cache_counters()["hits"] == 1
    finally:
        client.close()


def test_an_idle_store_ends_and_starts_again_when_asked(uri: Path) -> None:
    client = StoreClient(str(uri), idle_s=0.05)
    try:
        expected = [hit.as_dict() for hit in ask(client, "marker")]
        first = store_pid(client)
        wait_for_end(first)
        assert client.private_bytes() == 0
        assert [hit.as_dict() for hit in ask(client, "marker")] == expected
        assert store_pid(client) != first
    finally:
        client.close()


def test_a_store_killed_in_the_middle_of_a_query_is_started_once_more(uri: Path) -> None:
    client = StoreClient(str(uri), idle_s=600.0)
    try:
        expected = [hit.as_dict() for hit in ask(client, "marker")]
        pid = store_pid(client)
        os.kill(pid, signal.SIGSTOP)  # so that the question reaches it and the answer does not
        answers: list[list[dict[str, object]]] = []
        asking = threading.Thread(target=lambda: answers.append([hit.as_dict() for hit in ask(client, "marker")]))
        asking.start()
        while not client._lock.locked():
            time.sleep(0.001)
        time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        asking.join()
        assert answers == [expected]
        assert store_pid(client) != pid
    finally:
        client.close()


def test_a_store_that_dies_every_time_is_an_error(uri: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StoreError, match=r"died while it answered, and so did the next one \(ended with status 1\)"):
        StoreClient(str(uri)).manifest()


def test_a_store_that_cannot_be_started_is_an_error(uri: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(StoreError, match=r"cannot start the store process.*No such file"):
        StoreClient(str(uri)).manifest()


def test_an_interrupted_question_leaves_no_answer_to_the_next(uri: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flyweight.store.lancedb import wire

    client = StoreClient(str(uri), idle_s=600.0)
    try:
        expected = [hit.as_dict() for hit in ask(client, "marker")]
        receive = wire.receive

        def interrupted(connection: object) -> None:
            monkeypatch.setattr(wire, "receive", receive)
            raise KeyboardInterrupt

        monkeypatch.setattr(wire, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ask(client, "wait_with_backoff")
        assert [hit.as_dict() for hit in ask(client, "marker")] == expected
    finally:
        client.close()


def test_threads_share_one_store(client: StoreClient) -> None:
    queries = ["marker", "wait_with_backoff", "second piece parsers", "Symbol3"]
    expected = {query: [hit.as_dict() for hit in ask(client, query)] for query in queries}
    wrong: list[str] = []

    def run(offset: int) -> None:
        for number in range(6):
            query = queries[(offset + number) % len(queries)]
            if [hit.as_dict() for hit in ask(client, query)] != expected[query]:
                wrong.append(query)

    pid = store_pid(client)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store_pid(client) == pid


def test_closing_ends_the_store_and_asking_starts_another(uri: Path) -> None:
    client = StoreClient(str(uri))
    ask(client, "marker")
    pid = store_pid(client)
    assert client.private_bytes() > 1_000_000
    client.close()
    assert not Path(f"/proc/{pid}").exists()
    assert client.private_bytes() == 0
    assert ask(client, "marker")
    client.close()
    client.close()


def test_a_client_that_is_let_go_takes_its_store_along(uri: Path) -> None:
    client = StoreClient(str(uri))
    ask(client, "marker")
    pid = store_pid(client)
    del client
    assert not Path(f"/proc/{pid}").exists()


RESIDENT = f"""
import os, sys, time
from flyweight import SearchFilters
from flyweight.store.lancedb.client import StoreClient
client = StoreClient(sys.argv[1], idle_s=600.0)
vector = bytes({4 * DIMENSIONS})
def ask():
    return [hit.as_dict() for hit in client.search("marker", vector, 10, 0.0, SearchFilters())]
expected = ask()
"""


def test_a_store_ends_with_its_resident_though_a_child_of_it_lives_on(uri: Path) -> None:
    script = """
if os.fork() == 0:
    os.close(1); os.close(2)
    time.sleep(60)
    os._exit(0)
print(client._store._pid, flush=True)
os.kill(os.getpid(), 9)
"""
    import subprocess

    outcome = subprocess.run(
        [sys.executable, "-P", "-c", RESIDENT + script, str(uri)], stdout=subprocess.PIPE, timeout=60
    )
    assert outcome.returncode == -signal.SIGKILL
    wait_for_end(int(outcome.stdout))


def test_a_child_of_a_fork_starts_a_store_of_its_own(uri: Path) -> None:
    script = """
pid = client._store._pid
child = os.fork()
if child == 0:
    same = ask() == expected
    own = client._store._pid != pid
    client.close()
    os._exit(0 if same and own else 1)
_, status = os.waitpid(child, 0)
assert ask() == expected
assert client._store._pid == pid
print(status)
"""
    assert run_script(RESIDENT + script, uri) == "0\n"


def test_in_process_it_is_the_same_search(uri: Path, client: StoreClient) -> None:
    script = f"""
import asyncio, os, sys, warnings
warnings.simplefilter("ignore")
from flyweight import SearchFilters
from flyweight.errors import StoreError
from flyweight._search import StaticModel
from flyweight.embed.static import model_path
from flyweight.store.lancedb.client import StoreClient
client = StoreClient(sys.argv[1], in_process=True)
vector = StaticModel(model_path()).embed("marker delays", {DIMENSIONS})
async def within_a_loop():
    return client.search("marker delays", vector, 10, 0.0, SearchFilters(exclude="*.rs"))
for hit in asyncio.run(within_a_loop()):
    print(hit.path.encode("utf-8", "surrogateescape"), hit.start_line, f"{{hit.score:.4f}}")
assert client.private_bytes() == 0
child = os.fork()
if child == 0:
    try:
        client.search("x", vector, 1, 0.0, SearchFilters())
    except StoreError as error:
        os._exit(0 if "after the fork" in str(error) else 2)
    os._exit(1)
assert os.waitpid(child, 0)[1] == 0
client.close()
"""
    hits = ask(client, "marker delays", filters=SearchFilters(exclude="*.rs"))
    assert run_script(script, uri).splitlines() == [
        f"{os.fsencode(hit.path)!r} {hit.start_line} {hit.score:.4f}" for hit in hits
    ]


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
    client = StoreClient(str(tmp_path / "db"), idle_s=600.0, cache_entries=5)
    try:
        with pytest.raises(IndexMissingError):
            client.manifest()
        write_table(tmp_path / "db", FILES[:2])
        first = client.manifest()
        assert {os.fsencode(hit.path) for hit in ask(client, "marker")} == {*PATHS[:2]}
        write_table(tmp_path / "db", FILES[2:4])
        assert client.find_cached("marker", 10, 0.0, NO_FILTERS) is None
        assert {os.fsencode(hit.path) for hit in ask(client, "marker")} == {*PATHS[:4]}
        info = client.manifest()
        assert info.generation > first.generation
        assert info.live_chunks == 8
    finally:
        client.close()


def test_a_table_of_a_foreign_schema_is_refused(uri: Path) -> None:
    with pytest.raises(StoreError, match=r"'foreign' at .* is not a Flyweight index: .* table="):
        StoreClient(str(uri), {"table": "foreign"}).manifest()


def test_a_table_of_a_newer_format_is_refused(uri: Path) -> None:
    with pytest.raises(IndexVersionError, match="written in format 99, this build reads 1"):
        StoreClient(str(uri), {"table": "newer"}).manifest()

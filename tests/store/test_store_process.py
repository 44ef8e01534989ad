"""The life of a store process: asked, idle, killed, shared between threads, forked away from, let go."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from bare_process import run_script
from store.made_table import DIMENSIONS, needs_lancedb
from store.odd_paths import NO_FILTERS, ask, store_pid, wait_for_end

from flyweight import SearchFilters
from flyweight.errors import StoreError
from flyweight.store.lancedb import wire
from flyweight.store.lancedb.client import StoreClient

pytestmark = needs_lancedb


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
    client = StoreClient(str(uri), idle_s=0.2)
    try:
        expected = [hit.as_dict() for hit in ask(client, "marker")]
        first = store_pid(client)
        wait_for_end(first)
        assert client.private_bytes() == 0
        assert [hit.as_dict() for hit in ask(client, "marker")] == expected
        assert store_pid(client) != first
    finally:
        client.close()


def test_an_idle_store_that_has_ended_is_cleared_away_though_nobody_asks(uri: Path) -> None:
    client = StoreClient(str(uri), idle_s=0.1)
    try:
        ask(client, "marker")
        pid = store_pid(client)
        wait_for_end(pid)
        for _ in range(1000):
            gc.collect(0)  # as happens in any program that makes objects
            if not Path(f"/proc/{pid}").exists():
                break
            time.sleep(0.01)
        assert not Path(f"/proc/{pid}").exists()
        assert client.private_bytes() == 0
        assert ask(client, "marker")
    finally:
        client.close()


def test_a_store_that_the_program_itself_has_waited_for_is_replaced(uri: Path) -> None:
    script = """
pid = client._store._pid
assert os.waitpid(-1, 0) == (pid, 0)
for _ in range(3):
    time.sleep(0.1)
    gc.collect()
assert client.private_bytes() == 0
assert ask() == expected
assert client._store._pid != pid
client.close()
print(gc.callbacks)
"""
    assert run_script("import gc\n" + RESIDENT.replace("600.0", "0.1") + script, uri) == "[]\n"


def test_a_store_need_not_stay_at_all(uri: Path) -> None:
    client = StoreClient(str(uri), idle_s=0.0)
    try:
        assert ask(client, "marker")
        assert ask(client, "marker")
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


def test_a_store_that_does_not_answer_in_time_is_an_error_and_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are made, and nobody reads what comes
        client = StoreClient(
            "s3://bucket/index",
            {
                "endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}",
                "region": "us-east-1",
                "aws_access_key_id": "key",
                "aws_secret_access_key": "secret",
                "timeout_s": 0.5,
            },
        )
        with pytest.raises(StoreError, match=r"s3://bucket/index has not answered within 0\.5 s \(timeout_s\)"):
            client.manifest()
    assert not Path(f"/proc/{store_pid(client)}").exists()
    client.close()


def test_an_interrupted_question_leaves_no_answer_to_the_next(uri: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    outcome = subprocess.run(
        [sys.executable, "-P", "-c", RESIDENT + script, str(uri)], stdout=subprocess.PIPE, timeout=300
    )
    assert outcome.returncode == -signal.SIGKILL
    wait_for_end(int(outcome.stdout))


def test_a_child_of_a_fork_starts_a_store_of_its_own(uri: Path) -> None:
    script = """
pid = client._store._pid
child = os.fork()
if child == 0:
    import gc
    watched = bool(gc.callbacks)  # for the parent's store, which is no child of this one
    same = ask() == expected
    own = client._store._pid != pid
    client.close()
    os._exit(0 if same and own and not watched else 1)
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

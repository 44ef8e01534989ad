"""A grammar whose scanner never comes back. A stand-in for cutting spins in C where no signal handler is ever run."""

from __future__ import annotations

import collections
import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from index_contents import expected_chunks, live_files, served_chunks
from source_tree import SourceTree

from flyweight import IndexStats
from flyweight.embed.static import StaticEmbedder
from flyweight.index import team, worker
from flyweight.index.build import build
from flyweight.index.chunk import Chunk, chunk
from flyweight.index.outcome import STUCK
from flyweight.index.request import BuildRequest

# Of processor time. Files of these trees take a few milliseconds.
LIMIT_S = 0.5
ENDLESS = b"def endless():\n    pass\n"

Run = Callable[..., IndexStats]


def cut_or_spin(data: bytes, language: str) -> list[Chunk]:
    if data.startswith(ENDLESS):
        collections.deque(itertools.repeat(None), maxlen=0)
    return chunk(data, language)


@pytest.fixture(autouse=True)
def stuck_grammar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "chunk", cut_or_spin)
    monkeypatch.setattr(team, "STUCK_AFTER_S", LIMIT_S)


@pytest.fixture
def run(tree: SourceTree, index_path: Path) -> Run:
    def run(workers: int = 1, stopped: Callable[[], bool] = lambda: False) -> IndexStats:
        request = BuildRequest(str(tree.root), str(index_path), batch_size=32, memory_budget=1 << 30, workers=workers)
        return build(request, StaticEmbedder(64), lambda progress: None, stopped)

    return run


def without(tree: SourceTree, *paths: str) -> dict[str, bytes]:
    return {path: data for path, data in tree.files.items() if path not in paths}


def test_everything_but_the_file_a_worker_is_stuck_at_is_indexed(tree: SourceTree, index_path: Path, run: Run) -> None:
    """It comes last, so all that the worker has done is in a piece that is lost with it."""
    tree.grow(60)
    tree.write("zz/endless.py", ENDLESS)
    stats = run()
    others = without(tree, "zz/endless.py")
    assert stats.skipped == {STUCK: 1}
    assert (stats.files, stats.added, stats.interrupted) == (60, 60, False)
    assert stats.new_chunks == stats.chunks == expected_chunks(others).total()
    assert stats.bytes == sum(map(len, tree.files.values()))
    assert served_chunks(index_path) == expected_chunks(others)


def test_the_run_names_the_file_and_says_what_becomes_of_it(tree: SourceTree, run: Run) -> None:
    tree.write("deep/endless\n.py", ENDLESS)
    assert run().notes == [
        "'deep/endless\\n.py' was given up after 0.5 s of processor time, most likely because its grammar never comes "
        "to an end: it is skipped until it changes"
    ]


def test_the_next_run_does_not_try_it_again_until_it_changes(tree: SourceTree, index_path: Path, run: Run) -> None:
    tree.grow(5)
    tree.write("endless.py", ENDLESS)
    run()
    stats = run()
    assert (stats.unchanged, stats.bytes, stats.notes, stats.skipped) == (5, 0, [], {STUCK: 1})
    tree.write("endless.py", b"#\n" + ENDLESS)
    stats = run()
    assert (stats.added + stats.changed, stats.skipped) == (1, {})
    assert served_chunks(index_path) == expected_chunks(tree.files)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_may_get_stuck_at_several_files(tree: SourceTree, index_path: Path, run: Run, workers: int) -> None:
    """What one worker left out is lost when it gets stuck itself, or what two are at at once."""
    tree.grow(60)
    stuck = ["aa/endless.py", "zz/endless.py"]
    for path in stuck:
        tree.write(path, ENDLESS)
    stats = run(workers)
    assert (stats.skipped, stats.added, len(stats.notes)) == ({STUCK: 2}, 60, 2)
    assert stats.new_chunks == expected_chunks(without(tree, *stuck)).total()
    assert served_chunks(index_path) == expected_chunks(without(tree, *stuck))


def test_the_version_before_is_no_longer_served(tree: SourceTree, index_path: Path, run: Run) -> None:
    tree.grow(5)
    tree.write("endless.py", b"def sound():\n    pass\n")
    assert run().added == 6
    tree.write("endless.py", ENDLESS)
    assert run().skipped == {STUCK: 1}
    assert live_files(index_path)["endless.py"].skipped
    assert served_chunks(index_path) == expected_chunks(without(tree, "endless.py"))


def test_what_had_been_written_before_is_not_done_again(
    tree: SourceTree, index_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is a piece of its own: all but the last are safe when the worker is killed."""
    tree.grow(30)
    tree.write("zz/endless.py", ENDLESS)
    monkeypatch.setattr(worker, "_BYTES_PER_FILE_IN_PIECE", 1 << 40)

    class Counting(worker.Worker):
        def _take(self, path: str, size_bytes: int, mtime_ns: int, known_hash: bytes) -> None:
            with open(index_path.parent / "read", "a") as file:
                file.write(path + "\n")
            super()._take(path, size_bytes, mtime_ns, known_hash)

    monkeypatch.setattr(team, "Worker", Counting)
    assert run().added == 30
    read = (index_path.parent / "read").read_text().split("\n")[:-1]
    assert sorted(read) == sorted(tree.files)
    assert served_chunks(index_path) == expected_chunks(without(tree, "zz/endless.py"))


def test_a_file_that_changes_while_a_worker_is_stuck_at_it_is_tried_by_the_next_run(
    tree: SourceTree, index_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.write("endless.py", ENDLESS)

    class Changing(worker.Worker):
        def _leave_out(self, path: str, size_bytes: int, mtime_ns: int, known_hash: bytes) -> None:
            os.utime(tree.root / path, ns=(10**18, 10**18))
            (tree.root / path).write_bytes(ENDLESS.replace(b"endless", b"limited"))
            super()._leave_out(path, size_bytes, mtime_ns, known_hash)

    monkeypatch.setattr(team, "Worker", Changing)
    assert run().skipped == {STUCK: 1}
    tree.files["endless.py"] = ENDLESS.replace(b"endless", b"limited")
    assert run().skipped == {}
    assert served_chunks(index_path) == expected_chunks(tree.files)


def test_a_run_that_is_asked_to_stop_does_not_wait_for_a_stuck_worker(tree: SourceTree, run: Run) -> None:
    tree.write("endless.py", ENDLESS)
    asked = itertools.count()
    stats = run(stopped=lambda: next(asked) > 4)
    assert stats.interrupted
    assert stats.skipped == {STUCK: 1}, "the next run would get stuck again"


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_stuck_worker_ends_with_its_coordinator(tree: SourceTree, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.write("endless.py", ENDLESS)
    monkeypatch.setattr(team, "STUCK_AFTER_S", 1e6)
    pid = os.fork()
    if pid == 0:
        try:
            run()
        finally:
            os._exit(1)
    deadline = time.monotonic() + 120
    workers: list[int] = []
    while not any(at_work(child) for child in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)
        workers = children(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while any(alive(child) for child in workers) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = [pid for pid in workers if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "it goes on for ever"


def status(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def at_work(pid: int) -> bool:
    """Whether a process has used a tenth of a second of processor time."""
    fields = status(pid)
    return int(fields[11]) + int(fields[12]) >= 0.1 * os.sysconf("SC_CLK_TCK")


def alive(pid: int) -> bool:
    """A process that nobody waits for may stay a zombie: in a container without an init, for ever."""
    try:
        return status(pid)[0] != b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from index_contents import expected_chunks, served_chunks
from source_tree import SourceTree

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.errors import IndexLockedError, IndexWriteError
from flyweight.index.lock import LOCK_NAME, WriterLock

HOLDER = """
import sys
from flyweight.index.lock import WriterLock
lock = WriterLock(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock until it is told to go."""
    command = [sys.executable, "-c", HOLDER, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process


def test_a_second_writer_is_told_which_process_holds_the_lock(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        for _ in range(3):
            with pytest.raises(IndexLockedError, match=rf"process {process.pid}\b"):
                WriterLock(str(tmp_path))


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
    WriterLock(str(tmp_path)).release()


_OUTLIVED = """
import os, sys, time
from flyweight.index.lock import WriterLock
lock = WriterLock(sys.argv[1])
if os.fork() == 0:
    time.sleep(1.2)
    os._exit(0)
print("held", flush=True)
os._exit(0)
"""


def test_a_lock_that_a_dead_writer_s_child_still_holds_is_waited_for(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OUTLIVED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.wait()
        WriterLock(str(tmp_path)).release()


def test_a_released_lock_is_free_and_names_its_next_holder(tmp_path: Path) -> None:
    WriterLock(str(tmp_path)).release()
    (tmp_path / LOCK_NAME).write_text("1234567890")
    lock = WriterLock(str(tmp_path))
    assert (tmp_path / LOCK_NAME).read_text() == str(os.getpid())
    with pytest.raises(IndexLockedError, match=rf"process {os.getpid()}\b"):
        WriterLock(str(tmp_path))
    lock.release()
    WriterLock(str(tmp_path)).release()


def test_a_child_that_outlives_its_writer_does_not_keep_the_lock(tmp_path: Path) -> None:
    read_fd, write_fd = os.pipe()
    writer = os.fork()
    if writer == 0:
        lock = WriterLock(str(tmp_path))
        if os.fork() == 0:
            lock.forget()
            os.write(write_fd, b"%d\n" % os.getpid())
            time.sleep(60)
            os._exit(0)
        time.sleep(60)
        os._exit(0)
    child = int(os.read(read_fd, 32))
    try:
        with pytest.raises(IndexLockedError):
            WriterLock(str(tmp_path))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        WriterLock(str(tmp_path)).release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(read_fd)
        os.close(write_fd)


def test_two_indexes_are_locked_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = WriterLock(str(tmp_path / "a")), WriterLock(str(tmp_path / "b"))
    first.release()
    second.release()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(IndexWriteError, match="nowhere"):
        WriterLock(str(tmp_path / "nowhere"))


def test_indexing_while_another_process_does_is_refused_and_harmless(tree: SourceTree, index_path: Path) -> None:
    tree.grow(5)
    with SemanticSearchEngine(SearchConfig(index_path=index_path)) as engine:
        engine.index(tree.root)
        before = {name: (index_path / name).read_bytes() for name in os.listdir(index_path) if name != LOCK_NAME}
        tree.grow(5)
        with holder(index_path) as process:
            with pytest.raises(IndexLockedError, match=rf"process {process.pid}\b"):
                engine.index(tree.root)
            assert engine.search("record"), "readers do not care about the lock"
        assert {name: (index_path / name).read_bytes() for name in before} == before
        assert engine.index(tree.root).added == 5


CONTENDER = """
import sys
from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.errors import IndexLockedError
try:
    print(SemanticSearchEngine(SearchConfig(index_path=sys.argv[2])).index(sys.argv[1]).files)
except IndexLockedError as error:
    print(error)
"""


def test_of_several_writers_at_once_one_writes_and_the_others_are_refused(tree: SourceTree, index_path: Path) -> None:
    tree.grow(150)
    command = [sys.executable, "-c", CONTENDER, str(tree.root), str(index_path)]
    contenders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [process.communicate(timeout=300)[0] for process in contenders]
    assert [process.returncode for process in contenders] == [0] * 4
    built = outputs.count("150\n")
    refused = sum("is being written by process" in output for output in outputs)
    assert built >= 1
    assert built + refused == 4, outputs
    assert served_chunks(index_path) == expected_chunks(tree.files)

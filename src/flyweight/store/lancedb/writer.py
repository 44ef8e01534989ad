"""A LanceDB table, open for one build: the coordinator's and the workers' half. See `flyweight.store.BuildStore`.

LanceDB itself is in a process of its own (`pour.py`), which takes in what workers leave in spool files while they go
on; the coordinator waits for it only when it is far behind, and at the end.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

from flyweight.errors import IndexWriteError, StoreError, error_named
from flyweight.index.channel import Channel
from flyweight.index.lock import WriterLock
from flyweight.index.memory import private_bytes
from flyweight.index.own_directory import make_own_directory
from flyweight.process_end import how_it_ended
from flyweight.store.lancedb.known_files import KnownFiles
from flyweight.store.lancedb.location import StoreLocation
from flyweight.store.lancedb.row_spool import RowSpool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from flyweight.index.request import BuildRequest
    from flyweight.store.lancedb.known_files import KnownLanceFile

_PIECES = "pieces-"
_LOCK_FD = 3
_REMOVED_AT_ONCE = 2000
# Pieces that may wait for the store process: disk, not memory, but a killed build does them again.
_WAITING_PIECES = 8
# Arrow and LanceDB would take a thread and an arena for every core, and keep what they have freed. Measured on 2 cores,
# private memory while 145,000 chunks are poured and then optimised: 150 and 290 MB; without Arrow's and malloc's
# settings 315 and 590 MB.
_PROCESS_SETTINGS = {
    "LANCE_CPU_THREADS": "2",
    "LANCE_IO_THREADS": "4",
    "RAYON_NUM_THREADS": "2",
    "TOKIO_WORKER_THREADS": "2",
    "OMP_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "1048576",
    "MALLOC_MMAP_THRESHOLD_": "524288",
    "LANCEDB_LOG": "error",
}


class LanceStore:
    """An index in a LanceDB table, open for one build."""

    def __init__(self, spec: str, options: Mapping[str, object]) -> None:
        self._location = StoreLocation.parse(spec, options)
        self._locks: list[WriterLock] = []
        self._process: _StoreProcess | None = None
        self._known: KnownFiles | None = None
        self._directory = ""
        self._rebuilt: list[str] | None = None
        self._generation = self._live_chunks = 0

    def open(self, request: BuildRequest, embedder: str, dimensions: int) -> None:
        self._lock(request.index_path)
        self._directory = _piece_directory(request.index_path)
        known_path = os.path.join(self._directory, "known-files")
        self._process = _StoreProcess(self._locks[-1])
        fields = self._location.fields()
        self._process.send("open", fields, embedder, dimensions, request.root, request.rebuild, known_path)
        self._settle_all()
        if request.rebuild:
            self._rebuilt = []
        else:
            self._known = KnownFiles(known_path)

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def live_chunks(self) -> int:
        return self._live_chunks

    @property
    def private_bytes(self) -> int:
        return 0 if self._process is None else private_bytes(self._process.pid)

    def find(self, path: str) -> KnownLanceFile | None:
        return None if self._known is None else self._known.find(path)

    def release(self) -> None:
        """Nothing: the list of known files is on disk."""

    def in_worker(self) -> None:
        for lock in self._locks:
            lock.forget()
        if self._process is not None:
            self._process.forget()

    def piece(self, name: str) -> RowSpool:
        return RowSpool(self._spool_path(name))

    def take(self, name: str, size_bytes: int, files: int, chunks: int, replaced: list[str]) -> None:
        path = self._spool_path(name)
        if self._rebuilt is not None:
            self._rebuilt.append(path)
            return
        assert self._process is not None
        self._process.send("pour", [path], replaced, leftovers=[path])
        self._settle(_WAITING_PIECES)

    def publish(self, *, complete: bool) -> None:
        assert self._process is not None
        if self._rebuilt is None:
            self._settle_all()
        elif complete:
            self._process.send("replace", self._rebuilt, leftovers=self._rebuilt)
            self._settle_all()
            self._rebuilt = []

    def kill_unseen(self) -> int:
        if self._known is None:
            return 0
        assert self._process is not None
        killed = 0
        paths: list[str] = []
        for path, skipped in self._known.unseen():
            killed += not skipped
            paths.append(path)
            if len(paths) == _REMOVED_AT_ONCE:
                self._remove(paths)
                paths = []
        if paths:
            self._remove(paths)
        return killed

    def finish(self, phase: Callable[[str], object]) -> None:
        assert self._process is not None
        self._process.send("keep")
        self._settle_all(phase)

    def abandon_rebuild(self) -> None:
        self._rebuilt = []

    def close(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._known is not None:
            self._known.close()
            self._known = None
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = ""
        for lock in self._locks:
            lock.release()
        self._locks = []

    def _lock(self, index_path: str) -> None:
        self._locks.append(WriterLock(index_path))
        if self._location.is_local:
            try:
                make_own_directory(self._location.uri)
            except OSError as error:
                raise StoreError(
                    f"cannot write to the LanceDB store at {self._location.uri}: {error.strerror}"
                ) from None
            self._locks.append(WriterLock(self._location.uri, f"{self._location.table}.lock"))

    def _spool_path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _remove(self, paths: list[str]) -> None:
        assert self._process is not None
        self._process.send("remove", paths)
        self._settle(0)

    def _settle(self, waiting: int, phase: Callable[[str], object] = lambda name: None) -> None:
        """Takes answers until no more than `waiting` are outstanding."""
        assert self._process is not None
        while self._process.outstanding > waiting:
            state = self._process.receive(phase)
            if state:
                self._generation, self._live_chunks = state

    def _settle_all(self, phase: Callable[[str], object] = lambda name: None) -> None:
        """Takes all answers, and asks what readers see now."""
        assert self._process is not None
        self._process.send("state")
        self._settle(0, phase)


class _StoreProcess:
    """The process that writes, as the coordinator sees it."""

    def __init__(self, lock: WriterLock) -> None:
        ours, theirs = Channel.pair()
        lock_fd = os.dup(lock.fd)  # it holds the lock with us, and until it has ended
        command = [sys.executable, "-P", "-m", "flyweight.store.lancedb.pour"]
        actions = [
            (os.POSIX_SPAWN_DUP2, theirs.read_fd, 0),
            (os.POSIX_SPAWN_DUP2, theirs.write_fd, 1),
            (os.POSIX_SPAWN_DUP2, lock_fd, _LOCK_FD),
        ]
        try:
            self.pid = os.posix_spawn(
                sys.executable, command, {**os.environ, **_PROCESS_SETTINGS}, file_actions=actions
            )
        except OSError as error:
            ours.close()
            raise StoreError(f"cannot start the store process: {error.strerror}") from None
        finally:
            theirs.close()
            os.close(lock_fd)
        self._channel = ours
        self._leftovers: list[list[str]] = []

    @property
    def outstanding(self) -> int:
        return len(self._leftovers)

    def send(self, *message: Any, leftovers: list[str] | None = None) -> None:
        """Asks for something; `leftovers` are files to be removed when it is done."""
        try:
            self._channel.send(*message)
        except BrokenPipeError:
            raise self._death() from None
        self._leftovers.append(leftovers or [])

    def receive(self, phase: Callable[[str], object]) -> list[Any]:
        """The answer to the longest outstanding question; empty for most. `phase` is told what takes its time."""
        message = self._channel.receive()
        if message is None:
            raise self._death()
        kind, *values = message
        if kind == "phase":
            phase(*values)
            return []
        leftovers = self._leftovers.pop(0)
        if kind == "failed":
            class_name, text = values
            raise error_named(class_name, text, StoreError)
        for path in leftovers:
            os.unlink(path)
        return values

    def forget(self) -> None:
        """In a forked child: its copies of the pipes would keep the process from seeing us end."""
        self._channel.close()

    def stop(self) -> None:
        if self.pid:
            self._channel.close()
            os.waitpid(self.pid, 0)
            self.pid = 0

    def _death(self) -> StoreError:
        self._channel.close()
        how = how_it_ended(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))
        self.pid = 0
        return StoreError(f"the store process {how}: what it had committed stands; run again to go on from there")


def _piece_directory(index_path: str) -> str:
    """A fresh directory for pieces; those of builds that were killed go."""
    try:
        for name in os.listdir(index_path):
            if name.startswith(_PIECES):
                shutil.rmtree(os.path.join(index_path, name), ignore_errors=True)
        return tempfile.mkdtemp(prefix=_PIECES, dir=index_path)
    except OSError as error:
        raise IndexWriteError(f"cannot write to {index_path}: {error.strerror}") from None

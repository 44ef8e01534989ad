"""Starts a builder process and follows it. Runs in the resident: `subprocess` alone would cost it 2 MB."""

from __future__ import annotations

import os
import sys

from flyweight import errors
from flyweight.errors import BuildError
from flyweight.index.stats import IndexProgress, IndexStats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SIGINT, _SIGTERM = 2, 15  # `signal` would bring `enum` with it, 0.8 MB
# glibc keeps freed memory for reuse by default, up to 64 MB an arena; the builder's budget is for what it holds.
# Below 4 MB a syntax tree's memory goes to the system and comes back with every file: 6 % of the time.
_MALLOC_SETTINGS = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "4194304",
    "MALLOC_MMAP_THRESHOLD_": "4194304",
}


def run_builder(
    *,
    root: str,
    index_path: str,
    dimensions: int,
    batch_size: int,
    memory_budget: int,
    rebuild: bool,
    workers: int,
    progress: Callable[[IndexProgress], object] | None,
) -> IndexStats:
    """Builds in a child process and returns its statistics; raises what it raised.

    An interrupt (Ctrl-C) is passed on to the builder, which commits what it has; it is raised again afterwards.
    """
    settings = {
        "root": root,
        "index_path": index_path,
        "dimensions": dimensions,
        "batch_size": batch_size,
        "memory_budget": memory_budget,
        "rebuild": int(rebuild),
        "workers": workers,
    }
    read_fd, write_fd = os.pipe()
    # -P: the directory the user stands in may hold a module named like one of ours.
    command = [sys.executable, "-P", "-m", "flyweight.index", *(f"{key}={value}" for key, value in settings.items())]
    try:
        pid = os.posix_spawn(
            sys.executable,
            command,
            {**os.environ, **_MALLOC_SETTINGS},
            file_actions=[(os.POSIX_SPAWN_DUP2, write_fd, 1)],
            setpgroup=0,
            setsigmask=(_SIGINT, _SIGTERM),  # until its handlers stand
        )
    except OSError as error:
        os.close(read_fd)
        raise BuildError(f"cannot start the builder process: {error.strerror}") from None
    finally:
        os.close(write_fd)
    try:
        return _Follower(progress).follow(read_fd, pid)
    finally:
        os.close(read_fd)


class _Follower:
    def __init__(self, progress: Callable[[IndexProgress], object] | None) -> None:
        self._progress = progress
        self._stats: IndexStats | None = None
        self._error: errors.FlyweightError | None = None
        self._raised: BaseException | None = None

    def follow(self, fd: int, pid: int) -> IndexStats:
        pending = b""
        while True:
            try:
                piece = os.read(fd, 65536)
                if not piece:
                    break
                *lines, pending = (pending + piece).split(b"\n")
                for line in lines:
                    self._take([unescape(field) for field in os.fsdecode(line).split("\t")])
            except BaseException as raised:  # a callback's error or an interrupt: the builder stops in good order
                self._raised = self._raised or raised
                _signal(pid)  # every time: asked twice, the builder does not wait for its workers
        _, status = os.waitpid(pid, 0)
        if self._raised is not None:
            raise self._raised
        if self._error is not None:
            raise self._error
        if self._stats is None:
            code = os.waitstatus_to_exitcode(status)
            how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
            raise BuildError(f"the builder process {how}: run again to go on from what was committed")
        return self._stats

    def _take(self, fields: list[str]) -> None:
        kind, *values = fields
        if kind == "progress" and self._progress is not None and self._raised is None:
            phase, files, total_files, chunks, size, total_size, seconds = values
            self._progress(
                IndexProgress(
                    phase, int(files), int(total_files), int(chunks), int(size), int(total_size), float(seconds)
                )
            )
        elif kind == "stats":
            self._stats = IndexStats()
            for value in values:
                name, _, text = value.partition("=")
                parsed = text == "True" if name == "interrupted" else float(text) if name == "seconds" else int(text)
                setattr(self._stats, name, parsed)
        elif kind == "skipped" and self._stats is not None:
            self._stats.skipped[values[0]] = int(values[1])
        elif kind == "error":
            kind_of_error = getattr(errors, values[0], BuildError)
            self._error = kind_of_error(values[1])


def _signal(pid: int) -> None:
    try:
        os.kill(pid, _SIGINT)
    except ProcessLookupError:
        pass


def escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def unescape(text: str) -> str:
    pieces = text.split("\\\\")
    return "\\".join(piece.replace("\\t", "\t").replace("\\n", "\n").replace("\\r", "\r") for piece in pieces)

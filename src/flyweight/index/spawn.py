"""Starts a builder process and follows it. Runs in the resident: `subprocess` alone would cost it 2 MB."""

from __future__ import annotations

import marshal
import os
import sys

from flyweight.errors import BuildError, ConfigError, FlyweightError, error_named
from flyweight.index.stats import IndexProgress, IndexStats
from flyweight.process_end import how_it_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    embedder: dict[str, str],
    batch_size: int,
    memory_budget: int,
    rebuild: bool,
    workers: int,
    progress: Callable[[IndexProgress], object] | None,
    store: str = "segments",
    store_options: Mapping[str, object] | None = None,
    embedding_cache: str | None = None,
    max_requests: int | None = None,
    max_tokens: int | None = None,
) -> IndexStats:
    """Builds in a child process and returns its statistics; raises what it raised.

    `embedder`: EmbedderSettings.fields(). An interrupt (Ctrl-C) is passed on to the builder, which commits what it has;
    it is raised again afterwards.
    """
    settings = {
        "root": root,
        "index_path": index_path,
        "embedder": embedder,
        "store": store,
        "store_options": dict(store_options or {}),
        "embedding_cache": embedding_cache,
        "max_requests": max_requests,
        "max_tokens": max_tokens,
        "batch_size": batch_size,
        "memory_budget": memory_budget,
        "rebuild": rebuild,
        "workers": workers,
    }
    # Not on the command line, which every user of the machine can read: settings may hold keys.
    settings_fd = _filled_pipe(marshal.dumps(settings))
    read_fd, write_fd = os.pipe()
    # -P: the directory the user stands in may hold a module named like one of ours.
    command = [sys.executable, "-P", "-m", "flyweight.index"]
    try:
        pid = os.posix_spawn(
            sys.executable,
            command,
            {**os.environ, **_MALLOC_SETTINGS},
            file_actions=[(os.POSIX_SPAWN_DUP2, settings_fd, 0), (os.POSIX_SPAWN_DUP2, write_fd, 1)],
            setpgroup=0,
            setsigmask=(_SIGINT, _SIGTERM),  # until its handlers stand
        )
    except OSError as error:
        os.close(read_fd)
        raise BuildError(f"cannot start the builder process, {sys.executable}: {error.strerror}") from None
    finally:
        os.close(write_fd)
        os.close(settings_fd)
    try:
        return _Follower(progress).follow(read_fd, pid)
    finally:
        os.close(read_fd)


def _filled_pipe(data: bytes) -> int:
    """The reading end of a pipe that holds `data`: nothing is left to do once the builder has started."""
    read_fd, write_fd = os.pipe()
    try:
        os.set_blocking(write_fd, False)
        if os.write(write_fd, data) == len(data):
            return read_fd
    except BlockingIOError:
        pass
    finally:
        os.close(write_fd)
    os.close(read_fd)
    raise ConfigError(
        f"the settings of the builder take {len(data):,} bytes, more than a pipe holds: shorten its options"
    )


def _set_fields(report: IndexProgress | IndexStats, values: list[str]) -> None:
    for value in values:
        name, _, text = value.partition("=")
        kind = type(getattr(report, name))
        setattr(report, name, text == "True" if kind is bool else kind(text))


class _Follower:
    def __init__(self, progress: Callable[[IndexProgress], object] | None) -> None:
        self._progress = progress
        self._stats: IndexStats | None = None
        self._error: FlyweightError | None = None
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
            how = how_it_ended(os.waitstatus_to_exitcode(status))
            raise BuildError(f"the builder process {how}: run again to go on from what was committed")
        return self._stats

    def _take(self, fields: list[str]) -> None:
        kind, *values = fields
        if kind == "progress" and self._progress is not None and self._raised is None:
            progress = IndexProgress("")
            _set_fields(progress, values)
            self._progress(progress)
        elif kind == "stats":
            self._stats = IndexStats()
            _set_fields(self._stats, values)
        elif kind == "skipped" and self._stats is not None:
            self._stats.skipped[values[0]] = int(values[1])
        elif kind == "unembedded" and self._stats is not None:
            path, first_line, last_line, reason = values
            self._stats.unembedded.append((path, int(first_line), int(last_line), reason))
        elif kind == "note" and self._stats is not None:
            self._stats.notes.append(values[0])
        elif kind == "error":
            self._error = error_named(values[0], values[1])


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

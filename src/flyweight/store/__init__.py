"""Where an index is kept: what a build asks of a store, and which stores there are.

The package is imported by the resident, so nothing heavy here: the protocols exist for type checkers only.
"""

from __future__ import annotations

from flyweight.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from flyweight.index.chunk import Chunk
    from flyweight.index.request import BuildRequest

    class KnownFile(Protocol):
        """A file as the store had it before this run. `name` is its language, or the reason it was skipped."""

        @property
        def size_bytes(self) -> int: ...
        @property
        def mtime_ns(self) -> int: ...
        @property
        def content_hash(self) -> bytes: ...
        @property
        def name(self) -> str: ...
        @property
        def skipped(self) -> bool: ...
        @property
        def chunk_count(self) -> int: ...
        @property
        def seen(self) -> bool:
            """Whether the walk has met the file. What it has not met when the walk is over dies by `kill_unseen`."""
            ...

        @seen.setter
        def seen(self, seen: bool) -> None: ...
        def was_touched(self, mtime_ns: int) -> None:
            """Its content is the same with this time of modification: if the store can remember that, the next run
            need not read the file."""
            ...

    class Piece(Protocol):
        """A part of the index under construction, written by one worker. `SegmentBuilder` is one."""

        def add_file(
            self,
            path: str,
            language: str,
            content_hash: bytes,
            mtime_ns: int,
            text: bytes,
            chunks: list[Chunk],
            vectors: bytes,
        ) -> None: ...
        def add_skipped(self, path: str, reason: str, content_hash: bytes, size_bytes: int, mtime_ns: int) -> None: ...
        @property
        def file_count(self) -> int: ...
        @property
        def chunk_count(self) -> int: ...
        @property
        def buffered_bytes(self) -> int:
            """Memory it holds, about: a worker ends the piece when this nears its share."""
            ...

        def finish(self) -> int:
            """Leaves the piece where `BuildStore.take` of the coordinator finds it; returns its size in bytes."""
            ...

    class BuildStore(Protocol):
        """One index, open for one build. Methods raise FlyweightError; OSError counts as a failed write.

        The coordinator calls everything in one thread: `open`, then `find` and `release` while it walks, `take` as
        workers finish pieces, `publish` now and then; at the end `kill_unseen`, `publish`, `finish`, or
        `abandon_rebuild`; `close` always. Workers are forked after `open`; each calls `in_worker` once and then
        `piece` only.
        """

        @property
        def generation(self) -> int:
            """Grows with every change that readers can see."""
            ...

        @property
        def live_chunks(self) -> int:
            """Those that readers see."""
            ...

        @property
        def private_bytes(self) -> int:
            """Private memory of the store's own process at this moment; 0 when it has none."""
            ...

        def open(self, request: BuildRequest, embedder: str, dimensions: int) -> None:
            """Locks the store against other writers and reads the state before.

            Raises IndexLockedError, IndexMismatchError (another tree, embedder or number of dimensions), and what
            damage calls for. With `request.rebuild` the state before serves readers until `publish(complete=True)`,
            and damage is no error.
            """
            ...

        def find(self, path: str) -> KnownFile | None:
            """The live file with this path, as it was before this run; None in a rebuild."""
            ...

        def release(self) -> None:
            """Gives back what lookups have cached: called every thousand files."""
            ...

        def in_worker(self) -> None:
            """In a forked child: closes what belongs to the coordinator (locks, connections)."""
            ...

        def piece(self, name: str) -> Piece:
            """Begins a piece. `name` is unique among all builds: it also says which run began it."""
            ...

        def take(self, name: str, size_bytes: int, files: int, chunks: int, replaced: list[str]) -> None:
            """Takes in a finished piece; the older versions of its files, whose paths are `replaced`, die.

            Readers see it by the next `publish`, or at once where the store commits piece by piece; in a rebuild not
            before the last.
            """
            ...

        def publish(self, *, complete: bool) -> None:
            """Shows readers the state so far, durably, if anything has changed. `complete`: the build is done."""
            ...

        def kill_unseen(self) -> int:
            """Removes the files that were not `seen`; returns how many of them had been indexed (not skipped)."""
            ...

        def finish(self, phase: Callable[[str], object]) -> None:
            """Tidies up after the last `publish` of a run that was not cut short: leftovers, merging, index structures.

            Calls `phase("merge")` or `phase("optimise")` when something begins that takes its time.
            """
            ...

        def abandon_rebuild(self) -> None:
            """Throws away what an interrupted rebuild wrote: the state before stands."""
            ...

        def close(self) -> None:
            """Unlocks. Harmless twice and after a failed `open`."""
            ...


SEGMENTS = "segments"


def store_for(spec: str, options: Mapping[str, object], index_path: str) -> BuildStore:
    """The store that `spec` names, ready to be opened: "segments" or "lancedb:<uri>". Raises ConfigError."""
    if spec == SEGMENTS:
        from flyweight.store.segments import SegmentStore

        if options:
            raise ConfigError(f"store 'segments' has no options: leave out {', '.join(sorted(options))}")
        return SegmentStore()
    from flyweight.store.lancedb.location import PREFIX

    if spec.startswith(PREFIX) and spec != PREFIX:
        from flyweight.store.lancedb.writer import LanceStore

        return LanceStore(spec, options)
    raise ConfigError(f"unknown store {spec!r}: 'segments' or 'lancedb:<uri>'")

"""The store of mapped segments: a manifest in a directory, and the segments it names.

Every piece a worker finishes is a segment that enters the manifest, so a build that is killed keeps what it had done
and the next run goes on from there. `docs/index-format.md` says why each step is safe to stop after.
"""

from __future__ import annotations

import os
import time

from flyweight._build import SegmentBuilder, merge_segments
from flyweight.errors import FlyweightError, IndexMismatchError, IndexMissingError
from flyweight.index.catalogue import Catalogue
from flyweight.index.compaction import segments_to_merge
from flyweight.index.later_times import SUFFIX as LATER_TIMES
from flyweight.index.later_times import LaterTimes
from flyweight.index.lock import LOCK_NAME, WriterLock
from flyweight.index.manifest import MANIFEST_NAME, Manifest, SegmentEntry, read_manifest, write_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from flyweight.index.catalogue import KnownFile
    from flyweight.index.request import BuildRequest

_SUFFIX = ".segment"


class SegmentStore:
    """An index directory, open for one build. See `flyweight.store.BuildStore`."""

    private_bytes = 0  # all in the builder's own processes

    def __init__(self) -> None:
        self._lock: WriterLock | None = None

    def open(self, request: BuildRequest, embedder: str, dimensions: int) -> None:
        self._request = request
        self._directory = request.index_path
        self._embedder = embedder
        self._dimensions = dimensions
        self._lock = WriterLock(self._directory)
        self._manifest = self._previous_manifest()
        if not request.rebuild:  # else the old segments serve until the new manifest stands
            self._remove_strays()
        self._catalogue = Catalogue(self._directory, self._manifest.segments)
        self._changed = len(self._catalogue.before) != len(self._manifest.segments)

    @property
    def generation(self) -> int:
        return self._manifest.generation

    @property
    def live_chunks(self) -> int:
        return self._manifest.live_chunks

    def find(self, path: str) -> KnownFile | None:
        return self._catalogue.find(path)

    def release(self) -> None:
        self._catalogue.release()

    def in_worker(self) -> None:
        assert self._lock is not None
        self._lock.forget()

    def piece(self, name: str) -> SegmentBuilder:
        return SegmentBuilder(self._segment_path(name + _SUFFIX), self._dimensions, self._meta())

    def take(self, name: str, size_bytes: int, files: int, chunks: int, replaced: list[str]) -> None:
        self._catalogue.add(SegmentEntry(name + _SUFFIX, size_bytes, files, chunks), replaced)
        self._changed = True

    def publish(self, *, complete: bool) -> None:
        if self._request.rebuild and not complete:
            return  # a rebuild shows nothing until it is whole: the old index serves on
        manifest = self._manifest
        if self._changed or manifest.complete != complete or manifest.generation == 0:
            self._write_manifest(complete)

    def kill_unseen(self) -> int:
        killed = self._catalogue.kill_unseen()
        self._changed = self._changed or killed > 0
        return killed

    def finish(self, phase: Callable[[str], object]) -> None:
        chosen = segments_to_merge(self._catalogue.entries(), {entry.name for entry in self._catalogue.added})
        if chosen:
            phase("merge")
            self._merge(chosen)
        self._remove_strays()

    def abandon_rebuild(self) -> None:
        for entry in self._catalogue.added:
            _remove(os.path.join(self._directory, entry.name))
        try:
            self._manifest = read_manifest(self._directory)
        except FlyweightError:
            pass  # there was none, or it was the damage that the rebuild was to mend

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _previous_manifest(self) -> Manifest:
        request = self._request
        fresh = Manifest(
            generation=0,
            root=request.root,
            embedder=self._embedder,
            dimensions=self._dimensions,
            complete=False,
            segments=[],
        )
        try:
            known = read_manifest(self._directory)
        except IndexMissingError:
            return fresh
        except FlyweightError:
            if request.rebuild:
                return fresh
            raise
        # An index of nothing, such as a failed first run leaves, binds nobody.
        if request.rebuild or not known.segments:
            fresh.generation = known.generation
            return fresh
        if known.root != request.root:
            raise IndexMismatchError(
                f"the index at {self._directory} is of {known.root}, not of {request.root}: "
                "choose another index path, or repeat the command with --rebuild to make it anew"
            )
        if (known.embedder, known.dimensions) != (fresh.embedder, fresh.dimensions):
            raise IndexMismatchError(
                f"the index at {self._directory} was made with {known.embedder} in {known.dimensions} dimensions, "
                f"not {fresh.embedder} in {fresh.dimensions}: keep to that, or repeat the command with --rebuild"
            )
        return known

    def _remove_strays(self) -> None:
        """Files of builds that were killed: whatever the manifest does not name."""
        named = {MANIFEST_NAME, LOCK_NAME, ".gitignore"}
        for entry in self._manifest.segments:
            named |= {entry.name, entry.name + LATER_TIMES}
        for name in os.listdir(self._directory):
            if name not in named and (_SUFFIX in name or name.startswith((MANIFEST_NAME, "spill-", "pending-"))):
                _remove(os.path.join(self._directory, name))

    def _write_manifest(self, complete: bool) -> None:
        self._manifest = Manifest(
            generation=self._manifest.generation + 1,
            root=self._request.root,
            embedder=self._embedder,
            dimensions=self._dimensions,
            complete=complete,
            segments=self._catalogue.entries(),
        )
        write_manifest(self._directory, self._manifest)
        self._changed = False

    def _merge(self, chosen: list[SegmentEntry]) -> None:
        merged_name = f"{time.time_ns():x}-{os.getpid():x}-merged{_SUFFIX}"
        inputs = [(self._segment_path(entry.name), entry.dead) for entry in chosen]
        size_bytes, files, chunks = merge_segments(inputs, self._segment_path(merged_name), self._meta())
        catalogue = self._catalogue
        later_times = catalogue.later_times_of(chosen)
        if later_times:
            LaterTimes(os.path.join(self._directory, merged_name), files).note(later_times)
        gone = {entry.name for entry in chosen}
        catalogue.before = [segment for segment in catalogue.before if segment.entry.name not in gone]
        catalogue.added = [entry for entry in catalogue.added if entry.name not in gone]
        catalogue.added.insert(0, SegmentEntry(merged_name, size_bytes, files, chunks))
        self._write_manifest(complete=True)

    def _segment_path(self, name: str) -> bytes:
        return os.fsencode(os.path.join(self._directory, name))

    def _meta(self) -> bytes:
        """What a segment says of its making."""
        return f"embedder={self._embedder}\ndimensions={self._dimensions}\n".encode()


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass

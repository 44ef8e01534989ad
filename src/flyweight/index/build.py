"""The coordinator of a build: walk -> compare with the index -> workers -> manifest -> merge.

Every segment a worker finishes enters the manifest at once, so a build that is killed keeps what it had done and the
next run goes on from there. `docs/index-format.md` says why each step is safe to stop after.
"""

from __future__ import annotations

import marshal
import os
import tempfile
import time

from flyweight._build import merge_segments
from flyweight.errors import FlyweightError, IndexMismatchError, IndexMissingError, IndexWriteError, PathError
from flyweight.index.catalogue import Catalogue
from flyweight.index.compaction import segments_to_merge
from flyweight.index.lock import LOCK_NAME, WriterLock
from flyweight.index.manifest import MANIFEST_NAME, Manifest, SegmentEntry, read_manifest, write_manifest
from flyweight.index.memory import private_bytes
from flyweight.index.request import BuildRequest
from flyweight.index.stats import IndexProgress, IndexStats
from flyweight.index.team import Team, segment_meta
from flyweight.index.walk import Skipped, walk
from flyweight.index.worker import ADDED, CHANGED, NO_HASH, UNCHANGED, VANISHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from flyweight.embed import Embedder

    Report = Callable[[IndexProgress], None]

_BATCH_FILES = 24
_BATCH_BYTES = 192 * 1024
_REPORT_EVERY_S = 0.1
_PUBLISH_EVERY_S = 2.0  # at most this often: each time costs two syncs


def build(
    request: BuildRequest, embedder: Embedder, report: Report, stopped: Callable[[], bool] = lambda: False
) -> IndexStats:
    """Brings the index in line with the tree. Raises FlyweightError; what was committed before stays usable.

    Once `stopped()` is true nothing new is begun: what the workers hold is committed and the statistics say that the
    run was interrupted.
    """
    walk(request.root)  # a root that is not there is said before anything is created
    if os.path.commonpath([request.root, request.index_path]) == request.index_path:
        raise PathError(
            f"the index at {request.index_path} would hold {request.root}, the tree it is of: choose another index path"
        )
    _make_index_directory(request.index_path)
    try:
        lock = WriterLock(request.index_path)
        try:
            return _Build(request, embedder, report, stopped, lock).run()
        finally:
            lock.release()
    except OSError as error:  # a full disk, mostly; reading the tree reports its own
        raise IndexWriteError(f"cannot write to {request.index_path}: {error.strerror}") from None


class _Build:
    def __init__(
        self,
        request: BuildRequest,
        embedder: Embedder,
        report: Report,
        stopped: Callable[[], bool],
        lock: WriterLock,
    ) -> None:
        self._request = request
        self._embedder = embedder
        self._report = report
        self._stopped = stopped
        self._lock = lock
        self._started = time.monotonic()
        self._reported = 0.0
        self._stats = IndexStats()
        self._progress = IndexProgress("scan")
        self._run_name = f"{time.time_ns():x}-{os.getpid():x}"
        self._published = self._started
        self._manifest = self._previous_manifest()
        self._changed = False

    def run(self) -> IndexStats:
        if not self._request.rebuild:  # else the old segments serve until the new manifest stands
            self._remove_strays()
        catalogue = Catalogue(self._request.index_path, self._manifest.segments)
        self._changed = len(catalogue.before) != len(self._manifest.segments)
        with tempfile.TemporaryFile(dir=self._request.index_path, prefix="pending-") as spool:
            if self._scan(catalogue, spool):
                self._index(catalogue, spool)
        self._stats.interrupted = self._stopped()
        if self._stats.interrupted and self._request.rebuild:
            return self._abandoned_rebuild(catalogue)
        if not self._stats.interrupted:
            self._stats.removed = catalogue.kill_unseen()
        self._changed = self._changed or self._stats.removed > 0
        if self._changed or not self._manifest.complete or self._manifest.generation == 0:
            self._publish(catalogue, complete=not self._stats.interrupted)
        self._merge(catalogue)
        self._remove_strays()
        return self._finished_stats()

    # The index as it was

    def _previous_manifest(self) -> Manifest:
        request = self._request
        fresh = Manifest(
            generation=0,
            root=request.root,
            embedder=self._embedder.name,
            dimensions=self._embedder.dimensions,
            complete=False,
            segments=[],
        )
        try:
            known = read_manifest(request.index_path)
        except IndexMissingError:
            return fresh
        except FlyweightError:
            if request.rebuild:
                return fresh
            raise
        if request.rebuild:
            fresh.generation = known.generation
            return fresh
        if known.root != request.root:
            raise IndexMismatchError(
                f"the index at {request.index_path} is of {known.root}, not of {request.root}: "
                "choose another index path, or rebuild it with 'flyweight index --rebuild'"
            )
        if (known.embedder, known.dimensions) != (fresh.embedder, fresh.dimensions):
            raise IndexMismatchError(
                f"the index at {request.index_path} was made with {known.embedder} in {known.dimensions} dimensions, "
                f"not {fresh.embedder} in {fresh.dimensions}: rebuild it with 'flyweight index --rebuild'"
            )
        return known

    def _remove_strays(self) -> None:
        """Files of builds that were killed: whatever the manifest does not name."""
        named = {entry.name for entry in self._manifest.segments} | {MANIFEST_NAME, LOCK_NAME, ".gitignore"}
        for name in os.listdir(self._request.index_path):
            if name not in named and (".segment" in name or name.startswith((MANIFEST_NAME, "spill-", "pending-"))):
                _remove(os.path.join(self._request.index_path, name))

    # Scan: what has to be read

    def _scan(self, catalogue: Catalogue, spool: Any) -> int:
        """Writes the files to be read to `spool`; returns how many. Memory does not grow with the tree."""
        pending = total_bytes = 0
        skipped = self._stats.skipped
        for item in walk(self._request.root, max_file_bytes=self._request.max_file_bytes):
            if self._stopped():
                break
            if isinstance(item, Skipped):
                skipped[item.reason] = skipped.get(item.reason, 0) + 1
                continue
            known = catalogue.find(item.path)
            known_hash = NO_HASH
            if known is not None:
                known.seen = True
                if known.size_bytes == item.size_bytes and known.mtime_ns == item.mtime_ns:
                    self._count_unchanged(known.name if known.skipped else None)
                    continue
                known_hash = known.content_hash
            marshal.dump((item.path, item.size_bytes, item.mtime_ns, known_hash), spool)
            pending += 1
            total_bytes += item.size_bytes
            if pending % 1024 == 0:
                catalogue.release()
                self._progress.files = pending
                self._tell()
        catalogue.release()
        spool.flush()
        self._progress = IndexProgress("index", total_files=pending, total_bytes=total_bytes)
        self._tell(force=True)
        return pending

    def _count_unchanged(self, reason: str | None) -> None:
        if reason is None:
            self._stats.unchanged += 1
        else:
            self._stats.skipped[reason] = self._stats.skipped.get(reason, 0) + 1

    # Index: workers read, cut, embed

    def _index(self, catalogue: Catalogue, spool: Any) -> None:
        spool.seek(0)
        team = Team(self._request, self._embedder, self._run_name, self._lock)
        try:
            for message in team.work(_batches(spool), self._stopped):
                self._take(catalogue, message)
            for message in team.flush():
                self._take(catalogue, message)
        finally:
            self._stats.peak_private_bytes = team.peak_private_bytes
            team.stop()

    def _take(self, catalogue: Catalogue, message: tuple[Any, ...]) -> None:
        kind = message[0]
        if kind == "done":
            for path, outcome, chunks, size_bytes in message[1]:
                self._count(catalogue, path, outcome, chunks, size_bytes)
            self._tell()
        elif kind == "segment":
            _, name, size_bytes, files, chunks, replaced = message
            catalogue.add(SegmentEntry(name, size_bytes, files, chunks), replaced)
            self._changed = True
            # A rebuild shows nothing until it is whole: the old index serves on.
            if not self._request.rebuild and time.monotonic() - self._published >= _PUBLISH_EVERY_S:
                self._publish(catalogue, complete=False)

    def _count(self, catalogue: Catalogue, path: str, outcome: str, chunks: int, size_bytes: int) -> None:
        stats, progress = self._stats, self._progress
        progress.files += 1
        progress.chunks += chunks
        progress.bytes += size_bytes
        stats.bytes += size_bytes
        if outcome == UNCHANGED:
            known = catalogue.find(path)
            self._count_unchanged(known.name if known is not None and known.skipped else None)
            return
        if outcome in (ADDED, CHANGED):
            stats.new_chunks += chunks
            stats.added += outcome == ADDED
            stats.changed += outcome == CHANGED
            return
        stats.skipped[outcome] = stats.skipped.get(outcome, 0) + 1
        known = catalogue.find(path) if outcome == VANISHED else None
        if known is not None:
            known.seen = False  # gone between the walk and now: buried with the rest

    # Manifest and merge

    def _publish(self, catalogue: Catalogue, *, complete: bool) -> None:
        self._manifest = Manifest(
            generation=self._manifest.generation + 1,
            root=self._request.root,
            embedder=self._embedder.name,
            dimensions=self._embedder.dimensions,
            complete=complete,
            segments=catalogue.entries(),
        )
        write_manifest(self._request.index_path, self._manifest)
        self._published = time.monotonic()
        self._changed = True

    def _merge(self, catalogue: Catalogue) -> None:
        entries = catalogue.entries()
        chosen = segments_to_merge(entries, {entry.name for entry in catalogue.added})
        if not chosen or self._stats.interrupted:
            return
        self._progress.phase = "merge"
        self._tell(force=True)
        directory = self._request.index_path
        merged_name = f"{self._run_name}-merged.segment"
        inputs = [(os.fsencode(os.path.join(directory, entry.name)), entry.dead) for entry in chosen]
        size_bytes, files, chunks = merge_segments(
            inputs, os.fsencode(os.path.join(directory, merged_name)), segment_meta(self._embedder)
        )
        gone = {entry.name for entry in chosen}
        catalogue.before = [segment for segment in catalogue.before if segment.entry.name not in gone]
        catalogue.added = [entry for entry in catalogue.added if entry.name not in gone]
        catalogue.added.insert(0, SegmentEntry(merged_name, size_bytes, files, chunks))
        self._publish(catalogue, complete=True)

    def _abandoned_rebuild(self, catalogue: Catalogue) -> IndexStats:
        """A fragment must not take the place of a whole index: the old manifest stands."""
        for entry in catalogue.added:
            _remove(os.path.join(self._request.index_path, entry.name))
        try:
            self._manifest = read_manifest(self._request.index_path)
        except FlyweightError:
            pass  # there was none, or it was the damage that the rebuild was to mend
        return self._finished_stats()

    def _finished_stats(self) -> IndexStats:
        stats = self._stats
        stats.files = stats.unchanged + stats.added + stats.changed
        stats.chunks = self._manifest.live_chunks
        stats.generation = self._manifest.generation
        stats.seconds = time.monotonic() - self._started
        stats.peak_private_bytes = max(stats.peak_private_bytes, private_bytes())  # of a run without workers
        return stats

    def _tell(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self._reported >= _REPORT_EVERY_S:
            self._reported = now
            self._progress.seconds = now - self._started
            self._report(self._progress)


def _batches(spool: Any) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size_bytes = 0
    while True:
        try:
            file = marshal.load(spool)
        except EOFError:
            break
        batch.append(file)
        size_bytes += file[1]
        if len(batch) == _BATCH_FILES or size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _make_index_directory(index_path: str) -> None:
    try:
        os.makedirs(index_path, exist_ok=True)
        if not os.listdir(index_path):  # only in a directory of our own: elsewhere it would hide the user's files
            with open(os.path.join(index_path, ".gitignore"), "w") as file:
                file.write("*\n")
    except OSError as error:
        raise IndexWriteError(f"cannot write to {index_path}: {error.strerror}") from None


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass

"""The coordinator of a build: walk -> compare with the store -> workers -> store.

Every piece a worker finishes goes into the store at once, so a build that is killed keeps what it had done and the
next run goes on from there.
"""

from __future__ import annotations

import marshal
import os
import tempfile
import time

from flyweight.errors import IndexWriteError, PathError
from flyweight.index.embedding import LocalEmbedding, RemoteEmbedding
from flyweight.index.manifest import manifest_path
from flyweight.index.memory import PeakMemory
from flyweight.index.outcome import ADDED, CHANGED, UNCHANGED, VANISHED
from flyweight.index.own_directory import make_own_directory
from flyweight.index.reader import pointer_path
from flyweight.index.request import BuildRequest
from flyweight.index.stats import IndexProgress, IndexStats
from flyweight.index.team import Team
from flyweight.index.walk import Skipped, walk
from flyweight.index.worker import NO_HASH
from flyweight.store import SEGMENTS, store_for
from flyweight.store.pointer import remove_pointer, write_pointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from flyweight.embed import Embedder
    from flyweight.errors import FlyweightError
    from flyweight.index.embedding import Embedding
    from flyweight.index.outcome import Outcome
    from flyweight.store import BuildStore

    Report = Callable[[IndexProgress], None]

_REPORT_EVERY_S = 0.1
_UNEMBEDDED_NAMED = 100
_STUCK_NAMED = 10
_PUBLISH_EVERY_S = 2.0  # at most this often: each time costs two syncs


def build(
    request: BuildRequest,
    embedder: Embedder | RemoteEmbedding,
    report: Report,
    stopped: Callable[[], bool] = lambda: False,
) -> IndexStats:
    """Brings the index in line with the tree. Raises FlyweightError; what was committed before stays usable.

    Once `stopped()` is true nothing new is begun: what the workers hold is committed and the statistics say that the
    run was interrupted. So it is when a limit on requests or tokens is reached, or the service refuses to go on.
    """
    walk(request.root)  # a root that is not there is said before anything is created
    if os.path.commonpath([request.root, request.index_path]) == request.index_path:
        raise PathError(
            f"the index at {request.index_path} would hold {request.root}, the tree it is of: choose another index path"
        )
    store = store_for(request.store, request.store_options, request.index_path)
    _make_index_directory(request.index_path)
    try:
        try:
            embedding: Embedding = (
                embedder if isinstance(embedder, RemoteEmbedding) else LocalEmbedding(embedder, request.batch_size)
            )
            store.open(request, embedding.name, embedding.dimensions)
            if not any(map(os.path.lexists, (manifest_path(request.index_path), pointer_path(request.index_path)))):
                _point_to_store(request)  # else the index that is there serves until this store has all
            return _Build(request, embedding, report, stopped, store).run()
        finally:
            store.close()
    except OSError as error:  # a full disk, mostly; reading the tree reports its own
        raise IndexWriteError(f"cannot write to {request.index_path}: {error.strerror}") from None


class _Build:
    def __init__(
        self,
        request: BuildRequest,
        embedding: Embedding,
        report: Report,
        stopped: Callable[[], bool],
        store: BuildStore,
    ) -> None:
        self._request = request
        self._embedding = embedding
        self._report = report
        self._stopped = stopped
        self._store = store
        self._started = time.monotonic()
        self._reported = 0.0
        self._stats = IndexStats()
        self._progress = IndexProgress("scan")
        self._published = self._started
        self._peak = PeakMemory()
        self._error: FlyweightError | None = None
        self._notes: list[str] = []
        self._stuck_count = 0

    def run(self) -> IndexStats:
        store = self._store
        with tempfile.TemporaryFile(dir=self._request.index_path, prefix="pending-") as spool:
            if self._scan(spool):
                self._index(spool)
        self._stats.interrupted = self._stopped()
        cut_short = self._stats.interrupted or bool(self._stats.stopped)
        if cut_short and self._request.rebuild:
            store.abandon_rebuild()  # a fragment must not take the place of a whole index
        elif cut_short:
            store.publish(complete=False)
        else:
            self._stats.removed = store.kill_unseen()
            store.publish(complete=True)
            _point_to_store(self._request)
            store.finish(self._begin_phase)
        if self._error is not None:
            raise self._error
        return self._finished_stats()

    # Scan: what has to be read

    def _scan(self, spool: Any) -> int:
        """Writes the files to be read to `spool`; returns how many. Memory does not grow with the tree."""
        pending = total_bytes = 0
        skipped = self._stats.skipped
        for item in walk(self._request.root, max_file_bytes=self._request.max_file_bytes):
            if self._stopped():
                break
            if isinstance(item, Skipped):
                skipped[item.reason] = skipped.get(item.reason, 0) + 1
                continue
            known = self._store.find(item.path)
            known_hash = NO_HASH
            if known is not None:
                known.seen = True
                if known.size_bytes == item.size_bytes and known.mtime_ns == item.mtime_ns != 0:
                    self._count_unchanged(known.name if known.skipped else None)
                    continue
                known_hash = known.content_hash
            marshal.dump((item.path, item.size_bytes, item.mtime_ns, known_hash), spool)
            pending += 1
            total_bytes += item.size_bytes
            if pending % 1024 == 0:
                self._store.release()
                self._progress.files = pending
                self._tell()
        self._store.release()
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

    def _index(self, spool: Any) -> None:
        spool.seek(0)
        embedding = self._embedding
        try:
            embedding.start()
            team = Team(self._request, embedding, self._store, self._peak, self._cut_short)
            try:
                for message in team.work(_spooled(spool)):
                    self._take(message)
                for message in team.flush():
                    self._take(message)
            finally:
                team.stop()
            if not self._stopped():
                self._stats.stopped, self._error = embedding.verdict()
            embedding.account(self._stats)
        finally:
            embedding.stop()

    def _take(self, message: tuple[Any, ...]) -> None:
        kind = message[0]
        if kind == "taken":
            _, taken, missing = message
            for outcome in taken:
                self._count(outcome)
            unembedded = self._stats.unembedded
            unembedded += missing[: _UNEMBEDDED_NAMED - len(unembedded)]
        elif kind == "lost":
            self._count_no_more(message[1])
        elif kind == "stuck":
            self._note_stuck(*message[1:])
        elif kind == "piece":
            self._store.take(*message[1:])
            if time.monotonic() - self._published >= _PUBLISH_EVERY_S:
                self._store.publish(complete=False)
                self._published = time.monotonic()
        self._tell()

    def _count(self, outcome: Outcome, times: int = 1) -> None:
        stats, progress, result = self._stats, self._progress, outcome.result
        progress.files += times
        progress.chunks += times * outcome.chunk_count
        progress.bytes += times * outcome.size_bytes
        stats.bytes += times * outcome.size_bytes
        stats.unembedded_chunks += times * outcome.missing_chunks
        if result == UNCHANGED:
            known = self._store.find(outcome.path)
            if known is not None and outcome.mtime_ns:
                known.was_touched(outcome.mtime_ns)
            self._count_unchanged(known.name if known is not None and known.skipped else None)
            return
        if result in (ADDED, CHANGED):
            stats.new_chunks += times * outcome.chunk_count
            stats.added += times * (result == ADDED)
            stats.changed += times * (result == CHANGED)
            return
        stats.skipped[result] = stats.skipped.get(result, 0) + times
        known = self._store.find(outcome.path) if result == VANISHED else None
        if known is not None:
            known.seen = False  # gone between the walk and now: buried with the rest

    def _count_no_more(self, lost: list[Outcome]) -> None:
        """Takes back what was counted of files that are done again."""
        stats = self._stats
        for outcome in lost:
            self._count(outcome, -1)
        stats.skipped = {reason: count for reason, count in stats.skipped.items() if count}
        paths = {outcome.path for outcome in lost}
        stats.unembedded = [chunk for chunk in stats.unembedded if chunk[0] not in paths]

    def _note_stuck(self, path: str, limit_s: float) -> None:
        self._stuck_count += 1
        if self._stuck_count <= _STUCK_NAMED:
            shown = path if path.isprintable() else ascii(path)
            self._notes.append(
                f"{shown} was given up after {limit_s:g} s of processor time, most likely because its grammar never "
                "comes to an end: it is skipped until it changes"
            )

    def _finished_stats(self) -> IndexStats:
        stats = self._stats
        stats.files = stats.unchanged + stats.added + stats.changed
        stats.chunks = self._store.live_chunks
        stats.generation = self._store.generation
        stats.notes += self._notes
        stats.seconds = time.monotonic() - self._started
        self._peak.look(store_bytes=self._store.private_bytes)  # of a run without workers
        stats.peak_private_bytes = self._peak.together
        stats.gateway_private_bytes = self._peak.gateway
        stats.store_private_bytes = self._peak.store
        return stats

    def _cut_short(self) -> bool:
        if self._stopped():
            self._embedding.halt()
            return True
        return self._embedding.halted

    def _begin_phase(self, phase: str) -> None:
        self._progress.phase = phase
        self._tell(force=True)

    def _tell(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self._reported >= _REPORT_EVERY_S:
            self._reported = now
            self._progress.seconds = now - self._started
            self._embedding.account(self._progress)
            self._report(self._progress)


def _spooled(spool: Any) -> Iterator[Any]:
    while True:
        try:
            yield marshal.load(spool)
        except EOFError:
            return


def _point_to_store(request: BuildRequest) -> None:
    """Leaves word in the index directory of where the index is."""
    if request.store == SEGMENTS:
        remove_pointer(request.index_path)
    else:
        write_pointer(request.index_path, request.store, request.store_options)


def _make_index_directory(index_path: str) -> None:
    try:
        make_own_directory(index_path)
    except OSError as error:
        raise IndexWriteError(f"cannot write to {index_path}: {error.strerror}") from None

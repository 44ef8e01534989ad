"""What an index holds, file by file: which content each path has, and which files have been superseded."""

from __future__ import annotations

import contextlib
import os

from flyweight._build import Segment
from flyweight.errors import FlyweightError
from flyweight.index.later_times import LaterTimes
from flyweight.index.manifest import SegmentEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class KnownFile:
    """A live file of the index. `name` is its language, or the reason it was skipped."""

    __slots__ = ("chunk_count", "content_hash", "index", "mtime_ns", "name", "segment", "size_bytes", "skipped")

    def __init__(self, segment: LiveSegment, index: int) -> None:
        self.segment = segment
        self.index = index
        record = segment.data.file(index)
        _, self.name, self.content_hash, self.size_bytes, self.mtime_ns, self.chunk_count, self.skipped = record
        self.mtime_ns = segment.later_times.of(index) or self.mtime_ns

    @property
    def seen(self) -> bool:
        """Whether the walk has met the file."""
        return bool(self.segment.seen[self.index])

    @seen.setter
    def seen(self, seen: bool) -> None:
        self.segment.seen[self.index] = seen

    def was_touched(self, mtime_ns: int) -> None:
        self.segment.later_times.note([(self.index, mtime_ns)])


class LiveSegment:
    """A segment of the manifest, open, with its dead files as a set of bits that can grow."""

    def __init__(self, index_path: str, entry: SegmentEntry) -> None:
        self.entry = entry
        self.path = os.path.join(index_path, entry.name)
        self.data = Segment.open(os.fsencode(self.path))
        self.dead = bytearray(self.data.file_count)
        self.seen = bytearray(self.data.file_count)
        self.later_times = LaterTimes(self.path, self.data.file_count)
        for first, last in _ranges(entry.dead):
            self.dead[first : last + 1] = b"\1" * (last + 1 - first)

    def kill(self, index: int) -> None:
        if not self.dead[index]:
            self.dead[index] = 1
            self.entry.dead_chunks += self.data.file(index)[5]

    def sealed_entry(self) -> SegmentEntry:
        """The manifest's line for this segment as it stands now."""
        self.entry.dead = _joined(self.dead)
        return self.entry


class Catalogue:
    """The segments of an index under construction: those from before, open, and those the present run has added.

    A run hands each path to a worker once, so only the segments from before can hold an older version of a file.
    """

    def __init__(self, index_path: str, entries: list[SegmentEntry]) -> None:
        self.before: list[LiveSegment] = []
        for entry in entries:
            # A segment that cannot be opened is left out, so that its files are indexed again.
            with contextlib.suppress(FlyweightError):
                self.before.append(LiveSegment(index_path, entry))
        self.added: list[SegmentEntry] = []

    def find(self, path: str) -> KnownFile | None:
        """The live file with this path, as it was before this run."""
        for segment in reversed(self.before):
            index = segment.data.find_file(path)
            if index is not None and not segment.dead[index]:
                return KnownFile(segment, index)
        return None

    def add(self, entry: SegmentEntry, replaced: list[str]) -> None:
        """Takes in a new segment; the older versions of its files, whose paths are `replaced`, die."""
        for path in replaced:
            older = self.find(path)
            if older is not None:
                older.segment.kill(older.index)
        self.added.append(entry)
        self.release()

    def kill_unseen(self) -> int:
        """Buries files that the walk did not meet; returns how many of them had been indexed."""
        killed = 0
        for segment in self.before:
            for index, (dead, seen) in enumerate(zip(segment.dead, segment.seen, strict=True)):
                if not dead and not seen:
                    killed += not KnownFile(segment, index).skipped
                    segment.kill(index)
        return killed

    def entries(self) -> list[SegmentEntry]:
        """The lines of a manifest that describes the present state."""
        living = [segment.sealed_entry() for segment in self.before if segment.dead.count(0) > 0]
        return living + self.added

    def later_times_of(self, entries: list[SegmentEntry]) -> list[tuple[int, int]]:
        """The later times of what is merged of `entries`, as LaterTimes.note takes them: files keep their order."""
        opened = {segment.entry.name: segment for segment in self.before}
        found = []
        number = 0
        for entry in entries:
            segment = opened.get(entry.name)
            if segment is None:
                number += entry.file_count
                continue
            for index, dead in enumerate(segment.dead):
                if not dead:
                    mtime_ns = segment.later_times.of(index)
                    if mtime_ns:
                        found.append((number, mtime_ns))
                    number += 1
        return found

    def release(self) -> None:
        """Gives back the pages of segments that lookups touched."""
        for segment in self.before:
            segment.data.release()


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    for piece in text.split(",") if text else ():
        first, _, last = piece.partition("-")
        yield int(first), int(last or first)


def _joined(dead: bytearray) -> str:
    """Bits as `3-7,12`."""
    pieces = []
    position = dead.find(1)
    while position >= 0:
        end = dead.find(0, position)
        end = len(dead) if end < 0 else end
        pieces.append(str(position) if end == position + 1 else f"{position}-{end - 1}")
        position = dead.find(1, end)
    return ",".join(pieces)

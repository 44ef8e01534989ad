"""Reads an index of segments file by file, for a migration."""

from __future__ import annotations

import os

from flyweight.errors import IndexCorruptError
from flyweight.index.catalogue import LiveSegment
from flyweight.index.chunk import Chunk
from flyweight.index.manifest import read_manifest
from flyweight.store.migration import StoredFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class SegmentSource:
    """The index in a directory, as its manifest has it now: what a writer changes meanwhile is not seen."""

    def __init__(self, directory: str) -> None:
        manifest = read_manifest(directory)
        self.embedder = manifest.embedder
        self.dimensions = manifest.dimensions
        self.root = manifest.root
        self._segments = [LiveSegment(directory, entry) for entry in manifest.segments]
        for segment in self._segments:
            if not segment.data.text_intact():
                raise IndexCorruptError(
                    f"{segment.path} is damaged: run 'flyweight index' to index its files again, and then migrate"
                )
        self.file_count = self.size_bytes = 0
        for segment in self._segments:
            for index, dead in enumerate(segment.dead):
                if not dead:
                    *_, size_bytes, _, _, skipped = segment.data.file(index)
                    self.file_count += 1
                    self.size_bytes += 0 if skipped else size_bytes

    def files(self) -> Iterator[StoredFile]:
        for segment in self._segments:
            first = 0
            for index, dead in enumerate(segment.dead):
                path, name, content_hash, size_bytes, mtime_ns, count, skipped = segment.data.file(index)
                chunks, first = range(first, first + count), first + count
                if dead:
                    continue
                if skipped:
                    yield StoredFile(path, "", content_hash, size_bytes, mtime_ns, name)
                    continue
                yield StoredFile(
                    path,
                    name,
                    content_hash,
                    size_bytes,
                    mtime_ns,
                    None,
                    segment.data.file_text(index),
                    [_chunk(segment, index, number) for number in chunks],
                    b"".join([segment.data.vector(number) for number in chunks]),
                )
            segment.data.release()

    def close(self) -> None:
        self._segments = []


def _chunk(segment: LiveSegment, file: int, number: int) -> Chunk:
    of_file, start_line, end_line, start_byte, end_byte, symbol, scope, defined, kind = segment.data.chunk(number)
    if of_file != file:
        raise IndexCorruptError(f"{segment.path}: chunk {number} belongs to file {of_file}, not {file}")
    names = tuple(os.fsdecode(name) for name in defined.split(b"\0") if name)
    return Chunk(start_byte, end_byte, start_line, end_line, symbol, scope, kind, names)

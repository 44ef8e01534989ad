"""Everything an index serves, read segment by segment: the yardstick by which two indexes are the same."""

from __future__ import annotations

import os
from collections import Counter
from functools import lru_cache

from flyweight._build import Segment
from flyweight.index.chunk import chunk
from flyweight.index.content import reason_to_skip
from flyweight.index.language import detect
from flyweight.index.manifest import Manifest, read_manifest

Chunks = Counter[tuple[str, bytes]]


class FileEntry:
    """A live file of an index."""

    def __init__(self, record: tuple[str, str, bytes, int, int, int, bool], texts: list[bytes]) -> None:
        self.path, self.name, self.content_hash, self.size_bytes, self.mtime_ns, _, self.skipped = record
        self.texts = texts


def dead_files(ranges: str) -> set[int]:
    """`3-7,12` as the numbers it stands for."""
    dead: set[int] = set()
    for piece in filter(None, ranges.split(",")):
        first, _, last = piece.partition("-")
        dead |= set(range(int(first), int(last or first) + 1))
    return dead


def live_files(index_path: str | os.PathLike[str]) -> dict[str, FileEntry]:
    """The live files by path. Fails when a segment is damaged, a count wrong or a path served twice."""
    manifest = read_manifest(os.fspath(index_path))
    return files_of(manifest, os.fspath(index_path))


def files_of(manifest: Manifest, index_path: str) -> dict[str, FileEntry]:
    files: dict[str, FileEntry] = {}
    for entry in manifest.segments:
        segment = Segment.open(os.fsencode(os.path.join(index_path, entry.name)))
        assert segment.text_intact(), entry.name
        assert (segment.file_count, segment.chunk_count) == (entry.file_count, entry.chunk_count)
        assert segment.size_bytes == entry.size_bytes
        dead = dead_files(entry.dead)
        assert all(0 <= number < segment.file_count for number in dead)
        next_chunk = dead_chunks = 0
        for number in range(segment.file_count):
            record = segment.file(number)
            mine = range(next_chunk, next_chunk + record[5])
            next_chunk = mine.stop
            if number in dead:
                dead_chunks += len(mine)
                continue
            assert record[0] not in files, f"{record[0]} is served twice"
            files[record[0]] = FileEntry(record, [segment.text(chunk) for chunk in mine])
        assert next_chunk == segment.chunk_count
        assert dead_chunks == entry.dead_chunks
    return files


def served_chunks(index_path: str | os.PathLike[str]) -> Chunks:
    """(path, text) of every live chunk."""
    return Counter((path, text) for path, entry in live_files(index_path).items() for text in entry.texts)


@lru_cache(maxsize=10_000)
def _chunks_of(path: str, data: bytes) -> tuple[bytes, ...]:
    if not data or reason_to_skip(data, path) is not None:
        return ()
    return tuple(data[piece.start_byte : piece.end_byte] for piece in chunk(data, detect(path, data[: 16 * 1024])))


def expected_chunks(files: dict[str, bytes]) -> Chunks:
    """What an index of these files must serve: no more, no less."""
    return Counter((path, text) for path, data in files.items() for text in _chunks_of(path, data))

"""The one file that reaches below the public interface: the vectors of an index, and the scan over them.

An index keeps its vectors rounded.  To know what they were, the texts of its chunks are embedded once more,
and a segment is written from these very vectors; its scan can then be held against exact products.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.code_trees import IndexedTree
from benchmarks.settings import Settings

_CHUNKS_PER_FILE = 500
_written: dict[Path, VectorFiles] = {}


@dataclass(frozen=True, slots=True)
class VectorFiles:
    """Raw float32 files, row after row, and a segment of ours whose chunk ``i`` has row ``i`` as vector."""

    rows_path: Path
    queries_path: Path
    segment_path: Path
    count: int
    dimensions: int


def write_float_vectors(settings: Settings, indexed: IndexedTree, asked: list[str]) -> VectorFiles:
    """Embed every chunk of an index and every query, and write both as files and the chunks as a segment."""
    from flyweight.embed.static import StaticEmbedder

    if indexed.index_path not in _written:
        embedder = StaticEmbedder()
        folder = settings.folder(f"vectors-{indexed.chunks}")
        rows_path, segment_path = folder / "rows.f32", folder / "bare.segment"
        count = _write_rows(indexed, embedder, rows_path)
        _write_segment(rows_path, segment_path, count, embedder.dimensions)
        queries_path = folder / "queries.f32"
        queries_path.write_bytes(embedder.embed([query.encode() for query in asked]))
        _written[indexed.index_path] = VectorFiles(rows_path, queries_path, segment_path, count, embedder.dimensions)
    return _written[indexed.index_path]


def scanned_nearest(vectors: VectorFiles, k: int) -> list[list[int]]:
    """For each query the rows that the native scan finds nearest, best first."""
    from flyweight._search import Searcher
    from flyweight.embed.static import model_path

    searcher = Searcher(os.fsencode(model_path()), 0, k, 0.0)
    searcher.load((1, 0, 0), [(os.fsencode(vectors.segment_path), "")])
    size = vectors.dimensions * 4
    queries = vectors.queries_path.read_bytes()
    return [
        [row for _, row, _ in searcher.vector_scan(queries[start : start + size], k)]
        for start in range(0, len(queries), size)
    ]


def _chunk_texts(index_path: Path) -> Iterator[bytes]:
    from flyweight._build import Segment
    from flyweight.index.manifest import read_manifest

    for entry in read_manifest(str(index_path)).segments:
        segment = Segment.open(os.fsencode(index_path / entry.name), False)
        for chunk in range(segment.chunk_count):
            yield segment.text(chunk)


def _write_rows(indexed: IndexedTree, embedder: object, path: Path) -> int:
    count = 0
    with open(path, "wb") as rows:
        for text in _chunk_texts(indexed.index_path):
            rows.write(embedder.embed([text]))  # type: ignore[attr-defined]
            count += 1
    return count


def _write_segment(rows_path: Path, segment_path: Path, count: int, dimensions: int) -> None:
    from flyweight._build import SegmentBuilder
    from flyweight.index.chunk import Chunk

    bare = Chunk(0, 0, 1, 1, "", "", "lines", ())
    segment_path.unlink(missing_ok=True)
    builder = SegmentBuilder(os.fsencode(segment_path), dimensions, b"")
    with open(rows_path, "rb") as rows:
        for first in range(0, count, _CHUNKS_PER_FILE):
            part = min(_CHUNKS_PER_FILE, count - first)
            values = array("f")
            values.fromfile(rows, part * dimensions)
            # Names in ascending order keep the rows in theirs.
            name = f"{first:09d}"
            builder.add_file(name, "text", bytes(16), 0, b"", [bare] * part, values.tobytes())
    builder.finish()

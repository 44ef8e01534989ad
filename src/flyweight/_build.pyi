from collections.abc import Sequence

from flyweight.index.chunk import Chunk

class SegmentBuilder:
    def __init__(self, path: str | bytes, dimensions: int, meta: bytes) -> None: ...
    def add_file(
        self,
        path: str | bytes,
        language: str,
        content_hash: bytes,
        mtime_ns: int,
        text: bytes,
        chunks: list[Chunk],
        vectors: bytes,
    ) -> None: ...
    def add_skipped(
        self, path: str | bytes, reason: str, content_hash: bytes, size_bytes: int, mtime_ns: int
    ) -> None: ...
    @property
    def file_count(self) -> int: ...
    @property
    def chunk_count(self) -> int: ...
    @property
    def buffered_bytes(self) -> int: ...
    def finish(self) -> int:
        """Writes the segment durably; returns its size in bytes."""

class Segment:
    @staticmethod
    def open(path: str | bytes, verify: bool = True) -> Segment: ...
    @property
    def file_count(self) -> int: ...
    @property
    def chunk_count(self) -> int: ...
    @property
    def term_count(self) -> int: ...
    @property
    def dimensions(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def meta(self) -> bytes: ...
    def file(self, index: int) -> tuple[str, str, bytes, int, int, int, bool]:
        """(path, language or skip reason, content hash, size, mtime_ns, chunks, skipped)."""

    def find_file(self, path: str | bytes) -> int | None: ...
    def text(self, chunk: int) -> bytes: ...
    def chunk(self, index: int) -> tuple[int, int, int, int, int, str, str, bytes, str]:
        """(file, start_line, end_line, start_byte, end_byte, symbol, scope, defined names NUL-separated, kind)."""

    def vector(self, chunk: int) -> bytes:
        """float32 as it was added, to within the rounding of a byte: of length one, or zero."""

    def file_text(self, index: int) -> bytes:
        """The bytes of an indexed file, not checked: see text_intact. Empty for a skipped one."""

    def text_intact(self) -> bool: ...
    def release(self) -> None: ...

def merge_segments(inputs: Sequence[tuple[str | bytes, str]], path: str | bytes, meta: bytes) -> tuple[int, int, int]:
    """Returns (size in bytes, files, chunks) of the merged segment."""

def chunk_terms(
    path: str | bytes, text: str | bytes, symbol: str | bytes, scope: str | bytes, defined: str | bytes
) -> str:
    """The terms a segment would file the chunk under, as often as they count, with a space between; definitions last.
    `defined` are the names that begin in it, NUL-separated."""

def terms(text: str | bytes) -> list[str]: ...

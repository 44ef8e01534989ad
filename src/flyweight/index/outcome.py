"""What became of a file that a worker was handed, as it tells the coordinator."""

from __future__ import annotations

ADDED = "added"
CHANGED = "changed"
UNCHANGED = "unchanged"
VANISHED = "vanished"
UNREADABLE = "unreadable"
STUCK = "took too long"


class Outcome:
    """`result` is one of the above, or the reason for which the file is skipped.

    mtime_ns: of an unchanged file, 0 if it is too fresh to be trusted. missing_chunks: those without a vector.
    """

    __slots__ = ("chunk_count", "missing_chunks", "mtime_ns", "path", "result", "size_bytes")

    def __init__(
        self,
        path: str,
        result: str,
        size_bytes: int,
        chunk_count: int,
        missing_chunks: int,
        mtime_ns: int,
    ) -> None:
        self.path = path
        self.result = result
        self.size_bytes = size_bytes
        self.chunk_count = chunk_count
        self.missing_chunks = missing_chunks
        self.mtime_ns = mtime_ns

    @property
    def in_piece(self) -> bool:
        """Whether a piece of the index has a record of it: lost with the piece."""
        return self.result not in (UNCHANGED, VANISHED, UNREADABLE)

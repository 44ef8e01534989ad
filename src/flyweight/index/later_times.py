"""Times of modification that turned up after a segment was written, of files that were touched but not changed.

Segments never change, so without these such a file would be read and compared by every later run. They lie beside the
segment in a file of one i64 for each of its files, 0 for none. It is a hint: a time is entered when the content was
compared and found the same, so it is right whenever it is there, and when it is lost the file is read once more.
"""

from __future__ import annotations

import mmap
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIX = ".times"
_TIME_BYTES = 8


class LaterTimes:
    """Those of the segment at `segment_path`, which has `file_count` files."""

    def __init__(self, segment_path: str, file_count: int) -> None:
        self._path = segment_path + SUFFIX
        self._size_bytes = file_count * _TIME_BYTES
        self._times: memoryview | None = None
        try:
            with open(self._path, "rb") as file:
                if self._size_bytes and os.fstat(file.fileno()).st_size == self._size_bytes:
                    times = mmap.mmap(file.fileno(), self._size_bytes, access=mmap.ACCESS_READ)
                    self._times = memoryview(times).cast("q")
        except OSError:
            pass

    def of(self, index: int) -> int:
        """Of a file by its number, ns since 1970; 0 if it has none."""
        return 0 if self._times is None else int(self._times[index])

    def note(self, times: Iterable[tuple[int, int]]) -> None:
        """Enters (file number, ns since 1970). Where that fails, on a full disk say, the files are read again."""
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                if os.fstat(fd).st_size != self._size_bytes:
                    os.ftruncate(fd, 0)
                    os.ftruncate(fd, self._size_bytes)
                for index, mtime_ns in times:
                    os.pwrite(fd, mtime_ns.to_bytes(_TIME_BYTES, "little", signed=True), index * _TIME_BYTES)
            finally:
                os.close(fd)
        except OSError:
            pass

"""What an indexing run would take in and what it would leave out, without indexing anything."""

from __future__ import annotations

import os

from flyweight.index.content import reason_to_skip
from flyweight.index.language import detect
from flyweight.index.walk import MAX_FILE_BYTES, UNREADABLE, VANISHED, Skipped, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flyweight.index.walk import SourceFile

_HEAD_BYTES = 16 * 1024  # as much as the builder shows to language detection


class PlannedFile:
    """A file that would be indexed; `path` as in `walk.SourceFile`."""

    __slots__ = ("language", "path", "size_bytes")

    def __init__(self, path: str, language: str, size_bytes: int) -> None:
        self.path = path
        self.language = language
        self.size_bytes = size_bytes

    def __repr__(self) -> str:
        return f"PlannedFile({self.path!r}, {self.language!r}, size_bytes={self.size_bytes})"


def plan(
    root: str, *, max_file_bytes: int = MAX_FILE_BYTES, look: Callable[[str, str, bytes], object] | None = None
) -> Iterator[PlannedFile | Skipped]:
    """Yields every entry under `root` in the order of paths, as the builder would judge it.

    Reads each file, since some are left out for what they contain, and holds one at a time. `look` is called with the
    path, language and content of each that would be indexed, such as `Estimate.add`.
    Raises PathError as `walk` does, before anything is yielded.
    """
    entries = walk(root, max_file_bytes=max_file_bytes)
    directory = root if os.path.isdir(root) else os.path.dirname(root)  # paths begin there
    return (entry if isinstance(entry, Skipped) else _judged(directory, entry, look) for entry in entries)


def _judged(root: str, file: SourceFile, look: Callable[[str, str, bytes], object] | None) -> PlannedFile | Skipped:
    try:
        data = _read(os.path.join(os.fsencode(root), os.fsencode(file.path)))
    except FileNotFoundError:
        return Skipped(file.path, VANISHED)
    except OSError:
        return Skipped(file.path, UNREADABLE)
    reason = reason_to_skip(data, file.path)
    if reason is not None:
        return Skipped(file.path, reason)
    language = detect(file.path, data[:_HEAD_BYTES])
    if look is not None:
        look(file.path, language, data)
    return PlannedFile(file.path, language, len(data))


def _read(path: bytes) -> bytes:
    # Never through a symlink put there after the walk, and never blocking on a FIFO.
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        return file.read()

"""The manifest: which segments an index consists of, and which of their files no longer count.

One small text file, replaced as a whole (write new, fsync, rename), so that a reader sees one state or the next and
never a mixture. `docs/index-format.md` specifies it. Read by the resident: imports nothing but `os`.
"""

from __future__ import annotations

import os

from flyweight._search import crc32c
from flyweight.errors import IndexCorruptError, IndexMissingError, IndexVersionError, IndexWriteError

MANIFEST_NAME = "manifest"
FORMAT_VERSION = 1
_MAGIC = "flyweight-manifest"


class SegmentEntry:
    """A segment in the manifest: file name, size in bytes, counts, and its dead files as `3-7,12`."""

    __slots__ = ("chunk_count", "dead", "dead_chunks", "file_count", "name", "size_bytes")

    def __init__(
        self, name: str, size_bytes: int, file_count: int, chunk_count: int, dead: str = "", dead_chunks: int = 0
    ) -> None:
        self.name = name
        self.size_bytes = size_bytes
        self.file_count = file_count
        self.chunk_count = chunk_count
        self.dead = dead
        self.dead_chunks = dead_chunks

    @property
    def live_chunks(self) -> int:
        return self.chunk_count - self.dead_chunks


class Manifest:
    """One state of an index. `generation` grows with every change; `complete` is false while a build is under way."""

    __slots__ = ("complete", "dimensions", "embedder", "generation", "root", "segments")

    def __init__(
        self,
        *,
        generation: int,
        root: str,
        embedder: str,
        dimensions: int,
        complete: bool,
        segments: list[SegmentEntry],
    ) -> None:
        self.generation = generation
        self.root = root
        self.embedder = embedder
        self.dimensions = dimensions
        self.complete = complete
        self.segments = segments

    @property
    def live_chunks(self) -> int:
        return sum(segment.live_chunks for segment in self.segments)


def manifest_path(index_path: str) -> str:
    return os.path.join(index_path, MANIFEST_NAME)


def read_manifest(index_path: str) -> Manifest:
    """The manifest of the index in the directory `index_path`.

    Raises IndexMissingError, IndexCorruptError or IndexVersionError.
    """
    path = manifest_path(index_path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise IndexMissingError(f"no index at {index_path}: run 'flyweight index PATH' to make one") from None
    except OSError as error:
        raise IndexMissingError(f"cannot read the index at {index_path}: {error.strerror}") from None
    return _parse(data, path)


def write_manifest(index_path: str, manifest: Manifest) -> None:
    """Replaces the manifest durably. Raises IndexWriteError, and then the old one still stands."""
    path = manifest_path(index_path)
    temporary = f"{path}.{os.getpid()}.new"
    try:
        with open(temporary, "wb") as file:
            file.write(_serialise(manifest))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        directory = os.open(index_path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise IndexWriteError(f"cannot write {path}: {error.strerror}") from None


def _serialise(manifest: Manifest) -> bytes:
    lines = [
        f"{_MAGIC} {FORMAT_VERSION}",
        f"generation {manifest.generation}",
        f"root {_quote(manifest.root)}",
        f"embedder {_quote(manifest.embedder)}",
        f"dimensions {manifest.dimensions}",
        f"complete {int(manifest.complete)}",
    ]
    for segment in manifest.segments:
        lines.append(
            f"segment {segment.name} {segment.size_bytes} {segment.file_count} {segment.chunk_count} "
            f"{segment.dead_chunks} {segment.dead or '-'}"
        )
    body = ("\n".join(lines) + "\n").encode("ascii")
    return body + f"end {crc32c(body):08x}\n".encode("ascii")


def _parse(data: bytes, path: str) -> Manifest:
    damaged = IndexCorruptError(
        f"{path} is damaged: run 'flyweight doctor' to see what can be saved, or 'flyweight index --rebuild'"
    )
    first_line = data.split(b"\n", 1)[0].split(b" ")
    if len(first_line) != 2 or first_line[0] != _MAGIC.encode() or not first_line[1].isdigit():
        raise damaged
    if int(first_line[1]) != FORMAT_VERSION:
        raise IndexVersionError(
            f"{path} was written by format {int(first_line[1])}, this build reads {FORMAT_VERSION}: "
            "run 'flyweight index --rebuild'"
        )
    body, found, checksum = data.rpartition(b"end ")
    if not found or checksum != f"{crc32c(body):08x}\n".encode("ascii"):
        raise damaged
    try:
        return _fields_of(body.decode("ascii"))
    except (ValueError, KeyError, IndexError):
        raise damaged from None


def _fields_of(body: str) -> Manifest:
    fields: dict[str, str] = {}
    segments: list[SegmentEntry] = []
    for line in body.splitlines():
        key, _, value = line.partition(" ")
        if key != "segment":
            fields[key] = value
            continue
        name, size_bytes, files, chunks, dead_chunks, dead = value.split(" ")
        segments.append(
            SegmentEntry(name, int(size_bytes), int(files), int(chunks), "" if dead == "-" else dead, int(dead_chunks))
        )
    return Manifest(
        generation=int(fields["generation"]),
        root=_unquote(fields["root"]),
        embedder=_unquote(fields["embedder"]),
        dimensions=int(fields["dimensions"]),
        complete=fields["complete"] == "1",
        segments=segments,
    )


_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:#@,=")


def _quote(text: str) -> str:
    """Percent-encodes all but plain characters: a path may hold anything, a manifest line may not."""
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in os.fsencode(text))


def _unquote(text: str) -> str:
    first, *rest = text.split("%")
    return os.fsdecode(
        first.encode("ascii") + b"".join(bytes.fromhex(piece[:2]) + piece[2:].encode("ascii") for piece in rest)
    )

"""A builder's worker process: reads files, cuts, embeds and collects them into segments.

It lives in its share of the memory budget: when what it holds nears the share, it writes a segment and starts
afresh; the coordinator merges the segments at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
import traceback

from flyweight._build import SegmentBuilder
from flyweight.errors import FlyweightError, IndexWriteError
from flyweight.index.chunk import chunk
from flyweight.index.content import reason_to_skip
from flyweight.index.language import HEAD_BYTES, detect
from flyweight.index.memory import private_bytes, return_free_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap

    from flyweight.embed import Embedder
    from flyweight.index.channel import Channel
    from flyweight.index.chunk import Chunk

ADDED = "added"
CHANGED = "changed"
UNCHANGED = "unchanged"
VANISHED = "vanished"
UNREADABLE = "unreadable"
NO_HASH = bytes(16)

# A file modified this recently may be modified again without its time stamp moving (a kernel tick is 4 to 10 ms):
# its time is not trusted, and the next run compares its content.
_RACY_NS = 50_000_000
_CHECK_MEMORY_EVERY_BYTES = 256 * 1024
# What is left of a share is for the largest parse (11 MB of a default share of 26).
_USABLE_SHARE = 0.72
# A worker that has flushed and still holds this much of its limit will only flush more and more often: it ends.
_SPENT_SHARE = 0.75


def current_path(shared: mmap.mmap) -> str:
    """The file a worker said it was at."""
    return os.fsdecode(shared[:].partition(b"\0")[0]) or "its start"


class Worker:
    """Runs in a forked child until its channel closes."""

    def __init__(
        self,
        channel: Channel,
        *,
        root: str,
        segment_prefix: str,
        embedder: Embedder,
        batch_size: int,
        memory_share: int,
        meta: bytes,
        current: mmap.mmap,
    ) -> None:
        self._channel = channel
        directory = root if os.path.isdir(root) else os.path.dirname(root)  # a single file is named by its base name
        self._root = os.fsencode(directory)
        self._segment_prefix = segment_prefix
        self._embedder = embedder
        self._batch_size = batch_size
        self._memory_share = memory_share
        self._buffer_limit = memory_share // 4
        self._meta = meta
        self._builder: SegmentBuilder | None = None
        self._segment_path = ""
        self._segment_number = 0
        self._replaced: list[str] = []
        self._unchecked_bytes = 0
        self._current = current
        self._spent = False
        self._languages: set[str] = set()

    def run(self) -> None:
        """Serves messages: ("files", [(path, size, mtime_ns, known hash), ...]) and ("flush",)."""
        try:
            while (message := self._channel.receive()) is not None:
                if message[0] == "flush":
                    self._flush()
                    self._channel.send("flushed")
                    continue
                taken = []
                while message[1] and not self._spent:
                    taken.append(self._take(*message[1].pop(0)))
                # What is left goes back to the coordinator: only an exit gives all memory back.
                self._channel.send("done", taken, message[1], self._spent)
        except FlyweightError as error:
            self._fail(type(error).__name__, str(error))
        except BrokenPipeError:
            pass  # the coordinator is gone; what it had not committed is of no use
        except Exception as error:
            if os.environ.get("FLYWEIGHT_DEBUG"):
                traceback.print_exc()
            self._fail(
                "BuildError",
                f"indexing stopped at {current_path(self._current)}: {type(error).__name__}: {error} "
                "(a defect: FLYWEIGHT_DEBUG=1 shows its traceback; name the file in .flyweightignore to go on)",
            )

    def _fail(self, class_name: str, message: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._channel.send("failed", class_name, message)

    def _take(self, path: str, size_bytes: int, mtime_ns: int, known_hash: bytes) -> tuple[str, str, int, int]:
        """Indexes one file. Returns (path, outcome or reason to skip, chunks, bytes)."""
        self._note(path)
        try:
            text, mtime_ns = self._read(path)
        except FileNotFoundError:
            return path, VANISHED, 0, 0
        except OSError:
            return path, UNREADABLE, 0, 0
        digest = hashlib.blake2b(text, digest_size=16).digest()
        if digest == known_hash:
            return path, UNCHANGED, 0, len(text)
        builder = self._open_builder()
        if known_hash != NO_HASH:
            self._replaced.append(path)
        reason = reason_to_skip(text, path)
        if reason is not None:
            builder.add_skipped(path, reason, digest, len(text), mtime_ns)
            self._keep_to_share(256)
            return path, reason, 0, len(text)
        language = detect(path, text[:HEAD_BYTES])
        chunks = chunk(text, language)
        if language not in self._languages:
            self._languages.add(language)
            self._unchecked_bytes = _CHECK_MEMORY_EVERY_BYTES  # a grammar may have been loaded: megabytes at once
        try:
            builder.add_file(path, language, digest, mtime_ns, text, chunks, self._embed(path, text, chunks))
        except MemoryError:
            raise IndexWriteError("out of memory while indexing: raise --memory-budget or the process limit") from None
        count = len(chunks)
        del chunks
        self._keep_to_share(len(text))
        return path, CHANGED if known_hash != NO_HASH else ADDED, count, len(text)

    def _note(self, path: str) -> None:
        """Leaves word of the file at hand where the coordinator finds it should this process die."""
        name = os.fsencode(path)[: len(self._current)]
        self._current[: len(name) + 1] = name + b"\0" if len(name) < len(self._current) else name

    def _read(self, path: str) -> tuple[bytes, int]:
        # Never through a symlink put there after the walk, and never blocking on a FIFO.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(os.path.join(self._root, os.fsencode(path)), flags)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise OSError("no longer a regular file")
            pieces = []
            while piece := os.read(fd, 1 << 20):
                pieces.append(piece)
                if len(pieces) > 64:
                    raise OSError("the file grows while it is read")
            after = os.fstat(fd)
        finally:
            os.close(fd)
        settled = before.st_mtime_ns == after.st_mtime_ns and time.time_ns() - after.st_mtime_ns > _RACY_NS
        return b"".join(pieces), after.st_mtime_ns if settled else 0

    def _embed(self, path: str, text: bytes, chunks: list[Chunk]) -> bytes:
        directory, _, name = path.rpartition("/")
        place = f"{directory.rpartition('/')[2]} {name.partition('.')[0]}"
        texts = [self._name_prefix(place, piece) + text[piece.start_byte : piece.end_byte] for piece in chunks]
        size = self._batch_size
        return b"".join(self._embedder.embed(texts[i : i + size]) for i in range(0, len(texts), size))

    @staticmethod
    def _name_prefix(place: str, piece: Chunk) -> bytes:
        """What a chunk is called, said twice: names weigh more than the same words in a body."""
        return (2 * f"{place} {piece.scope} {' '.join(piece.symbols)}\n").encode("utf-8", "replace")

    def _open_builder(self) -> SegmentBuilder:
        if self._builder is None:
            self._segment_number += 1
            self._segment_path = f"{self._segment_prefix}-{self._segment_number}.segment"
            self._builder = SegmentBuilder(os.fsencode(self._segment_path), self._embedder.dimensions, self._meta)
        return self._builder

    def _keep_to_share(self, added_bytes: int) -> None:
        """Writes a segment when the memory share is nearly used up."""
        assert self._builder is not None
        if self._builder.buffered_bytes > self._buffer_limit:
            self._flush()
            return
        self._unchecked_bytes += added_bytes
        if self._unchecked_bytes < _CHECK_MEMORY_EVERY_BYTES:
            return
        self._unchecked_bytes = 0
        limit = self._memory_share * _USABLE_SHARE
        if private_bytes() <= limit:
            return
        return_free_memory()
        if private_bytes() <= limit:
            return
        self._flush()
        self._spent = private_bytes() > limit * _SPENT_SHARE

    def _flush(self) -> None:
        builder, self._builder = self._builder, None
        if builder is None:
            return
        counts = builder.file_count, builder.chunk_count
        size_bytes = builder.finish()
        del builder
        return_free_memory()
        replaced, self._replaced = self._replaced, []
        self._channel.send("segment", os.path.basename(self._segment_path), size_bytes, *counts, replaced)

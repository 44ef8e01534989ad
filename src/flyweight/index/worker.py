"""A builder's worker process: reads files, cuts, embeds and collects them into pieces of the index.

It lives in its share of the memory budget: when what it holds nears the share, it ends a piece and starts afresh; the
store puts the pieces together.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import stat
import time
import traceback

from flyweight.errors import FlyweightError, IndexWriteError
from flyweight.index.chunk import chunk
from flyweight.index.content import reason_to_skip
from flyweight.index.language import HEAD_BYTES, detect
from flyweight.index.memory import private_bytes, return_free_memory
from flyweight.index.outcome import ADDED, CHANGED, STUCK, UNCHANGED, UNREADABLE, VANISHED
from flyweight.index.vectors import CutFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from flyweight.index.channel import Channel
    from flyweight.index.vectors import Vectors
    from flyweight.index.watch import FileAtHand
    from flyweight.store import BuildStore, Piece

NO_HASH = bytes(16)

# A file modified this recently may be modified again without its time stamp moving (a kernel tick is 4 to 10 ms):
# its time is not trusted, and the next run compares its content.
_RACY_NS = 50_000_000
_CHECK_MEMORY_EVERY_BYTES = 256 * 1024
_MISSING_NAMED = 100  # chunks that could not be embedded: the first of them are named, all are counted
# What is left of a share is for the largest parse (11 MB of a default share of 26).
_USABLE_SHARE = 0.72
# A worker that has flushed and still holds this much of its limit will only flush more and more often: it ends.
_SPENT_SHARE = 0.75
# The coordinator remembers the files that are in no finished piece yet, 500 bytes each (measured): no more than a 50th
# of a share, 1,000 files of the default one. Files of 6 KB fill a piece by then.
_BYTES_PER_FILE_IN_PIECE = 50 * 500


class Worker:
    """Runs in a forked child until its channel closes."""

    def __init__(
        self,
        channel: Channel,
        *,
        root: str,
        store: BuildStore,
        piece_prefix: str,
        vectors: Vectors,
        memory_share: int,
        at_hand: FileAtHand,
    ) -> None:
        self._channel = channel
        directory = root if os.path.isdir(root) else os.path.dirname(root)  # a single file is named by its base name
        self._root = os.fsencode(directory)
        self._store = store
        self._piece_prefix = piece_prefix
        self._vectors = vectors
        self._memory_share = memory_share
        self._buffer_limit = memory_share // 4
        self._file_limit = memory_share // _BYTES_PER_FILE_IN_PIECE
        self._piece: Piece | None = None
        self._piece_name = ""
        self._piece_number = 0
        self._replaced: list[str] = []
        self._unchecked_bytes = 0
        self._at_hand = at_hand
        self._spent = False
        self._languages: set[str] = set()
        self._halted = False  # the service is asked no more
        self._taken: list[tuple[Any, ...]] = []  # what Outcome is made of
        self._missing: list[tuple[str, int, int, str]] = []

    def run(self) -> None:
        """Serves messages: ("files", [(path, size, mtime_ns, known hash), ...]), ("leave out", such files) and
        ("flush",)."""
        try:
            while (message := self._next_message()) is not None:
                if message[0] == "flush":
                    self._await_vectors()
                    self._flush()
                    self._report()
                    self._channel.send("flushed")
                    continue
                if message[0] == "leave out":
                    for file in message[1]:
                        self._leave_out(*file)
                    self._report()
                    self._channel.send("done", [], self._spent)
                    continue
                while message[1] and not self._spent and not self._halted:
                    self._take(*message[1].pop(0))
                self._at_hand.note("")
                self._report()
                # What is left goes back to the coordinator: only an exit gives all memory back.
                self._channel.send("done", [] if self._halted else message[1], self._spent)
        except FlyweightError as error:
            self._fail(type(error).__name__, str(error))
        except BrokenPipeError:
            pass  # the coordinator is gone; what it had not committed is of no use
        except Exception as error:
            if os.environ.get("FLYWEIGHT_DEBUG"):
                traceback.print_exc()
            self._fail(
                "BuildError",
                f"indexing stopped {self._at_hand.place}: {type(error).__name__}: {error} "
                "(a defect: FLYWEIGHT_DEBUG=1 shows its traceback; name the file in .flyweightignore to go on)",
            )

    def _fail(self, class_name: str, message: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._channel.send("failed", class_name, message)

    def _next_message(self) -> tuple[Any, ...] | None:
        """What the coordinator says next; meanwhile files whose vectors come are taken in."""
        while self._vectors.waiting and not self._poll(select.POLLIN):
            self._add_embedded()
            self._report()
        return self._channel.receive()

    def _await_vectors(self) -> None:
        while self._vectors.waiting:
            self._poll()
            self._add_embedded()
            self._report()

    def _poll(self, events: int = 0) -> bool:
        """Waits for vectors, or for the coordinator when `events` say so; whether it was the coordinator.

        Raises BrokenPipeError when the coordinator is gone: nobody takes what would still be paid for.
        """
        poll = select.poll()
        poll.register(self._channel.read_fd, events)
        poll.register(self._vectors.fileno(), select.POLLIN)
        for fd, event in poll.poll():
            if fd == self._channel.read_fd:
                if not event & select.POLLIN:
                    raise BrokenPipeError
                return True
        return False

    def _report(self) -> None:
        if self._taken:
            self._channel.send("taken", self._taken, self._missing)
            self._taken, self._missing = [], []

    def _tell(
        self,
        path: str,
        result: str,
        size_bytes: int = 0,
        *,
        chunk_count: int = 0,
        missing_chunks: int = 0,
        mtime_ns: int = 0,
    ) -> None:
        self._taken.append((path, result, size_bytes, chunk_count, missing_chunks, mtime_ns))

    def _take(self, path: str, size_bytes: int, mtime_ns: int, known_hash: bytes) -> None:
        """Reads and cuts one file and has it embedded."""
        self._at_hand.note(path)
        found = self._read_or_tell(path)
        if found is None:
            return
        text, mtime_ns = found
        digest = hashlib.blake2b(text, digest_size=16).digest()
        if digest == known_hash:
            self._tell(path, UNCHANGED, len(text), mtime_ns=mtime_ns)
            return
        replaces = known_hash != NO_HASH
        reason = reason_to_skip(text, path)
        if reason is not None:
            self._skip(path, reason, digest, len(text), mtime_ns, replaces)
            return
        language = detect(path, text[:HEAD_BYTES])
        chunks = chunk(text, language)
        if language not in self._languages:
            self._languages.add(language)
            self._unchecked_bytes = _CHECK_MEMORY_EVERY_BYTES  # a grammar may have been loaded: megabytes at once
        self._vectors.submit(CutFile(path, language, digest, mtime_ns, text, chunks, replaces=replaces))
        del text, chunks
        self._add_embedded()
        while self._vectors.full:
            self._poll()
            self._add_embedded()

    def _leave_out(self, path: str, size_bytes: int, mtime_ns: int, known_hash: bytes) -> None:
        """Enters a file as skipped on which a worker before this one got stuck."""
        found = self._read_or_tell(path)
        if found is None:
            return
        text, found_mtime_ns = found
        digest = hashlib.blake2b(text, digest_size=16).digest()
        if (len(text), found_mtime_ns) != (size_bytes, mtime_ns):
            digest, found_mtime_ns = _of_no_file(digest), 0  # changed since: the next run tries it
        self._skip(path, STUCK, digest, len(text), found_mtime_ns, known_hash != NO_HASH)

    def _skip(self, path: str, reason: str, digest: bytes, size_bytes: int, mtime_ns: int, replaces: bool) -> None:
        self._open_piece(path, replaces).add_skipped(path, reason, digest, size_bytes, mtime_ns)
        self._tell(path, reason, size_bytes)
        self._keep_to_share(256)

    def _add_embedded(self) -> None:
        """Takes in what has its vectors."""
        ready = self._vectors.collect()
        while ready:
            file = ready.pop(0)
            if file.halted:
                self._halted = True  # as if it had not been read: the next run embeds it
                continue
            self._add(file)
            size_bytes = len(file.text)
            del file  # its memory counts otherwise
            self._keep_to_share(size_bytes)

    def _add(self, file: CutFile) -> None:
        self._at_hand.note(file.path)
        content_hash, mtime_ns = file.content_hash, file.mtime_ns
        if file.failures:
            # Served with what there is; neither time nor content are those of any file, so the next run tries again.
            content_hash, mtime_ns = _of_no_file(content_hash), 0
            for index, reason in sorted(file.failures.items()):
                if len(self._missing) == _MISSING_NAMED:
                    break
                piece = file.chunks[index]
                self._missing.append((file.path, piece.start_line, piece.end_line, reason))
        try:
            self._open_piece(file.path, file.replaces).add_file(
                file.path, file.language, content_hash, mtime_ns, file.text, file.chunks, file.vectors
            )
        except MemoryError:
            raise IndexWriteError("out of memory while indexing: raise --memory-budget or the process limit") from None
        result = CHANGED if file.replaces else ADDED
        self._tell(file.path, result, len(file.text), chunk_count=len(file.chunks), missing_chunks=len(file.failures))

    def _read_or_tell(self, path: str) -> tuple[bytes, int] | None:
        """What `_read` returns; None after telling why there is nothing to read."""
        try:
            return self._read(path)
        except FileNotFoundError:
            self._tell(path, VANISHED)
        except OSError:
            self._tell(path, UNREADABLE)
        return None

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

    def _open_piece(self, path: str, replaces: bool) -> Piece:
        """The piece at hand, which `path` is about to enter."""
        if self._piece is None:
            self._piece_number += 1
            self._piece_name = f"{self._piece_prefix}-{self._piece_number}"
            self._piece = self._store.piece(self._piece_name)
        if replaces:
            self._replaced.append(path)
        return self._piece

    def _keep_to_share(self, added_bytes: int) -> None:
        """Ends the piece when the memory share is nearly used up."""
        assert self._piece is not None
        if self._piece.buffered_bytes > self._buffer_limit or self._piece.file_count > self._file_limit:
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
        piece, self._piece = self._piece, None
        if piece is None:
            return
        counts = piece.file_count, piece.chunk_count
        size_bytes = piece.finish()
        del piece
        return_free_memory()
        replaced, self._replaced = self._replaced, []
        self._report()  # so that the coordinator knows which files the piece holds
        self._channel.send("piece", self._piece_name, size_bytes, *counts, replaced)


def _of_no_file(digest: bytes) -> bytes:
    """What is stored in place of a content's digest where the next run is to look at the file again."""
    return hashlib.blake2b(digest, digest_size=16, person=b"incomplete").digest()

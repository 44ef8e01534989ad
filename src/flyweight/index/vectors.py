"""How a worker comes by the vectors of a file it has cut: at once, or after others while a service embeds them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from flyweight.embed import Embedder
    from flyweight.embed.gateway_client import GatewayClient
    from flyweight.index.chunk import Chunk

    class Vectors(Protocol):
        """Takes files and gives each back once, in any order, when its vectors are there."""

        @property
        def full(self) -> bool:
            """Whether to wait for files before more are submitted."""
            ...

        @property
        def waiting(self) -> bool:
            """Whether files are still to come back."""
            ...

        def submit(self, file: CutFile) -> None: ...
        def collect(self) -> list[CutFile]:
            """The files that are ready, without waiting for others."""
            ...

        def fileno(self) -> int:
            """What to poll while `waiting`."""
            ...


_TICKET_TEXTS = 64
# Beside its bytes and its row of floats (measured: a Chunk with its strings, its text as submitted, its place).
_CHUNK_BYTES = 900


class CutFile:
    """A file read and cut, on its way into a piece of the index.

    replaces: an older version of it is in the index. vectors: as `SegmentBuilder.add_file` takes them, once embedded.
    failures: index of a chunk without a vector -> the reason. halted: some of it was never asked of the service.
    """

    __slots__ = (
        "chunks",
        "content_hash",
        "failures",
        "halted",
        "language",
        "mtime_ns",
        "path",
        "replaces",
        "text",
        "vectors",
    )

    def __init__(
        self,
        path: str,
        language: str,
        content_hash: bytes,
        mtime_ns: int,
        text: bytes,
        chunks: list[Chunk],
        *,
        replaces: bool,
    ) -> None:
        self.path = path
        self.language = language
        self.content_hash = content_hash
        self.mtime_ns = mtime_ns
        self.text = text
        self.chunks = chunks
        self.replaces = replaces
        self.vectors = b""
        self.failures: dict[int, str] = {}
        self.halted = False

    def embedded_texts(self, mentions: int) -> list[bytes]:
        """What stands for each chunk: its place and the names in it, `mentions` times, before its text."""
        directory, _, name = self.path.rpartition("/")
        place = f"{directory.rpartition('/')[2]} {name.partition('.')[0]}"
        return [
            (mentions * f"{place} {piece.scope} {' '.join(piece.symbols)}\n").encode("utf-8", "replace")
            + self.text[piece.start_byte : piece.end_byte]
            for piece in self.chunks
        ]


# A mean of token vectors hears a name in a long body only when it is said twice; a transformer reads it once, and what
# it reads is paid for.
LOCAL_MENTIONS = 2
REMOTE_MENTIONS = 1


class LocalVectors:
    """Embeds in this process while the file is submitted."""

    full = waiting = False

    def __init__(self, embedder: Embedder, batch_size: int) -> None:
        self._embedder = embedder
        self._batch_size = batch_size
        self._ready: list[CutFile] = []

    def submit(self, file: CutFile) -> None:
        texts, size = file.embedded_texts(LOCAL_MENTIONS), self._batch_size
        file.vectors = b"".join(self._embedder.embed(texts[i : i + size]) for i in range(0, len(texts), size))
        self._ready.append(file)

    def collect(self) -> list[CutFile]:
        ready, self._ready = self._ready, []
        return ready

    def fileno(self) -> int:
        raise AssertionError("nothing is ever waited for")


class _Awaited:
    """A file some of whose vectors are to come."""

    __slots__ = ("cost_bytes", "file", "missing", "rows")

    def __init__(self, file: CutFile, cost_bytes: int, tickets: int) -> None:
        self.file = file
        self.cost_bytes = cost_bytes
        self.rows = [b""] * tickets
        self.missing = tickets


class GatewayVectors:
    """Hands texts to the embedding gateway and goes on: cutting keeps ahead of the service, within `most_bytes`."""

    def __init__(self, address: str, dimensions: int, most_bytes: int) -> None:
        from flyweight.embed.gateway_client import HALTED, GatewayClient

        self._halted = HALTED
        self._client: GatewayClient | None = None
        try:
            self._client = GatewayClient(address)
        except OSError:
            pass  # the gateway is gone: its owner knows why
        self._row_bytes = 4 * dimensions
        self._most_bytes = most_bytes
        self._held_bytes = 0
        self._next_ticket = 0
        self._awaited: dict[int, tuple[_Awaited, int]] = {}  # ticket -> the file, which of its rows
        self._ready: list[CutFile] = []

    @property
    def full(self) -> bool:
        return bool(self._awaited) and self._held_bytes > self._most_bytes

    @property
    def waiting(self) -> bool:
        return bool(self._awaited or self._ready)

    def fileno(self) -> int:
        assert self._client is not None
        return self._client.read_fd

    def submit(self, file: CutFile) -> None:
        texts = file.embedded_texts(REMOTE_MENTIONS)
        file.halted = bool(texts) and self._client is None
        if not texts or self._client is None:
            self._ready.append(file)
            return
        cost_bytes = 2 * len(file.text) + len(texts) * (self._row_bytes + _CHUNK_BYTES)
        tickets = range(0, len(texts), _TICKET_TEXTS)
        awaited = _Awaited(file, cost_bytes, len(tickets))
        self._held_bytes += cost_bytes
        for row, first in enumerate(tickets):
            ticket = self._next_ticket
            self._next_ticket += 1
            self._awaited[ticket] = awaited, row
            self._client.submit(ticket, texts[first : first + _TICKET_TEXTS])

    def collect(self) -> list[CutFile]:
        for ticket, vectors, failures in self._client.receive(block=False) if self._client is not None else ():
            awaited, row = self._awaited.pop(ticket)
            awaited.rows[row] = vectors
            awaited.missing -= 1
            for index, reason in failures:
                awaited.file.halted |= reason == self._halted
                awaited.file.failures[row * _TICKET_TEXTS + index] = reason
            if not awaited.missing:
                self._held_bytes -= awaited.cost_bytes
                awaited.file.vectors = b"".join(awaited.rows)
                self._ready.append(awaited.file)
        ready, self._ready = self._ready, []
        return ready

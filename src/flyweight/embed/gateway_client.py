"""A worker's end of the embedding gateway: texts in, vectors out, as many tickets at once as there is room for."""

from __future__ import annotations

import os
import socket

from flyweight.embed.frames import FrameReader, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Received = tuple[int, bytes, list[tuple[int, str]]]

HALTED = "halted"  # the reason of texts that nobody asked the service for: a cap, credentials, a dead gateway
_READ_BYTES = 1 << 18


class GatewayClient:
    """One worker's connection. For one thread. Raises OSError when there is no gateway at `address`."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._reader = FrameReader()
        self._outstanding: dict[int, int] = {}  # ticket -> number of texts
        self._arrived: list[Received] = []
        self._gone = False
        self._dimensions = 0
        try:
            self._connect(address)
        except OSError:
            self._socket.close()
            raise

    @property
    def waiting(self) -> int:
        """Tickets submitted and not yet received."""
        return len(self._outstanding)

    @property
    def read_fd(self) -> int:
        """Readable when something may have arrived, for a worker that waits for other things as well."""
        return self._socket.fileno()

    def submit(self, ticket: int, texts: list[bytes]) -> None:
        """Asks for the vectors of `texts`. `ticket` is any number not outstanding. May wait while the gateway holds
        4 MB of texts of this client."""
        self._outstanding[ticket] = len(texts)
        if not self._gone:
            try:
                self._socket.sendall(frame("texts", ticket, texts))
            except OSError:
                self._gone = True

    def receive(self, block: bool) -> list[Received]:
        """What has arrived: (ticket, vectors, failures). With `block`, at least one if any is outstanding.

        vectors: float32, shape (texts, dimensions), zeros for a text that is blank or failed; failures: (index of the
        text, reason). The reason is "halted" for what was not asked because the run is over.
        """
        while not self._gone and self._outstanding:
            if not self._read(wait=block and not self._arrived):
                break
        if self._gone:
            for ticket, texts in self._outstanding.items():
                failures = [(index, HALTED) for index in range(texts)]
                self._arrived.append((ticket, bytes(4 * self._dimensions * texts), failures))
            self._outstanding.clear()
        arrived, self._arrived = self._arrived, []
        return arrived

    def close(self) -> None:
        self._socket.close()

    def _connect(self, address: str) -> None:
        directory, name = os.path.split(address)
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._socket.connect(f"/proc/self/fd/{fd}/{name}")  # as it was bound: however long the path
        finally:
            os.close(fd)
        while not self._dimensions:
            if not self._read():
                raise ConnectionError("the embedding gateway is gone")

    def _read(self, *, wait: bool = True) -> bool:
        """Reads once; false when there was nothing, or nobody."""
        try:
            data = self._socket.recv(_READ_BYTES, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._gone = True
            return False
        for message in self._reader.feed(data):
            self._take(message)
        return True

    def _take(self, message: tuple[Any, ...]) -> None:
        if message[0] == "dimensions":
            self._dimensions = message[1]
            return
        ticket, vectors, failures = message
        del self._outstanding[ticket]
        self._arrived.append((ticket, vectors, failures))

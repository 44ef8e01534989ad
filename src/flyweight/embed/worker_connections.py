"""A gateway's connections to the workers: a private Unix socket, and nobody is ever waited for."""

from __future__ import annotations

import itertools
import os
import select
import shutil
import socket
import tempfile

from flyweight.embed.frames import FrameReader, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from flyweight.embed.exchange import Exchange
    from flyweight.embed.ticket_book import Finished

_HELD_BACK_BYTES = 4 << 20  # of texts a client waits for: more is not read from it until some are done
_READ_BYTES = 1 << 16
_GOODBYE_S = 5.0


class _Client:
    """A worker's connection."""

    __slots__ = ("held_bytes", "number", "outgoing", "reader", "socket")

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.socket = connection
        self.number = number
        self.reader = FrameReader()
        self.outgoing = bytearray()
        self.held_bytes = 0


class WorkerConnections:
    """Tickets from workers to `exchange` and back. Its sockets are registered with `poll`.

    address: where workers connect, in a directory that is the user's alone (mode 0700).
    """

    def __init__(self, exchange: Exchange, poll: select.poll) -> None:
        self._exchange = exchange
        self._poll = poll
        self._clients: dict[int, _Client] = {}
        self._numbers = itertools.count(1)
        self._directory = tempfile.mkdtemp(prefix="flyweight-gateway-")
        self.address = os.path.join(self._directory, "socket")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        fd = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._listener.bind(f"/proc/self/fd/{fd}/socket")  # a long TMPDIR would not fit an address
        finally:
            os.close(fd)
        self._listener.listen(64)
        self._listener.setblocking(False)
        poll.register(self._listener.fileno(), select.POLLIN)

    def serve(self, fd: int, events: int) -> None:
        """Does what the poll found to do at `fd`, if that is one of ours."""
        if fd == self._listener.fileno():
            self._accept()
        elif fd in self._clients:
            self._serve_client(self._clients[fd], events)

    def deliver(self, finished: Iterable[Finished]) -> None:
        by_number: dict[int, _Client] | None = None
        for ticket in finished:
            by_number = by_number or {client.number: client for client in self._clients.values()}
            client = by_number.get(ticket.client)
            if client is not None:
                client.held_bytes -= ticket.text_bytes
                self._send(client, frame(ticket.number, ticket.vectors, ticket.failures))

    def close(self) -> None:
        """What is finished reaches those who still listen; they take the rest for halted when the connection ends."""
        for client in self._clients.values():
            client.socket.settimeout(_GOODBYE_S)
            try:
                client.socket.sendall(client.outgoing)
            except OSError:
                pass
            client.socket.close()
        self._listener.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        client = _Client(connection, next(self._numbers))
        self._clients[connection.fileno()] = client
        self._send(client, frame("dimensions", self._exchange.dimensions))

    def _serve_client(self, client: _Client, events: int) -> None:
        if events & select.POLLOUT:
            self._send(client, b"")
        if not events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return
        try:
            data = client.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._part_with(client)
            return
        for _, number, texts in client.reader.feed(data):
            client.held_bytes += sum(map(len, texts))
            self._exchange.take_in(client.number, number, texts)
        self._watch(client)

    def _send(self, client: _Client, data: bytes) -> None:
        client.outgoing += data
        try:
            while client.outgoing:
                del client.outgoing[: client.socket.send(client.outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            client.outgoing.clear()  # its end is noticed when it is read from
        self._watch(client)

    def _watch(self, client: _Client) -> None:
        events = select.POLLOUT if client.outgoing else 0
        if client.held_bytes <= _HELD_BACK_BYTES:
            events |= select.POLLIN
        self._poll.register(client.socket.fileno(), events)

    def _part_with(self, client: _Client) -> None:
        self._poll.unregister(client.socket.fileno())
        del self._clients[client.socket.fileno()]
        client.socket.close()
        self._exchange.close_client(client.number)

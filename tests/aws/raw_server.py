"""A server on loopback that says, byte for byte, what a test wants said."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


def response(body: bytes = b"", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class RawServer:
    """handler: called with each connection, in a thread of its own; when it returns, the connection is closed. A list
    of bytes stands for a handler that answers one request after the other with them.

    connections: how many were made; requests: the whole of each, in order.
    """

    def __init__(
        self,
        handler: Callable[[RawConnection], None] | list[bytes],
        *,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._handler = (lambda connection: connection.answer(handler)) if isinstance(handler, list) else handler
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.requests: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}" if self._context is None else f"https://localhost:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for opened in self._open:
            try:
                opened.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already
        for thread in list(self._threads):
            thread.join(300)
            assert not thread.is_alive()
        self._listener.close()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._listener.accept()
            except OSError:
                return
            opened.settimeout(60)
            self.connections += 1
            self._open.append(opened)
            self._start(self._serve, opened)

    def _serve(self, opened: socket.socket) -> None:
        with opened:
            try:
                stream = opened if self._context is None else self._context.wrap_socket(opened, server_side=True)
                with stream:
                    self._handler(RawConnection(self, stream))
            except OSError:
                pass  # the client has gone, or does not like our certificate


class RawConnection:
    def __init__(self, server: RawServer, stream: socket.socket) -> None:
        self._server = server
        self._stream = stream
        self._buffer = b""

    def request(self) -> bytes:
        """The next request, whole; OSError when there is none."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._more()
        size = end + 4
        for line in self._buffer[:end].lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                size += int(line.partition(b":")[2])
        while len(self._buffer) < size:
            self._more()
        whole, self._buffer = self._buffer[:size], self._buffer[size:]
        self._server.requests.append(whole)
        return whole

    def send(self, data: bytes) -> None:
        self._stream.sendall(data)

    def answer(self, answers: list[bytes]) -> None:
        """The next request with the next answer; when there is none left, the last again."""
        number = 0
        while True:
            self.request()
            self.send(answers[min(number, len(answers) - 1)])
            number += 1

    def reset(self) -> None:
        """The end of the connection comes as a reset, not as its orderly end."""
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def _more(self) -> None:
        piece = self._stream.recv(65536)
        if not piece:
            raise ConnectionError("the client has gone")
        self._buffer += piece

"""An HTTP/1.1 service on loopback in a thread of its own, for stand-ins that must misbehave on the wire.

Ready-made servers answer as they should; this one can also stop in the middle.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

from tests.standins.faults import Faults
from tests.standins.ledger import Ledger
from tests.standins.listener import Listener

if TYPE_CHECKING:
    from tests.standins.certificates import Certificates

_MOST_BODY_BYTES = 64 << 20


class Request:
    """A whole request as it came: `target` undecoded, header names in lower case, repeated headers joined."""

    __slots__ = ("body", "headers", "method", "target", "version")

    def __init__(self, method: str, target: str, version: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.body = body

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)


class Answer:
    """What to send. `paid` (model, texts, tokens) is filed in the ledger if all of it is sent. `manner` names a fault
    of the wire, None to send it as it is."""

    __slots__ = ("body", "delay_s", "headers", "manner", "paid", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        paid: tuple[str, list[str], int] | None = None,
        manner: str | None = None,
        delay_s: float = 0.0,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers or {}
        self.paid = paid
        self.manner = manner
        self.delay_s = delay_s


_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    424: "Failed Dependency",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class HttpService:
    """Serves until the `with` block ends. Subclasses answer requests in `answer`, which runs in the service's thread.

    tls: serve HTTPS with `certificates` (made if not given). framing: how bodies end: "length", "chunked" or "close".
    requests_per_connection: connections are closed after so many answers without a word (0: never), as load balancers
    do with idle ones.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tls: bool = False,
        certificates: Certificates | None = None,
        latency_s: float = 0.0,
        faults: Faults | None = None,
        framing: str = "length",
        requests_per_connection: int = 0,
    ) -> None:
        self.latency_s = latency_s
        self.faults = faults or Faults()
        self.framing = framing
        self.requests_per_connection = requests_per_connection
        self.ledger = Ledger()
        self.tls = tls
        self.connections: set[_Connection] = set()
        self.in_hand = 0
        self._port = port
        self._certificates = certificates
        self._listener: Listener | None = None

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def control(self, path: str, fields: dict[str, Any]) -> Any:
        """Answers `/_…`, what a test in another process asks for."""
        if path == "/_ledger":
            return self.ledger.as_dict()
        if path == "/_reset":
            self.ledger.reset()
            self.faults = Faults()
        elif path == "/_faults":
            self.faults = Faults.from_dict(fields)
        elif path == "/_settings":
            for name in ("latency_s", "framing", "requests_per_connection"):
                if name in fields:
                    setattr(self, name, fields[name])
        elif path == "/_drop":
            self._drop_idle()
        else:
            return None
        return {}

    def drop_idle_connections(self) -> None:
        """Closes every connection that waits for a request, as the service does with old ones."""
        assert self._listener is not None
        self._listener.call(self._drop_idle)

    @property
    def endpoint(self) -> str:
        # A name for TLS, because most certificates have one; 127.0.0.1 spares the others a look-up.
        return f"https://localhost:{self._port}" if self.tls else f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def ca_file(self) -> str | None:
        """The bundle that vouches for this service; None without TLS."""
        return str(self._certificates.ca_file) if self._certificates is not None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        if self.tls and self._certificates is None:
            from tests.standins.certificates import Certificates

            self._certificates = Certificates()
        context = self._certificates.server_context() if self.tls and self._certificates else None
        self._listener = Listener("stand-in", lambda: _Connection(self), context, self._port)
        self._port = self._listener.port
        self._listener.start()

    def stop(self) -> None:
        """Ends the service; its connections are closed, its thread is gone."""
        if self._listener is not None:
            self._listener.stop()
            self._listener = None

    def _drop_idle(self) -> None:
        for connection in list(self.connections):
            connection.close_if_idle()


class _Connection(asyncio.Protocol):
    """One connection: requests one after the other, whatever is sent ahead waits."""

    def __init__(self, service: HttpService) -> None:
        self._service = service
        self._buffer = bytearray()
        self._busy = False
        self._answered = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._service.connections.add(self)
        self._service.ledger.add_connection()

    def connection_lost(self, error: Exception | None) -> None:
        self._service.connections.discard(self)
        if self._busy:
            self._done()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def close_if_idle(self) -> None:
        if not self._busy and not self._buffer and self._transport is not None:
            self._transport.close()

    def _next(self) -> None:
        while not self._busy and self._transport is not None and not self._transport.is_closing():
            try:
                request = self._take_request()
            except ValueError as error:
                self._write(Answer(400, str(error).encode()))
                self._transport.close()
                return
            if request is None:
                return
            if request.target.startswith("/_"):
                self._answer_control(request)
                continue
            self._busy = True
            service = self._service
            service.in_hand += 1
            service.ledger.add_request(service.in_hand)
            answer = service.answer(request)
            delay_s = service.latency_s + answer.delay_s
            if delay_s > 0:
                asyncio.get_running_loop().call_later(delay_s, self._deliver, answer)
            else:
                self._deliver(answer)

    def _take_request(self) -> Request | None:
        """The next request if it has come whole. ValueError if it is none."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > 1 << 16:
                raise ValueError("the headers are too long")
            return None
        first, *lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
            raise ValueError(f"no request: {first!r}")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise ValueError(f"no header: {line!r}")
            name = name.lower()
            headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
        if parts[2] == "HTTP/1.1" and "host" not in headers:
            raise ValueError("the Host header is missing")
        if "transfer-encoding" in headers:
            raise ValueError("the length of the body is missing")
        length = int(headers.get("content-length", "0"))
        if length > _MOST_BODY_BYTES:
            raise ValueError("the body is too long")
        if len(buffer) < end + 4 + length:
            return None
        body = bytes(buffer[end + 4 : end + 4 + length])
        del buffer[: end + 4 + length]
        target = parts[1]
        if target.startswith("http://"):  # a proxy may pass on what it was sent
            target = target[target.index("/", len("http://")) :]
        return Request(parts[0], target, parts[2], headers, body)

    def _answer_control(self, request: Request) -> None:
        fields = json.loads(request.body) if request.body else {}
        content = self._service.control(request.path, fields)
        body = json.dumps(content if content is not None else {"error": f"nothing at {request.path}"}).encode()
        self._write(Answer(200 if content is not None else 404, body, {"Content-Type": "application/json"}))

    def _done(self) -> None:
        self._busy = False
        self._service.in_hand -= 1

    def _deliver(self, answer: Answer) -> None:
        transport = self._transport
        if not self._busy or transport is None or transport.is_closing():
            return  # the client has gone
        manner = answer.manner
        if manner == "silent":
            return
        if manner == "reset":
            raw = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        elif manner == "closed":
            transport.close()
        elif manner == "half_headers":
            transport.write(self._head(answer)[:40])
            transport.close()
        elif manner == "half_body":
            transport.write(self._head(answer) + answer.body[: len(answer.body) // 2])
            transport.close()
        elif manner == "slow_body":
            half = len(answer.body) // 2
            transport.write(self._head(answer) + answer.body[:half])
            asyncio.get_running_loop().call_later(self._service.faults.slow_s, self._end_slow_body, answer, half)
        elif manner == "endless_body":
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            self._go_on(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        else:
            self._send_whole(answer)

    def _go_on(self, chunk: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            if self._transport.get_write_buffer_size() < 1 << 20:
                self._transport.write(chunk)
            asyncio.get_running_loop().call_later(0.001, self._go_on, chunk)

    def _end_slow_body(self, answer: Answer, half: int) -> None:
        if self._busy and self._transport is not None and not self._transport.is_closing():
            self._file(answer)
            self._transport.write(answer.body[half:])
            self._done()
            self._next()

    def _send_whole(self, answer: Answer) -> None:
        assert self._transport is not None
        self._file(answer)
        self._write(answer)
        self._done()
        self._answered += 1
        if self._answered == self._service.requests_per_connection or self._service.framing == "close":
            self._transport.close()
        else:
            self._next()

    def _file(self, answer: Answer) -> None:
        """Before it is sent: who has got an answer must find it in the ledger."""
        if answer.paid is not None:
            self._service.ledger.add_answers(*answer.paid, asyncio.get_running_loop().time())

    def _write(self, answer: Answer) -> None:
        assert self._transport is not None
        if self._service.framing == "chunked" and answer.body:
            pieces = [answer.body[start : start + 1000] for start in range(0, len(answer.body), 1000)]
            body = (
                b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-Trailer: 1\r\n\r\n"
            )
        else:
            body = answer.body
        self._transport.write(self._head(answer) + body)

    def _head(self, answer: Answer) -> bytes:
        lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        framing = self._service.framing
        if framing == "chunked" and answer.body:
            lines.append("Transfer-Encoding: chunked")
        elif framing == "close":
            lines.append("Connection: close")
        else:
            lines.append(f"Content-Length: {len(answer.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

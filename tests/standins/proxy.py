"""An HTTP proxy on loopback that opens tunnels, demands a password, and fails in the ways proxies do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from tests.standins.listener import Listener

if TYPE_CHECKING:
    from tests.standins.certificates import Certificates

FAILURES = ("forbidden", "bad_gateway", "closed", "silent", "nonsense", "half_tunnel")


class ProxyStandIn:
    """credentials: (user, password) it demands, None for none. failure: one of FAILURES for every request. routes:
    where the tunnel to "host:port" really leads, so that a client may be sent to any name. tls: spoken by the proxy
    itself, with `certificates`.

    asked: "host:port" of every tunnel, or "http://host:port" of every plain request, in order.
    """

    def __init__(
        self,
        *,
        credentials: tuple[str, str] | None = None,
        failure: str | None = None,
        routes: Mapping[str, tuple[str, int]] | None = None,
        tls: bool = False,
        certificates: Certificates | None = None,
    ) -> None:
        self.credentials = credentials
        self.failure = failure
        self.routes = dict(routes or {})
        self.asked: list[str] = []
        self.denied = 0
        self.tls = tls
        self.port = 0
        self._certificates = certificates
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        """With the user and password it demands."""
        login = ":".join(quote(part, safe="") for part in self.credentials) + "@" if self.credentials else ""
        return f"{'https' if self.tls else 'http'}://{login}{'localhost' if self.tls else '127.0.0.1'}:{self.port}"

    @property
    def ca_file(self) -> str | None:
        return str(self._certificates.ca_file) if self._certificates is not None else None

    def __enter__(self) -> Self:
        if self.tls and self._certificates is None:
            from tests.standins.certificates import Certificates

            self._certificates = Certificates()
        context = self._certificates.server_context() if self.tls and self._certificates else None
        self._listener = Listener("proxy", self._make_protocol, context)
        self.port = self._listener.port
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._listener is not None
        self._listener.stop()

    def _make_protocol(self) -> asyncio.Protocol:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert self._listener is not None
            self._listener.run_task(asyncio.get_running_loop().create_task(self._client(reader, writer)))

        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), connected)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._tunnel(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # one side has gone
        finally:
            writer.transport.abort()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines if line}
            if not self._allowed(headers.get("proxy-authorization")):
                self.denied += 1
                writer.write(
                    b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="proxy"\r\n'
                    b"Content-Length: 0\r\n\r\n"
                )
                continue
            place = target if method == "CONNECT" else target[: target.index("/", len("http://"))]
            self.asked.append(place)
            if self.failure is not None and self.failure != "half_tunnel":
                await self._fail(writer)
                return
            host, _, port = place.removeprefix("http://").rpartition(":")
            upstream = self.routes.get(f"{host}:{port}", (host.strip("[]"), int(port)))
            try:
                far_reader, far_writer = await asyncio.open_connection(*upstream)
            except OSError:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return
            try:
                if method == "CONNECT":
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    far_writer.write(head)
                limit = 1000 if self.failure == "half_tunnel" else None
                await self._copy_both(reader, writer, far_reader, far_writer, limit)
            finally:
                far_writer.transport.abort()
                await asyncio.shield(_closed(far_writer))
            return

    async def _copy_both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
        limit: int | None,
    ) -> None:
        """Until either side has gone, or `limit` bytes have come back."""
        there = asyncio.create_task(_copy(reader, far_writer, None))
        back = asyncio.create_task(_copy(far_reader, writer, limit))
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)

    def _allowed(self, given: str | None) -> bool:
        if self.credentials is None:
            return True
        return given == "Basic " + base64.b64encode(":".join(self.credentials).encode()).decode()

    async def _fail(self, writer: asyncio.StreamWriter) -> None:
        if self.failure == "forbidden":
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\nConnection: close\r\n\r\nforbidden")
        elif self.failure == "bad_gateway":
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        elif self.failure == "nonsense":
            writer.write(b"220 mail.example ESMTP\r\n\r\n")
        elif self.failure == "silent":
            await asyncio.Event().wait()
        await writer.drain()
        writer.close()
        await writer.wait_closed()


async def _closed(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
    passed = 0
    while data := await reader.read(1 << 16):
        if limit is not None and passed + len(data) >= limit:
            writer.write(data[: limit - passed])
            await writer.drain()
            return
        passed += len(data)
        writer.write(data)
        await writer.drain()

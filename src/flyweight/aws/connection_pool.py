"""Kept HTTP/1.1 connections to one service. Resident: the whole of a client for what Titan needs, in well under the
memory of `http.client` and `ssl`.
"""

from __future__ import annotations

import os
import time

from flyweight.aws.byte_stream import CertificateDistrusted, NameUnknown, TlsFailed, connect, reason
from flyweight.aws.http_response import BadResponse, Response, ResponseReader
from flyweight.aws.proxy import ProxyFailure, authorization, check_proxy_status, named_proxy, open_tunnel, proxy_for
from flyweight.aws.url import split_url
from flyweight.errors import ConfigError, EmbedderRefusedError, FlyweightError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyweight.aws.byte_stream import ByteStream, PlainStream
    from flyweight.aws.tls import TlsClient, TlsStream

# Load balancers drop an idle connection after 60 s and more; gateways after 350 s, without a word to either end.
_MAX_IDLE_S = 50.0
_WAY_THERE = "check the network, proxies (HTTPS_PROXY, NO_PROXY) and endpoint_url"


class ConnectionFailed(FlyweightError):
    """No answer, or no whole one, this time; the message names the host and the way out."""


class NobodyThere(ConnectionFailed):
    """No connection came about, and that was clear at once: refused, no way there, no such name."""


class _Connection:
    __slots__ = ("idle_since", "owner", "stream")

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.owner = os.getpid()
        self.idle_since = 0.0

    def is_usable(self) -> bool:
        """A forked child leaves its parent's connections alone: two would write into one stream."""
        if self.owner != os.getpid() or time.monotonic() - self.idle_since > _MAX_IDLE_S:
            return False
        return self.stream.is_quiet()


class ConnectionPool:
    """Requests to one http or https URL, each over a kept connection where there is one.

    Safe to share between threads: no lock is held while anything is waited for. Safe across fork: a child makes
    connections of its own.

    ca_bundle: a file or directory of certificates to trust instead of the system's. proxy: the URL of an http or https
    proxy; by default the environment's. max_idle: connections kept. timeout_s: for requests that name no other.

    Raises ConfigError.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ca_bundle: str | None = None,
        proxy: str | None = None,
        max_idle: int = 64,
        timeout_s: float = 30.0,
    ) -> None:
        self.url = split_url(base_url, "the address of a service")
        self._proxy = proxy_for(self.url) if proxy is None else named_proxy(proxy, "the option proxy")
        self._tls: TlsClient | None = None
        if "https" in (self.url.scheme, self._proxy.scheme if self._proxy is not None else ""):
            from flyweight.aws.tls import TlsClient  # OpenSSL is loaded only for those who encrypt: 2 MB

            self._tls = TlsClient(ca_bundle)
        self._max_idle = max_idle
        self._timeout_s = timeout_s
        self._idle: list[_Connection] = []  # the one used last is at the end; list methods are one step each
        self._closed = False

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout_s: float | None = None,
        *,
        repeatable: bool = True,
    ) -> Response:
        """One request and its whole response, whatever its status, within `timeout_s` seconds from now.

        path: appended to the URL's; percent-encoded. A kept connection that turns out to be closed before anything of
        the response has come is replaced once, unless the request is not `repeatable`.

        Raises ConnectionFailed, EmbedderRefusedError (a certificate or a proxy that refuses), ConfigError.
        """
        deadline = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        message = self._message(method, path, headers, body)
        connection = self._kept() if repeatable else None
        if connection is not None:
            response = self._exchange(connection, message, deadline, kept=True)
            if response is not None:
                return response
        response = self._exchange(self._connect(deadline), message, deadline, kept=False)
        assert response is not None
        return response

    def close(self) -> None:
        """Closes the idle connections; those in use are closed when their response is complete."""
        self._closed = True
        self.drop_idle()

    def drop_idle(self) -> None:
        """Gives back what idle connections hold."""
        while self._idle:
            try:
                self._idle.pop().stream.close()
            except IndexError:
                break  # another thread was quicker

    def _kept(self) -> _Connection | None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if connection.is_usable():
                return connection
            connection.stream.close()
        return None

    def _keep(self, connection: _Connection) -> None:
        now = connection.idle_since = time.monotonic()
        self._idle.append(connection)
        try:
            while now - self._idle[0].idle_since > _MAX_IDLE_S:
                self._idle.pop(0).stream.close()
        except IndexError:
            pass  # another thread has taken what was there

    def _exchange(self, connection: _Connection, message: bytes, deadline: float, *, kept: bool) -> Response | None:
        """None when a kept connection was closed before anything came."""
        stream = connection.stream
        reader = ResponseReader(stream)
        response = None
        try:
            stream.deadline = deadline
            stream.send(message)
            response = reader.read()
        except TimeoutError:
            raise self._failed(
                f"did not answer in time{' in full' if reader.started else ''}",
                "ask again, or raise timeout_s (query_timeout_s for searches)",
            ) from None
        except BadResponse as fault:
            if kept and not reader.started:
                return None
            raise self._failed(f"gave an answer that cannot be used: {fault}", "ask again") from None
        except OSError as error:
            if kept and not reader.started:
                return None
            raise self._failed(f"broke the connection: {reason(error)}", "ask again") from None
        finally:
            if response is None or not response.keeps_open or self._closed or len(self._idle) >= self._max_idle:
                stream.close()
            else:
                self._keep(connection)
        if response.status == 407 and self._proxy is not None:
            check_proxy_status(response.status, self._proxy, self.url)
        return response

    def _connect(self, deadline: float) -> _Connection:
        knew_every_root = self._tls is None or self._tls.knows_every_root
        try:
            return self._connected(deadline)
        except CertificateDistrusted as error:
            if self._tls is None or knew_every_root:
                raise self._distrusted(error) from None
        self._tls.learn_every_root()
        return self._connect(deadline)

    def _connected(self, deadline: float) -> _Connection:
        via = self._proxy
        first = self.url if via is None else via
        stream: PlainStream | TlsStream
        try:
            plain = stream = connect(first.host, first.port, deadline)
        except OSError as error:
            unknown = isinstance(error, NameUnknown)
            way_out = "check the region or endpoint_url, and the network" if unknown and via is None else _WAY_THERE
            kind = ConnectionFailed if isinstance(error, TimeoutError) else NobodyThere
            raise kind(str(self._failed(f"cannot be reached: {reason(error)}", way_out, at=via))) from None
        try:
            if via is not None:
                if via.scheme == "https" and self._tls is not None:
                    stream = self._tls.handshake(stream, via.host)
                if self.url.scheme == "https":
                    open_tunnel(stream, via, self.url)
            if self.url.scheme == "https" and self._tls is not None:
                stream = self._tls.handshake(stream, self.url.host)
        except BaseException as error:
            plain.close()
            if isinstance(error, CertificateDistrusted):
                raise
            if isinstance(error, ProxyFailure):
                raise self._failed(f"opens no way to {self.url.host}: {error}", "ask again", at=via) from None
            if isinstance(error, TimeoutError):
                raise self._failed("did not make a connection in time", "ask again", at=via) from None
            if isinstance(error, TlsFailed):
                raise self._failed(
                    f"does not agree on TLS: {error}", "check scheme and port of its URL", at=via
                ) from None
            if isinstance(error, OSError):
                raise self._failed(f"broke the connection: {reason(error)}", "ask again", at=via) from None
            raise
        return _Connection(stream)

    def _message(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        target = self.url.path + path
        more = {}
        if self._proxy is not None and self.url.scheme == "http":
            target = f"http://{self.url.authority}{target}"
            more = authorization(self._proxy)
        lines = [f"{method} {target} HTTP/1.1"]
        given = {name.lower() for name in headers}
        if "host" not in given:
            lines.append(f"Host: {self.url.authority}")
        if "content-length" not in given and (body or method not in ("GET", "HEAD")):
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in (*headers.items(), *more.items())]
        for line in lines:
            if not line.isascii() or not line.isprintable():
                raise ConfigError(f"{line.partition(':')[0][:60]!r} of a request holds characters that no header can")
        if " " in target or " " in method:
            raise ConfigError(f"{target[:60]!r} is no path of a request: it holds a space")
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body

    def _failed(self, what: str, way_out: str, at: object = None) -> ConnectionFailed:
        place = f"{self.url.host}:{self.url.port}" if at is None else f"the proxy {at}"
        return ConnectionFailed(f"{place} {what}: {way_out}")

    def _distrusted(self, error: CertificateDistrusted) -> EmbedderRefusedError:
        return EmbedderRefusedError(
            f"{self.url.host}:{self.url.port} cannot be trusted: {error}: if a company's proxy or a private endpoint "
            "stands there, name its certificates by the option ca_bundle or AWS_CA_BUNDLE"
        )

    def __repr__(self) -> str:
        return f"ConnectionPool({str(self.url)!r}, idle={len(self._idle)})"

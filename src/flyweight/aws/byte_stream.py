"""A TCP connection whose every step ends by a deadline. Resident: `_socket`, because `socket` costs a megabyte more."""

from __future__ import annotations

import _socket
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class ByteStream(Protocol):
        """What an HTTP exchange needs of a connection. `deadline` is on time.monotonic()'s clock; every call raises
        TimeoutError once it has passed, OSError when the connection breaks."""

        deadline: float

        def send(self, data: bytes) -> None: ...

        def receive(self) -> bytes:
            """Some bytes; b"" when the peer has ended the stream."""
            ...

        def is_quiet(self) -> bool:
            """Whether an idle connection is as it was left: open, with nothing to say."""
            ...

        def close(self) -> None: ...


NameUnknown = _socket.gaierror
RECEIVE_BYTES = 32 * 1024
# A host may have many addresses of which the first do not answer: none may use up all the time there is.
_LEAST_PER_ADDRESS_S = 1.0


class TlsFailed(OSError):
    """The two sides cannot agree on TLS; the message says why."""


class CertificateDistrusted(TlsFailed):
    """The peer's certificate does not verify; the message says why."""


class _Socket(_socket.socket):
    """Closes without a warning when it is let go: a pool may go without a farewell, and what a forked child lets go is
    its parent's. Of the socket itself, because in a cycle of garbage it may be finalised before what holds it."""

    __slots__ = ()
    __del__ = _socket.socket.close


class PlainStream:
    """A connected TCP socket."""

    __slots__ = ("_socket", "deadline")

    def __init__(self, connected: Any, deadline: float) -> None:
        self._socket = connected
        self.deadline = deadline

    def send(self, data: bytes) -> None:
        self._socket.settimeout(remaining_s(self.deadline))
        self._socket.sendall(data)

    def receive(self) -> bytes:
        self._socket.settimeout(remaining_s(self.deadline))
        received: bytes = self._socket.recv(RECEIVE_BYTES)
        return received

    def receive_now(self) -> bytes | None:
        """What has come already: None for nothing yet, b"" for the end."""
        self._socket.settimeout(0.0)
        try:
            received: bytes = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None
        return received

    def is_quiet(self) -> bool:
        try:
            return self.receive_now() is None
        except OSError:
            return False

    def close(self) -> None:
        self._socket.close()


def connect(host: str, port: int, deadline: float) -> PlainStream:
    """Tries the addresses of `host` in turn. Raises OSError; TimeoutError after the deadline; socket.gaierror."""
    failure: OSError | None = None
    addresses = _addresses(host, port, deadline)
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        opened = _Socket(family, kind | _socket.SOCK_CLOEXEC, protocol)
        try:
            left = remaining_s(deadline)
            share = left / (len(addresses) - number)
            opened.settimeout(min(left, max(share, _LEAST_PER_ADDRESS_S)))
            opened.connect(address)
            opened.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            opened.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
        except BaseException as error:
            opened.close()
            if not isinstance(error, OSError):
                raise
            failure = error
            continue
        return PlainStream(opened, deadline)
    try:
        raise failure or OSError("it has no address")
    finally:
        failure = None  # it holds this frame: together they would stay until the next collection


def _addresses(host: str, port: int, deadline: float) -> list[Any]:
    # As bytes: from text, getaddrinfo makes IDNA by a codec that weighs 1.3 MB. Names here are ASCII.
    name = host.encode("ascii")
    try:
        return _socket.getaddrinfo(name, port, 0, _socket.SOCK_STREAM, 0, _socket.AI_NUMERICHOST)
    except NameUnknown:
        return _look_up(name, port, remaining_s(deadline))


def _look_up(name: bytes, port: int, timeout_s: float) -> list[Any]:
    """The resolver takes as long as its own settings say (30 s are usual): it is asked on a thread that may be left
    behind. A forked child would miss that thread, but asks on one of its own."""
    import _thread

    found: list[Any] = []
    done = _thread.allocate_lock()
    done.acquire()

    def look_up() -> None:
        try:
            found.append(_socket.getaddrinfo(name, port, 0, _socket.SOCK_STREAM))
        except BaseException as error:
            found.append(error)
        finally:
            done.release()

    _thread.start_new_thread(look_up, ())
    if not done.acquire(timeout=timeout_s):
        raise TimeoutError("its name was not resolved in time")
    answer = found[0]
    if isinstance(answer, BaseException):
        raise answer
    return list(answer)


def remaining_s(deadline: float) -> float:
    """Seconds until `deadline`; raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is up")
    return left


def reason(error: OSError) -> str:
    """What an error of the system says, in words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, NameUnknown):
        return f"its name cannot be resolved ({error.strerror or error})"
    of_tls = getattr(error, "reason", None)  # without the lines of OpenSSL's source that its message names
    if of_tls:
        return str(of_tls).replace("_", " ").lower()
    return os.strerror(error.errno) if isinstance(error.errno, int) and error.errno > 0 else str(error)

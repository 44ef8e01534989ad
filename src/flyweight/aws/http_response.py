"""Reads one HTTP/1.1 response (RFC 9112) from a byte stream. Resident: `http.client` brings the `email` package."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.aws.byte_stream import ByteStream

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
_BEGINNING = b"HTTP/"
_BODILESS = (204, 304)


class BadResponse(Exception):
    """What came is no HTTP response, or not all of one; the message says what came instead."""


class Response:
    """headers: by lower-case name; values of a name that came twice are joined by commas. body: complete."""

    __slots__ = ("body", "headers", "keeps_open", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes, keeps_open: bool) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.keeps_open = keeps_open


class ResponseReader:
    """For one response. `started` says whether any byte of it has come."""

    __slots__ = ("_pending", "_stream", "started")

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._pending = b""
        self.started = False

    def read(self, *, tunnel: bool = False) -> Response:
        """tunnel: the answer to a CONNECT, which has no body when it grants it.

        Raises BadResponse, OSError, TimeoutError.
        """
        while True:
            version, status, headers = self._head()
            if status >= 200:
                break
            if status == 101:
                raise BadResponse("it switched to another protocol")
        connection = [option.strip().lower() for option in headers.get("connection", "").split(",")]
        keeps_open = "close" not in connection if version == "HTTP/1.1" else "keep-alive" in connection
        if status in _BODILESS or (tunnel and 200 <= status < 300):
            return Response(status, headers, b"", keeps_open and not self._pending)
        encoding = headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise BadResponse(f"its body is encoded as {encoding[:40]!r}, which was not asked for")
        transfer = headers.get("transfer-encoding")
        if transfer is not None:
            if transfer.lower() != "chunked":
                raise BadResponse(f"its transfer encoding is {transfer[:40]!r}")
            body = self._chunked()
        elif "content-length" in headers:
            body = self._exactly(_content_length(headers["content-length"]))
        else:
            body = self._until_the_end()
            keeps_open = False
        # A length beside chunks, or bytes after the body: what follows could be taken for an answer that it is not.
        if self._pending or (transfer is not None and "content-length" in headers):
            keeps_open = False
        return Response(status, headers, body, keeps_open)

    def _head(self) -> tuple[str, int, dict[str, str]]:
        while len(self._pending) < len(_BEGINNING):
            self._pending += self._more("a few bytes")
        if not self._pending.startswith(_BEGINNING):  # another protocol may never come to the end of a head
            raise BadResponse(f"it begins with {_excerpt(self._pending)}, which is not HTTP/1.1")
        lines = self._until(b"\r\n\r\n", MAX_HEAD_BYTES, "its head").split(b"\r\n")
        version, _, rest = lines[0].partition(b" ")
        code = rest[:3]
        if version not in (b"HTTP/1.1", b"HTTP/1.0") or not code.isdigit() or len(code) != 3 or code < b"100":
            raise BadResponse(f"it begins with {_excerpt(lines[0])}, which is not HTTP/1.1")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip() or b" " in name:
                raise BadResponse(f"{_excerpt(line)} is no header")
            key, text = name.decode("latin-1").lower(), value.strip(b" \t").decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return version.decode(), int(code), headers

    def _chunked(self) -> bytes:
        pieces: list[bytes] = []
        total = 0
        while True:
            size_line = self._until(b"\r\n", 4096, "the size of a chunk")
            digits = size_line.partition(b";")[0].strip(b" \t")
            if not digits or len(digits) > 8 or digits.strip(b"0123456789abcdefABCDEF"):
                raise BadResponse(f"{_excerpt(size_line)} is no size of a chunk")
            size = int(digits, 16)
            if size == 0:
                break
            total += size
            if total > MAX_BODY_BYTES:
                raise BadResponse(f"its body is over {MAX_BODY_BYTES >> 20} MB")
            pieces.append(self._exactly(size))
            if self._exactly(2) != b"\r\n":
                raise BadResponse("a chunk is longer than it says")
        while self._until(b"\r\n", MAX_HEAD_BYTES, "a trailer"):
            pass
        return b"".join(pieces)

    def _exactly(self, size: int) -> bytes:
        if size > MAX_BODY_BYTES:
            raise BadResponse(f"its body of {size} bytes is over {MAX_BODY_BYTES >> 20} MB")
        pieces = [self._pending]
        have = len(self._pending)
        while have < size:
            piece = self._more(f"{have} of the {size} bytes of its body")
            pieces.append(piece)
            have += len(piece)
        whole = b"".join(pieces)
        self._pending = whole[size:]
        return whole if have == size else whole[:size]

    def _until_the_end(self) -> bytes:
        pieces = [self._pending]
        have = len(self._pending)
        self._pending = b""
        while piece := self._stream.receive():
            pieces.append(piece)
            have += len(piece)
            if have > MAX_BODY_BYTES:
                raise BadResponse(f"its body is over {MAX_BODY_BYTES >> 20} MB")
        return b"".join(pieces)

    def _until(self, mark: bytes, limit: int, what: str) -> bytes:
        while (end := self._pending.find(mark)) < 0:
            if len(self._pending) > limit:
                raise BadResponse(f"{what} is over {limit} bytes")
            self._pending += self._more(f"half of {what}")
        found, self._pending = self._pending[:end], self._pending[end + len(mark) :]
        return found

    def _more(self, what: str) -> bytes:
        piece = self._stream.receive()
        if not piece:
            raise BadResponse(
                f"the connection was closed after {what}" if self.started else "the connection was closed"
            )
        self.started = True
        return piece


def _content_length(value: str) -> int:
    """The same length said twice is one length (RFC 9110, 8.6)."""
    lengths = {length.strip() for length in value.split(",")}
    length = lengths.pop()
    if lengths or not length.isascii() or not length.isdigit() or len(length) > 15:
        raise BadResponse(f"its content length is {value[:40]!r}")
    return int(length)


def _excerpt(data: bytes) -> str:
    return repr(data[:40].decode("latin-1"))

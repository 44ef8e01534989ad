from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flyweight.aws.http_response import BadResponse, Response, ResponseReader

NAMES = st.text("abcXYZ-09", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


class Pieces:
    """A stream that hands out what it was given, piece by piece, then ends."""

    deadline = 0.0

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def receive(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def send(self, data: bytes) -> None: ...

    def is_quiet(self) -> bool:
        return True

    def close(self) -> None: ...


def read(pieces: list[bytes]) -> Response:
    return ResponseReader(Pieces(pieces)).read()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [*sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(
    st.binary(max_size=300),
    st.dictionaries(NAMES.map(lambda name: f"x-{name}"), VALUES, max_size=4),
    st.lists(st.integers(1, 50), max_size=8),
    st.booleans(),
    st.lists(st.integers(0, 2000), max_size=10),
)
def test_a_response_is_the_same_however_it_is_cut(
    body: bytes, headers: dict[str, str], sizes: list[int], chunked: bool, places: list[int]
) -> None:
    lines = ["HTTP/1.1 200 Fine", *(f"{name}: {value}" for name, value in headers.items())]
    if chunked:
        framed, rest = b"", body
        for size in sizes:
            piece, rest = rest[:size], rest[size:]
            if piece:
                framed += b"%X;name=value\r\n%b\r\n" % (len(piece), piece)
        if rest:
            framed += b"%x\r\n%b\r\n" % (len(rest), rest)
        framed += b"0\r\nX-Trailer: yes\r\n\r\n"
        lines.append("Transfer-Encoding: chunked")
    else:
        framed = body
        lines.append(f"Content-Length: {len(body)}")
    found = read(cut("\r\n".join([*lines, "", ""]).encode() + framed, places))
    assert (found.status, found.body, found.keeps_open) == (200, body, True)
    expected: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        expected[key] = f"{expected[key]}, {value}" if key in expected else value
    assert {name: value for name, value in found.headers.items() if name.startswith("x-")} == expected


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_any_bytes_are_a_response_or_a_bad_one(data: bytes, places: list[int]) -> None:
    for beginning in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        try:
            assert read(cut(beginning + data, places)).status >= 200
        except BadResponse:
            pass


def test_an_answer_without_a_body_needs_no_length() -> None:
    found = read([b"HTTP/1.1 204 No Content\r\n\r\n"])
    assert (found.status, found.body, found.keeps_open) == (204, b"", True)

"""Messages over a socket that is never waited for: marshalled tuples with their length before them."""

from __future__ import annotations

import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LENGTH_BYTES = 4


def frame(*message: Any) -> bytes:
    """One message as it travels."""
    body = marshal.dumps(message)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


class FrameReader:
    """Collects pieces as they arrive until they make whole messages."""

    __slots__ = ("_received",)

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, piece: bytes) -> list[tuple[Any, ...]]:
        """The messages that are whole once `piece` has arrived."""
        received = self._received
        received += piece
        messages = []
        start = 0
        while len(received) - start >= _LENGTH_BYTES:
            body = start + _LENGTH_BYTES
            end = body + int.from_bytes(received[start:body], "little")
            if len(received) < end:
                break
            messages.append(marshal.loads(received[body:end]))
            start = end
        del received[:start]
        return messages

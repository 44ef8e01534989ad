"""Messages between a resident and its store process: marshalled tuples with a length before them, over a socket.

Read by the resident: imports nothing but `marshal`. `socket` would bring `enum` and `selectors` with it.
"""

from __future__ import annotations

import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

_LENGTH_BYTES = 4


def send(connection: socket, *message: Any) -> None:
    """Raises OSError when the other end is gone."""
    data = marshal.dumps(message)
    connection.sendall(len(data).to_bytes(_LENGTH_BYTES, "little") + data)


def receive(connection: socket) -> tuple[Any, ...] | None:
    """The next message; None when the other end is gone."""
    head = _read(connection, _LENGTH_BYTES)
    if head is None:
        return None
    body = _read(connection, int.from_bytes(head, "little"))
    if body is None:
        return None
    message: tuple[Any, ...] = marshal.loads(body)
    return message


def _read(connection: socket, length: int) -> bytes | None:
    data = b""
    while len(data) < length:
        try:
            piece = connection.recv(min(length - len(data), 1 << 20))
        except ConnectionResetError:  # it died with something of ours unread
            return None
        if not piece:
            return None
        data += piece
    return data

"""Messages between the coordinator and its workers: marshalled tuples with a length before them, over pipes."""

from __future__ import annotations

import marshal
import os
from typing import Any

_LENGTH_BYTES = 4


class Channel:
    """One end of a two-way connection. Not for use by several threads at once."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd

    @staticmethod
    def pair() -> tuple[Channel, Channel]:
        first_read, second_write = os.pipe()
        second_read, first_write = os.pipe()
        return Channel(first_read, first_write), Channel(second_read, second_write)

    def send(self, *message: Any) -> None:
        """Raises BrokenPipeError when the other end is gone."""
        data = marshal.dumps(message)
        data = len(data).to_bytes(_LENGTH_BYTES, "little") + data
        while data:
            data = data[os.write(self.write_fd, data) :]

    def receive(self) -> tuple[Any, ...] | None:
        """The next message; None when the other end is gone."""
        head = self._read(_LENGTH_BYTES)
        if head is None:
            return None
        body = self._read(int.from_bytes(head, "little"))
        if body is None:
            return None
        message: tuple[Any, ...] = marshal.loads(body)
        return message

    def _read(self, length: int) -> bytes | None:
        data = b""
        while len(data) < length:
            piece = os.read(self.read_fd, length - len(data))
            if not piece:
                return None
            data += piece
        return data

    def close(self) -> None:
        os.close(self.read_fd)
        os.close(self.write_fd)

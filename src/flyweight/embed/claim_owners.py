"""Which gateways that share an embedding cache are alive.

Each holds a lock on one byte of a file beside the cache, at the offset that is its number. The system drops the lock
when the process ends, however it ends, so no number, time or process id can be mistaken for a living gateway.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

# Of the open file, not of the process: two caches in one process are two owners (Linux 3.15, fcntl_locking(2)).
_SET_LOCK, _SET_LOCK_WAIT = fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW
_OPENING = 0  # the byte held while a cache is opened, so that only one sets a damaged one aside


class ClaimOwners:
    """The lock file at `path`, made when there is none. Raises OSError."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._mine: set[int] = set()

    def begin_opening(self) -> None:
        fcntl.fcntl(self._fd, _SET_LOCK_WAIT, _lock(fcntl.F_WRLCK, _OPENING))

    def end_opening(self) -> None:
        fcntl.fcntl(self._fd, _SET_LOCK, _lock(fcntl.F_UNLCK, _OPENING))

    def live_as(self, number: int) -> None:
        """From now until this process ends, or `close`, `number` is alive."""
        fcntl.fcntl(self._fd, _SET_LOCK, _lock(fcntl.F_WRLCK, number))
        self._mine.add(number)

    def is_alive(self, number: int) -> bool:
        if number in self._mine:
            return True
        try:
            fcntl.fcntl(self._fd, _SET_LOCK, _lock(fcntl.F_WRLCK, number))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return True
            raise
        fcntl.fcntl(self._fd, _SET_LOCK, _lock(fcntl.F_UNLCK, number))
        return False

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _lock(kind: int, offset: int) -> bytes:
    """struct flock: type, whence, start, length, pid (0 for locks of the open file)."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, offset, 1, 0)

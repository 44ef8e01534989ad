"""Which file a worker is at, and whether it has been at it for far too long.

A grammar's own scanner is C code that nothing interrupts: when it never comes back, the worker is lost. Time is
processor time that the worker has used, so a machine that is loaded, swapping or suspended accuses nobody.
"""

from __future__ import annotations

import mmap
import os

# The largest files, 1 MiB, take 1.2 s in the slowest language (Lua), and at most 2 s for each 192 KB that go astray.
STUCK_AFTER_S = 60.0
_PATH_BYTES = 4096
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class FileAtHand:
    """The file a worker is at, in memory that it shares with the coordinator. Made before the worker is forked."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _PATH_BYTES)

    def note(self, path: str) -> None:
        """Says that `path` is begun; "" that no file is."""
        name = os.fsencode(path)[:_PATH_BYTES]
        self._shared[: len(name) + 1] = name + b"\0" if len(name) < _PATH_BYTES else name

    @property
    def path(self) -> str:
        """What was noted last."""
        return os.fsdecode(self._shared[:].partition(b"\0")[0])

    @property
    def place(self) -> str:
        """`path` for a message."""
        return f"at {self.path}" if self.path else "between files"

    def close(self) -> None:
        self._shared.close()


class Watch:
    """A worker's file as the coordinator saw it last, and the worker's processor time when it saw it first."""

    def __init__(self, pid: int, at_hand: FileAtHand) -> None:
        self._pid = pid
        self._at_hand = at_hand
        self._path = ""
        self._since_s = 0.0

    def stuck_at(self, limit_s: float) -> str:
        """The file on which the worker has spent more than `limit_s` of processor time; "" if there is none."""
        path = self._at_hand.path
        if not path:
            self._path = ""
            return ""
        used_s = _processor_time_s(self._pid)
        if path != self._path:
            self._path, self._since_s = path, used_s
        return path if used_s - self._since_s > limit_s else ""


def _processor_time_s(pid: int) -> float:
    """User and system time of a process so far, to a hundredth; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before it may hold anything
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * _TICK_S

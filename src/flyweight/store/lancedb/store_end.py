"""The end of a store process: brought about, or noticed in passing when it comes by itself. Resident: imports `gc`.

A process that has ended is kept by the system until its parent asks how. Nobody may put a question to an idle store for
hours, and a thread that waits, or a handler of SIGCHLD, would be in the way of the program that searches. But Python's
collector runs in whatever that does: its callback asks, from the time on when the store has nothing to wait for.
"""

from __future__ import annotations

import gc
import os
import time

_SIGKILL = 9
_MARGIN_S = 0.1  # it leaves at the end of its time, and takes a moment

_expected: set[StoreEnd] = set()


class StoreEnd:
    """Of one process. status: as os.waitpid gives it, once it has ended; None before.

    Safe to share between threads. Whatever other children the program has, and whether it waits for all of them itself
    (then the status is 0), is of no concern.
    """

    __slots__ = ("_due", "_pid", "status")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._due = 0.0
        self.status: int | None = None

    def has_come(self) -> bool:
        """Whether the process has ended; what the system keeps of it is cleared away then."""
        if self.status is None:
            try:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:  # somebody waits for all children of this program
                pid, status = (0 if self._is_running() else self._pid), 0
            if pid:
                self._has_come_with(status)
        return self.status is not None

    def expect(self, idle_s: float) -> None:
        """From now on it may come by itself, when nobody asks for `idle_s` seconds."""
        self._due = time.monotonic() + idle_s + _MARGIN_S
        if self.status is None:
            _expected.add(self)
            if _look not in gc.callbacks:
                gc.callbacks.append(_look)

    def bring(self) -> None:
        """Kills the process unless it has ended."""
        _expected.discard(self)  # while its number is needed nobody else may clear it away
        if not _expected:
            _look_no_more()
        if self.status is not None:
            return
        try:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if not pid:  # it is still ours: its number cannot have passed to another
                os.kill(self._pid, _SIGKILL)
                _, status = os.waitpid(self._pid, 0)
        except (ChildProcessError, ProcessLookupError):  # somebody waits for all children of this program
            status = 0
        self._has_come_with(status)

    def _has_come_with(self, status: int) -> None:
        if self.status is None:
            self.status = status

    def is_due(self, now: float) -> bool:
        return now > self._due

    def _is_running(self) -> bool:
        try:
            os.kill(self._pid, 0)
        except OSError:
            return False
        return True


def forget_all() -> None:
    """In a child of a fork: they are the parent's."""
    _expected.clear()
    _look_no_more()


def _look(phase: str, info: object) -> None:
    """What the collector calls. Takes no lock: it may be called anywhere, in any thread."""
    if phase == "stop":
        now = time.monotonic()
        for end in list(_expected):
            if end.is_due(now) and end.has_come():
                _expected.discard(end)


def _look_no_more() -> None:
    """Not for `_look` itself: of callbacks that are being called, the next would be left out."""
    if _look in gc.callbacks:
        gc.callbacks.remove(_look)

"""When a service that cannot be reached is asked again. Resident.

Closed, everybody may ask. After `FAILURES` in a row it opens: nobody may, but for one at a time, after a pause that
doubles each time that one has asked in vain. Any answer closes it (M. Nygard, "Release It!", Stability Patterns).
"""

from __future__ import annotations

import _thread
import os
import time

from flyweight.errors import EmbedderUnreachableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Each costs a search all the time it may take; a single one may be a packet that was lost.
FAILURES = 2
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class CircuitBreaker:
    """what: is asked for, in words of its errors. clock: seconds that only grow.

    Safe to use from several threads: the lock is held for a few steps, never while anything is waited for. A forked
    child goes by what its parent knew.
    """

    __slots__ = (
        "_being_tried",
        "_clock",
        "_failures",
        "_lock",
        "_next_try_s",
        "_pause_s",
        "_pid",
        "_since_s",
        "_turn",
        "_what",
        "_why",
    )

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._lock = _thread.allocate_lock()
        self._pid = os.getpid()
        self._turn = 0  # grows when it opens or closes: what was begun before says nothing about now
        self._failures = 0
        self._since_s = 0.0
        self._pause_s = 0.0  # 0: closed
        self._next_try_s = 0.0
        self._being_tried = False
        self._why = ""

    def call(self, ask: Callable[[], bytes]) -> bytes:
        """What `ask` returns. Raises what it raises, and EmbedderUnreachableError at once while this is open."""
        turn = self._enter() if self._pause_s else self._turn
        try:
            answer = ask()
        except EmbedderUnreachableError as error:
            self._failed(turn, str(error.__cause__ or error))
            raise
        except Exception:  # refused, or not even asked: there is nothing here that others should not find out as well
            self._close()
            raise
        except BaseException:  # interrupted, so nobody knows
            self._leave(turn)
            raise
        self._close()
        return answer

    def _enter(self) -> int:
        with self._own_lock():
            now_s = self._clock()
            left_s = self._next_try_s - now_s
            if self._pause_s and (self._being_tried or left_s > 0):
                next_try = "is on its way" if self._being_tried else f"is in {_whole(left_s)} s"
                raise EmbedderUnreachableError(
                    f"no vector for {self._what}: none has come for {_whole(now_s - self._since_s)} s, the next try "
                    f"{next_try}: {self._why}"
                )
            self._being_tried = self._pause_s > 0
            return self._turn

    def _failed(self, turn: int, why: str) -> None:
        with self._own_lock():
            if turn != self._turn:
                return
            now_s = self._clock()
            if not self._failures:
                self._since_s = now_s
            self._failures += 1
            self._why = why
            self._being_tried = False
            if self._pause_s:
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            elif self._failures >= FAILURES:
                self._pause_s = FIRST_PAUSE_S
                self._turn += 1
            self._next_try_s = now_s + self._pause_s

    def _leave(self, turn: int) -> None:
        with self._own_lock():
            if turn == self._turn:
                self._being_tried = False

    def _close(self) -> None:
        if not self._failures:
            return
        with self._own_lock():
            self._turn += self._pause_s > 0
            self._failures = 0
            self._pause_s = 0.0
            self._being_tried = False

    def _own_lock(self) -> _thread.LockType:
        """The lock; in the child of a fork a new one: a thread that is not in the child may have held the old one, or
        have been the one that tries."""
        if self._pid != os.getpid():
            self._lock = _thread.allocate_lock()
            self._being_tried = False
            self._pid = os.getpid()
        return self._lock


def _whole(seconds: float) -> int:
    """Rounded up, and no less than 1: in 0 s would be now."""
    return max(1, int(seconds) + (seconds > int(seconds)))

"""A store process as its resident sees it: started, asked, missed when dead. Resident: imports `_socket`."""

from __future__ import annotations

import os
import sys
import time

from flyweight.errors import StoreError
from flyweight.process_end import how_it_ended
from flyweight.store.lancedb import wire
from flyweight.store.lancedb.store_end import StoreEnd, forget_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from flyweight.store.lancedb.location import StoreLocation

_PATIENCE_S = 1.0
_PATIENCE_STEPS = 100
# One arena and few threads: LanceDB takes one per core, and memory for each, to answer one question at a time.
_FRUGAL = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "1048576",
    "MALLOC_MMAP_THRESHOLD_": "262144",
    "TOKIO_WORKER_THREADS": "2",
    "LANCE_CPU_THREADS": "2",
    "LANCE_IO_THREADS": "8",
    "RAYON_NUM_THREADS": "2",
    "LANCE_LOG": "off",
}


# Sockets of this process's stores, so that a child of a fork lets go of them: a store ends when the last copy closes.
_sockets: set[int] = set()
_followed: list[int] = []


def _let_go() -> None:
    forget_all()
    if _sockets:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in _sockets:
            os.dup2(null, fd, inheritable=False)
        os.close(null)
        _sockets.clear()


class Gone(Exception):
    """The process ended while it was asked; says how. idle: in good order, because nobody had asked for so long."""

    def __init__(self, status: int) -> None:
        super().__init__(how_it_ended(os.waitstatus_to_exitcode(status)).removeprefix("was "))
        self.idle = status == 0


class Late(Exception):
    """No answer came in time."""


class StoreProcess:
    """Raises StoreError when it cannot be started. Asked by one thread at a time."""

    __slots__ = ("_connection", "_end", "_idle_s", "_is_ready", "_owner", "_pid", "_timeout_s")

    def __init__(self, location: StoreLocation, idle_s: float) -> None:
        from _socket import socketpair

        self._connection: Any = None  # nothing to end yet
        try:
            ours, theirs = socketpair()
        except OSError as error:
            raise StoreError(f"cannot start the store process for {location.spec}: {error.strerror}") from None
        debug = bool(os.environ.get("FLYWEIGHT_DEBUG"))
        actions: list[Any] = [
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        ]
        if not debug:  # LanceDB's warnings are not for those who asked for hits
            actions.append((os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0))
        try:
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", "-m", "flyweight.store.lancedb.process"],
                {**_FRUGAL, **os.environ},
                file_actions=actions,
                setpgroup=0,  # an interrupt at the terminal is the resident's
            )
        except OSError as error:
            ours.close()
            raise StoreError(f"cannot start the store process for {location.spec}: {error.strerror}") from None
        finally:
            theirs.close()
        self._end = StoreEnd(self._pid)
        self._connection = ours
        self._is_ready = False
        self._idle_s = idle_s
        self._timeout_s = location.timeout_s
        self._owner = os.getpid()
        _sockets.add(ours.fileno())
        if not _followed:
            _followed.append(1)
            os.register_at_fork(after_in_child=_let_go)
        try:
            wire.send(ours, "open", location.fields(), idle_s)
        except OSError:
            pass  # the first question finds out

    def ask(self, question: tuple[Any, ...]) -> tuple[Any, ...]:
        """The answer. Raises Gone, and Late when it takes longer than the store option timeout_s, its start not
        counted. Whatever is raised (an interrupt, too), the process ends: its answer would come to the next question.
        """
        answer = None
        ended = False
        try:
            try:
                if not self._is_ready:
                    answer = wire.receive(self._connection)
                    self._is_ready = answer is not None and answer[0] == "ok"
                if self._is_ready:
                    answer = None
                    self._connection.settimeout(self._timeout_s)
                    wire.send(self._connection, *question)
                    answer = wire.receive(self._connection)
            except TimeoutError:
                raise Late from None
            except OSError:
                pass
            ended = answer is None
        finally:
            if ended:
                self._wait()
            if answer is None:
                self.close()
        if answer is None:
            raise Gone(self._end.status or 0)
        self._end.expect(self._idle_s)
        return answer

    def is_alive(self) -> bool:
        """Whether it runs; one that has ended, for it was idle, is cleared away."""
        ended = self._end.has_come()
        if ended:
            self._hang_up()
        return not ended

    def private_bytes(self) -> int:
        if self._end.has_come():  # its number may be another's by now
            return 0
        try:
            with open(f"/proc/{self._pid}/smaps_rollup", encoding="ascii") as rollup:
                return sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Private_"))
        except OSError:  # it has ended
            return 0

    def close(self) -> None:
        """Ends it at once: it holds nothing that must be kept."""
        if self._connection is None:
            return
        self._hang_up()
        if os.getpid() == self._owner:  # in a child of a fork it is the parent's
            self._end.bring()

    def _wait(self) -> None:
        """For the end of a process that has closed its socket, so that it can be told how it ended."""
        for _ in range(_PATIENCE_STEPS):
            if not self.is_alive():
                return
            time.sleep(_PATIENCE_S / _PATIENCE_STEPS)

    def __del__(self) -> None:
        self.close()

    def _hang_up(self) -> None:
        _sockets.discard(self._connection.fileno())
        self._connection.close()

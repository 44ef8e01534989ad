"""Which processes are watched: some, all that are recorded, or a program and its children."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from flyweight.memory.page_path import page_pids
from flyweight.observe.top.process_files import process_state
from flyweight.observe.top.program import Program
from flyweight.observe.top.reading import Reading, read
from flyweight.observe.top.watched import Watched


class Processes:
    """The watched processes, by process id; those that have ended stay until they are dropped.

    pids: watch these and no others. program: watch it and its recorded descendants. Neither: watch all recorded
    processes of this user, also those that begin later.
    """

    def __init__(self, pids: Iterable[int] = (), program: Program | None = None, with_held: bool = True) -> None:
        self.program = program
        self.with_held = with_held
        self._pids = list(dict.fromkeys(pids)) if program is None else [program.pid]
        self._finds_more = program is not None or not self._pids
        self._watched: dict[int, Watched] = {pid: Watched(pid) for pid in self._pids}
        if program is not None:
            self._watched[program.pid].started_here = True

    @property
    def all(self) -> Sequence[Watched]:
        """In the order of process ids; a program that was started here comes first."""
        first = self.program.pid if self.program is not None else 0
        return sorted(self._watched.values(), key=lambda watched: (watched.pid != first, watched.pid))

    def look(self) -> list[Reading]:
        """Reads whatever there is to read. Changes nothing, so that it may run beside the display."""
        now_s = time.monotonic()
        pids = [pid for pid, watched in self._watched.items() if not watched.ended]
        if self._finds_more:
            pids += [pid for pid in page_pids() if pid not in self._watched and self._belongs(pid)]
        return [read(pid, self._wants_held(pid, now_s)) for pid in pids]

    def take(self, readings: Iterable[Reading]) -> None:
        """What `look` found becomes the picture."""
        for reading in readings:
            watched = self._watched.get(reading.pid)
            if watched is None:
                if reading.page is None:  # left behind by a process that has died
                    continue
                watched = self._watched[reading.pid] = Watched(reading.pid)
            watched.take(reading)
        if self.program is not None:
            watched = self._watched[self.program.pid]
            watched.exit_status = self.program.exit_status()
            # Its command line may not have been its own yet when it was read, or gone already.
            watched.name = self.program.name

    def switch_held(self) -> None:
        """Private memory and PSS are asked for no more, or again."""
        self.with_held = not self.with_held
        for watched in self._watched.values():
            watched.forget_held()

    def drop_ended(self) -> None:
        """Forgets processes that have ended, all but those that were asked for by number."""
        for pid, watched in list(self._watched.items()):
            if watched.ended and pid not in self._pids:
                del self._watched[pid]

    def _wants_held(self, pid: int, now_s: float) -> bool:
        watched = self._watched.get(pid)
        return self.with_held and (watched is None or watched.wants_held(now_s))

    def _belongs(self, pid: int) -> bool:
        """Whether a recorded process is to be watched: with a program, whether it is a descendant of its."""
        if self.program is None:
            return True
        ancestor: int | None = pid
        for _ in range(64):
            state = process_state(ancestor) if ancestor else None
            if state is None:
                return False
            if state.parent in self._watched:
                return True
            ancestor = state.parent
        return False

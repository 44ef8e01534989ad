"""Runs ``resident.py`` and a bare interpreter side by side, and reads what they cost while both are alive.

Both must be alive at once: a page of the interpreter's own text is private while one process maps it and
shared as soon as two do, so a process measured alone would be charged for what every Python program on the
machine shares.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from flyweight.observe.bench.line_process import BareInterpreter, LineProcess
from flyweight.observe.process_memory import Memory

_SCRIPT = Path(__file__).with_name("resident.py")


class Resident(LineProcess):
    """An engine in its own process.  Lists of durations are in nanoseconds, single ones in seconds.

    environment: of the process, by default ours.  settings: of the engine, those that are text.
    """

    def __init__(
        self, index_path: Path, cache_size: int = 50, environment: dict[str, str] | None = None, **settings: str
    ) -> None:
        given = [f"{name}={value}" for name, value in settings.items()]
        super().__init__([sys.executable, "-P", str(_SCRIPT), str(index_path), str(cache_size), *given], environment)
        self.answer()

    def index(self, path: Path) -> tuple[int, int, float]:
        """Files, chunks and seconds of indexing ``path``."""
        files, chunks, seconds = self.tell("index", path).split()
        return int(files), int(chunks), float(seconds)

    def search(self, query: str, limit: int = 10) -> int:
        return int(self.tell("search", limit, query))

    def time_searches(self, queries: Path, limit: int = 10, verb: Literal["time", "cpu", "text"] = "time") -> list[int]:
        """One duration per query: wall time, processor time, or wall time with the text of every hit read."""
        return [int(field) for field in self.tell(verb, limit, queries).split()]

    def time_hits(self, query: str, count: int, limit: int = 10) -> list[int]:
        """Mean nanoseconds per search, one value per thousand searches."""
        return [int(field) for field in self.tell("hits", count, limit, query).split()]

    def run_distinct(self, words: Path, count: int, first: int, limit: int = 10) -> tuple[float, int]:
        """Seconds and hits of ``count`` queries that were never asked before."""
        seconds, hits = self.tell("distinct", count, limit, words, first).split()
        return float(seconds), int(hits)

    def reopen(self) -> None:
        self.tell("reopen")


def over_bare(resident: Resident, bare: BareInterpreter) -> Memory:
    """What the resident costs above the bare interpreter, field by field."""
    return resident.memory() - bare.memory()

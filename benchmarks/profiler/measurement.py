"""Runs ``child.py`` in fresh processes and turns what they say into ratios to plain Python."""

from __future__ import annotations

import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.child_process import ChildFailed, ask
from benchmarks.profiler.profilers import PLAIN, SLOW

_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 240
_TOTALS = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def run_child(request: dict[str, Any], prefix: Sequence[str] = ()) -> dict[str, Any]:
    """The answer of one child process.  Raises ChildFailed with the end of its standard error."""
    return ask("benchmarks.profiler.child", request, prefix)


@dataclass(slots=True)
class Times:
    """Processor seconds of one workload, by profiler and round; what failed, with its reason."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    start_seconds: dict[str, list[float]] = field(default_factory=dict)  # what starting took, which is in no ratio
    evidence: dict[str, dict[str, int]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def ratio(self, profiler: str) -> float | None:
        """Median over rounds of the time with ``profiler`` over the plain time of the same round."""
        measured = self.seconds.get(profiler)
        if not measured:
            return None
        # Slow profilers sit out the later rounds.
        return statistics.median(a / b for a, b in zip(measured, self.seconds[PLAIN], strict=False))


def interleaved(
    profilers: Sequence[str], rounds: int, slow_rounds: int, request: dict[str, Any], budget_s: float = float("inf")
) -> Times:
    """Each profiler once a round, plain Python among them; the order turns by one from round to round.

    No round begins when ``budget_s`` seconds have passed and three rounds are done.
    """
    times = Times()
    begun = time.monotonic()
    for number in range(rounds):
        if number >= 3 and time.monotonic() - begun > budget_s:
            break
        taken = [name for name in profilers if name not in times.failed and (number < slow_rounds or name not in SLOW)]
        turn = number % len(taken)
        for name in taken[turn:] + taken[:turn]:
            try:
                answer = run_child(request | {"profiler": name})
            except ChildFailed as error:
                if name == PLAIN:
                    raise
                times.failed[name] = str(error)
                times.seconds.pop(name, None)
                continue
            times.seconds.setdefault(name, []).append(answer["cpu_s"])
            times.start_seconds.setdefault(name, []).append(answer.get("start_cpu_s", 0.0))
            times.evidence[name] = answer["evidence"]
    return times


def has_valgrind() -> bool:
    return shutil.which("valgrind") is not None


def instructions(request: dict[str, Any]) -> int:
    """Instructions of the job on its thread, by callgrind, which leaves the process its own malloc and so our hooks.

    The profiler's own thread works by the wall clock, which callgrind stretches fifty-fold: its share would be fifty
    times too large.
    """
    with tempfile.TemporaryDirectory(prefix="callgrind-") as folder:
        written = Path(folder, "counts")
        prefix = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes", "--quiet"]
        run_child(request | {"kind": "counted"}, [*prefix, f"--callgrind-out-file={written}"])
        first = written.with_name("counts-01")
        found = _TOTALS.findall(first.read_text() if first.exists() else "")
    if not found or int(found[-1]) == 0:
        raise ChildFailed("callgrind counted nothing")
    return int(found[-1])


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """None when any of the values is missing: a mean over fewer workloads would be another figure."""
    known = list(values)
    present = [value for value in known if value is not None]
    return statistics.geometric_mean(present) if present and len(present) == len(known) else None


def largest(values: Iterable[float | None]) -> float | None:
    known = list(values)
    present = [value for value in known if value is not None]
    return max(present) if present and len(present) == len(known) else None

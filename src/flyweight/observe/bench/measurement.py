"""Runs the job on one configuration of ours, each run in a process of its own, and measures it from outside."""

from __future__ import annotations

import json
import os
import py_compile
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flyweight.memory.interpreter import refusal
from flyweight.observe.bench.configurations import Configuration
from flyweight.observe.bench.job import Job
from flyweight.observe.bench.line_process import BareInterpreter, LineProcess
from flyweight.observe.process_memory import Memory, PeakSampler

PHASES = ("Initial", "After Init", "After Index", "After Queries", "Final")
TARGET_BYTES = 3_000_000
_MEASURED = Path(__file__).with_name("measured.py")
_TIMEOUT_S = 300.0
# Below two seconds, eight ticks of the profiler's clock, it gives no verdict on a steady state.
_LEAST_WINDOW_S = 2.5


@dataclass(frozen=True, slots=True)
class Effort:
    """How long the growth is watched: `points` of the chart, `repeats` per query between two, seconds of settling."""

    points: int = 12
    repeats: int = 20
    window_s: float = 6.0

    @classmethod
    def quick(cls) -> Effort:
        return cls(points=6, repeats=5, window_s=_LEAST_WINDOW_S)


@dataclass(frozen=True, slots=True)
class PhaseMemory:
    """A process and a bare interpreter at the same instant; the peak of its builders' private memory since the last."""

    name: str
    memory: Memory
    bare: Memory
    elapsed_s: float
    builder_peak_bytes: int = 0
    builders: int = 0

    @property
    def over_bare_bytes(self) -> int:
        return (self.memory - self.bare).private_bytes

    def to_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "rss_bytes": self.memory.rss_bytes,
            "private_bytes": self.memory.private_bytes,
            "pss_bytes": self.memory.pss_bytes,
            "bare_rss_bytes": self.bare.rss_bytes,
            "bare_private_bytes": self.bare.private_bytes,
            "private_over_bare_bytes": self.over_bare_bytes,
            "elapsed_s": round(self.elapsed_s, 4),
            "builder_peak_bytes": self.builder_peak_bytes,
            "builders": self.builders,
        }


@dataclass(slots=True)
class Run:
    """What one process did and cost. Of ours `kind` is "flyweight", of others "peer". settings: all of them, as text.

    attribution: of that process at its end, recording off; tracked: what the profiler said of the run it recorded.
    """

    name: str
    kind: str
    about: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    phases: list[PhaseMemory] = field(default_factory=list)
    queries: list[dict[str, Any]] = field(default_factory=list)
    growth: list[dict[str, int]] = field(default_factory=list)
    chunks: int = 0
    store_bytes: int = 0
    attribution: dict[str, Any] | None = None
    tracked: dict[str, Any] | None = None

    def phase(self, name: str) -> PhaseMemory:
        return next(phase for phase in self.phases if phase.name == name)

    def to_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "kind": self.kind,
            "about": self.about,
            "settings": dict(self.settings),
            "phases": [phase.to_dict() for phase in self.phases],
            "queries": self.queries,
            "growth": self.growth,
            "chunks": self.chunks,
            "store_bytes": self.store_bytes,
            "attribution": self.attribution,
            "tracked": self.tracked,
        }


def measure(configuration: Configuration, job: Job, tree: Path, work: Path, effort: Effort) -> Run:
    """The job without tracking, for what it costs, and once more with tracking, where the interpreter can be tracked.

    Raises ProcessEnded when a measured process fails.
    """
    run = measure_plainly(configuration, job, tree, work, effort)
    run.tracked = None if refusal() is not None else _tracked_run(configuration, job, tree, work, effort)
    return run


def measure_plainly(configuration: Configuration, job: Job, tree: Path, work: Path, effort: Effort) -> Run:
    """The job as any program would do it, recording off; the index goes to a new folder below `work`.

    Raises ProcessEnded when the measured process fails.
    """
    folder = Path(tempfile.mkdtemp(prefix="plain-", dir=work))
    run = Run(configuration.name, "flyweight", configuration.code())
    with BareInterpreter() as bare, _started(folder) as process:
        watch_job(run, process, bare, job, tree, _fields(configuration, folder / "index"), effort)
        run.attribution = json.loads(process.tell("attribution"))
    run.store_bytes = sum(file.stat().st_size for file in (folder / "index").iterdir())
    return run


def watch_job(
    run: Run, process: LineProcess, bare: LineProcess, job: Job, tree: Path, fields: Sequence[str], effort: Effort
) -> None:
    """Tells `process` to do the job and fills `run` with what is seen of it from outside; `fields` open its engine."""
    process.answer()
    since = time.perf_counter()

    def phase(name: str, builders: PeakSampler | None = None) -> None:
        nonlocal since
        elapsed_s = time.perf_counter() - since
        peak = (builders.peak.private_bytes, builders.most_processes) if builders else (0, 0)
        run.phases.append(PhaseMemory(name, process.memory(), bare.memory(), elapsed_s, *peak))
        since = time.perf_counter()

    def growth_point() -> None:
        memory = process.memory()
        over_bare = memory - bare.memory()
        run.growth.append(
            {
                "queries": asked,
                "rss_bytes": memory.rss_bytes,
                "private_bytes": memory.private_bytes,
                "private_over_bare_bytes": over_bare.private_bytes,
            }
        )

    phase("Initial")
    in_force = process.tell("init", *fields)
    phase("After Init")
    settings = dict(setting.split("=", 1) for setting in in_force.split("\t") if "=" in setting)
    run.settings = {name: value for name, value in settings.items() if name != "index_path"}
    with PeakSampler(process.pid, include_root=False) as builders:
        run.chunks = int(process.tell("index", tree))
    phase("After Index", builders)
    run.queries += [_asked(process, query) for query in job.queries]
    phase("After Queries")
    asked = 2 * len(job.queries)
    growth_point()
    for _ in range(effort.points):
        asked += int(process.tell("many", effort.repeats, *job.queries))
        growth_point()
    phase("Final")


def _asked(process: LineProcess, query: str) -> dict[str, Any]:
    """A query for the first time and once more: what it took, and by how much memory had changed afterwards."""
    record: dict[str, Any] = {"query": query}
    for turn in ("first", "again"):
        before = process.memory()
        elapsed_ns, hits, cached = process.tell("query", query).split()
        change = process.memory() - before
        record[turn] = {
            "elapsed_ms": int(elapsed_ns) / 1e6,
            "hits": int(hits),
            "cached": cached == "1",
            "rss_delta_bytes": change.rss_bytes,
            "private_delta_bytes": change.private_bytes,
        }
    return record


def _tracked_run(configuration: Configuration, job: Job, tree: Path, work: Path, effort: Effort) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="tracked-", dir=work))
    with _started(folder, "tracked") as process:
        process.answer()
        process.tell("init", *_fields(configuration, folder / "index"))
        process.tell("index", tree)
        for query in job.queries:
            process.tell("query", query)
            process.tell("query", query)
        process.tell("answered")
        process.tell("many", effort.repeats, *job.queries)
        process.tell("settle", effort.window_s + 1, job.queries[0])
        explained = json.loads(process.tell("explain", effort.window_s, TARGET_BYTES))
    assert isinstance(explained, dict)
    return explained


def _started(directory: Path, *arguments: str) -> LineProcess:
    """The measured process. It runs from bytecode: what the compiler leaves behind is no engine's."""
    program = py_compile.compile(str(_MEASURED), str(directory / "measured.pyc"), doraise=True)
    command = [sys.executable, "-P", str(program), *arguments]
    return LineProcess(command, dict(os.environ), directory=directory, keep_errors=True, timeout_s=_TIMEOUT_S)


def _fields(configuration: Configuration, index: Path) -> Sequence[str]:
    settings = {"index_path": str(index), **configuration.settings}
    return [f"{name}={type(value).__name__}:{value}" for name, value in settings.items()]

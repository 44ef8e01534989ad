"""Runs the job on one configuration of ours, each run in a process of its own, and measures it from outside."""

from __future__ import annotations

import json
import py_compile
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flyweight.memory.interpreter import refusal
from flyweight.observe.bench.configurations import DEFAULT_EMBEDDER, DEFAULT_STORE, TARGET_BYTES, Configuration
from flyweight.observe.bench.job import Job
from flyweight.observe.bench.line_process import BareInterpreter, LineProcess
from flyweight.observe.bench.process_roles import BUILDERS, GATEWAY, STORE, RolePeaks, memory_by_role
from flyweight.observe.process_memory import Memory

PHASES = ("Initial", "After Init", "After Index", "After Queries", "Final")
_MEASURED = Path(__file__).with_name("measured.py")
_TIMEOUT_S = 300.0
# Below two seconds, eight ticks of the profiler's clock, it gives no verdict on a steady state.
_LEAST_WINDOW_S = 2.5
# With five queries sixty new ones between two looks: more than a cache of the default size holds.
_REPEATS_BESIDE = 12


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
    """A process, the store process it has started and a bare interpreter at the same instant.

    The peaks are of private memory since the last phase: of its builders, of their embedding gateway, and of store
    processes, the builders' own included.
    """

    name: str
    memory: Memory
    bare: Memory
    elapsed_s: float
    builder_peak_bytes: int = 0
    builders: int = 0
    store: Memory = field(default_factory=Memory)
    gateway_peak_bytes: int = 0
    store_peak_bytes: int = 0

    @property
    def over_bare_bytes(self) -> int:
        return (self.memory - self.bare).private_bytes

    @property
    def together_rss_bytes(self) -> int:
        """Of the process and its store process; what they share is counted twice."""
        return self.memory.rss_bytes + self.store.rss_bytes

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
            "store_rss_bytes": self.store.rss_bytes,
            "store_private_bytes": self.store.private_bytes,
            "store_pss_bytes": self.store.pss_bytes,
            "store_peak_bytes": self.store_peak_bytes,
            "gateway_peak_bytes": self.gateway_peak_bytes,
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
    embedder: str = DEFAULT_EMBEDDER
    store: str = DEFAULT_STORE
    target_bytes: int = TARGET_BYTES

    @property
    def is_plain(self) -> bool:
        """Whether nothing runs beside the engine."""
        return (self.embedder, self.store) == (DEFAULT_EMBEDDER, DEFAULT_STORE)

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
            "embedder": self.embedder,
            "store": self.store,
            "target_bytes": self.target_bytes,
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
    run = Run(
        configuration.name,
        "flyweight",
        configuration.code(),
        embedder=configuration.embedder,
        store=configuration.store,
        target_bytes=configuration.target_bytes,
    )
    fields = opening_fields(configuration, folder)
    with BareInterpreter() as bare, measured_process(configuration, folder) as process:
        watch_job(run, process, bare, job, tree, fields, _fitting(effort, configuration))
        run.attribution = json.loads(process.tell("attribution"))
    kept = (folder / "index", folder / "lance")
    run.store_bytes = sum(file.stat().st_size for place in kept for file in place.rglob("*") if file.is_file())
    return run


def watch_job(
    run: Run, process: LineProcess, bare: LineProcess, job: Job, tree: Path, fields: Sequence[str], effort: Effort
) -> None:
    """Tells `process` to do the job and fills `run` with what is seen of it from outside; `fields` open its engine."""
    process.answer()
    since = time.perf_counter()

    def phase(name: str, peaks: RolePeaks | None = None) -> None:
        nonlocal since
        elapsed_s = time.perf_counter() - since
        held = peaks.peak_bytes if peaks is not None else {}
        run.phases.append(
            PhaseMemory(
                name,
                process.memory(),
                bare.memory(),
                elapsed_s,
                held.get(BUILDERS, 0),
                peaks.most if peaks is not None else 0,
                memory_by_role(process.pid).get(STORE, Memory()),
                held.get(GATEWAY, 0),
                held.get(STORE, 0),
            )
        )
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
    with RolePeaks(process.pid) as peaks:
        run.chunks = int(process.tell("index", tree))
    phase("After Index", peaks)
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
    effort = _fitting(effort, configuration)
    with measured_process(configuration, folder, "tracked") as process:
        process.answer()
        process.tell("init", *opening_fields(configuration, folder))
        process.tell("index", tree)
        for query in job.queries:
            process.tell("query", query)
            process.tell("query", query)
        process.tell("answered")
        process.tell("many", effort.repeats, *job.queries)
        process.tell("settle", effort.window_s + 1, job.queries[0])
        explained = json.loads(process.tell("explain", effort.window_s, configuration.target_bytes))
    assert isinstance(explained, dict)
    return explained


def _fitting(effort: Effort, configuration: Configuration) -> Effort:
    """Where a query goes to another process it takes milliseconds instead of a tenth of one: fewer show as much. But
    the caches, which grow as they fill, have to be full when growth is first looked at.
    """
    return effort if configuration.is_plain else replace(effort, repeats=_REPEATS_BESIDE)


@contextmanager
def measured_process(configuration: Configuration, folder: Path, *arguments: str) -> Iterator[LineProcess]:
    """The process that is measured (measured.py), in `folder`, with what its embedder and store need around it.

    It runs from bytecode: what the compiler leaves behind is no engine's.
    """
    program = py_compile.compile(str(_MEASURED), str(folder / "measured.pyc"), doraise=True)
    command = [sys.executable, "-P", str(program), *arguments]
    with (
        configuration.environment(folder) as environment,
        LineProcess(command, environment, directory=folder, keep_errors=True, timeout_s=_TIMEOUT_S) as process,
    ):
        yield process


def opening_fields(configuration: Configuration, folder: Path) -> Sequence[str]:
    """The fields of `init` that open an engine of this configuration in `folder`."""
    settings = {"index_path": str(folder / "index"), **configuration.settings}
    return [f"{name}={type(value).__name__}:{value}" for name, value in settings.items()]

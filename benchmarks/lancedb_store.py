"""What the LanceDB store costs: memory of the resident and of the store process, time of a query, and its ranking."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.evaluation_set import Unavailable, checkout, load_repositories
from benchmarks.figures import Figure, Report, print_rows
from benchmarks.quality import score_engine
from benchmarks.ranking_metrics import mean
from benchmarks.resident_memory import chosen, once_more, rust_job
from benchmarks.settings import Settings
from flyweight.observe.bench.configurations import Configuration
from flyweight.observe.bench.job import Job
from flyweight.observe.bench.line_process import BareInterpreter, LineProcess
from flyweight.observe.bench.measurement import PHASES, Effort, Run, measured_process, opening_fields
from flyweight.observe.bench.peers import PeerMissing, measure_peer, peer_process
from flyweight.observe.bench.process_roles import memory_by_role
from flyweight.observe.process_memory import Memory, descendants

PRIVATE_TARGET_MB = 4.0
IDLE_TARGET_MB = 0.5
PUBLISHED_SCRIPT_MB = 203.0
_PEER = "lancedb + boto3"
_RUNS = 3
_IDLE_S = 2.0
_END_S = 30.0
_REPOSITORIES = 2
_TIMED = 100


def run(settings: Settings) -> Report:
    report = Report("lancedb_store")
    private = Figure(
        "LanceDB store, resident: private over bare",
        None,
        "MB",
        f"ten Rust files; the largest of all phases, and of when the store process has ended; worst of {_RUNS} runs",
        PRIVATE_TARGET_MB,
    )
    idle = Figure(
        "LanceDB store gone idle: resident over before the first query",
        None,
        "MB",
        "private memory after five queries, asked twice, and the end of the store process, less that after indexing; "
        f"worst of {_RUNS} runs",
        IDLE_TARGET_MB,
    )
    together = Figure(
        "LanceDB store, resident and store process: RSS",
        None,
        "MB",
        "the same job with Titan over TLS, as the script beside it does it; the sum at the end, pages that both map "
        f"counted twice; worst of {_RUNS} runs",
    )
    query = Figure("query through the LanceDB store, p50", None, "ms", "ten Rust files; new queries, static embedder")
    quality = Figure(
        "search quality through the LanceDB store, NDCG@10", None, "", "the same index, LanceDB or segments"
    )
    report.figures += [private, idle, together, query, quality]
    try:
        job = rust_job(settings)
        static = chosen("static", "lancedb")
    except Unavailable as error:
        for figure in report.figures:
            figure.skipped = str(error)
        return report
    effort = Effort.quick() if settings.quick else Effort()
    _memory(static, job, effort, private, idle, report)
    _together(settings, job, effort, together, report)
    _time(settings, job, query, report)
    try:
        _quality(settings, quality, report)
    except Unavailable as error:
        quality.skipped = str(error)
    return report


def _memory(static: Configuration, job: Job, effort: Effort, private: Figure, idle: Figure, report: Report) -> None:
    runs = [once_more(static, job, effort) for _ in range(_RUNS)]
    visits = [_idle_visit(static, job) for _ in range(_RUNS)]
    largest = max(
        [run.phase(name).over_bare_bytes for run in runs for name in PHASES] + [visit["after"] for visit in visits]
    )
    private.value = round(largest / 1e6, 2)
    finals = [run.phase("Final") for run in runs]
    private.peer = (
        f"RSS {max(final.memory.rss_bytes for final in finals) / 1e6:.1f} MB; store process "
        f"{max(final.store.rss_bytes for final in finals) / 1e6:.1f} MB, "
        f"{max(final.store.private_bytes for final in finals) / 1e6:.1f} private, while it is asked"
    )
    worst = max(visits, key=lambda visit: visit["after"] - visit["before"])
    idle.value = round((worst["after"] - worst["before"]) / 1e6, 3)
    idle.peer = (
        f"over bare: {worst['before'] / 1e6:.2f} MB before, {worst['asked'] / 1e6:.2f} asked, with a store process of "
        f"{worst['store'] / 1e6:.1f}, {worst['after'] / 1e6:.2f} after; RSS {worst['rss before'] / 1e6:.2f} and "
        f"{worst['rss after'] / 1e6:.2f}"
    )
    report.detail["visits, private bytes over bare"] = visits
    report.detail["runs"] = [_phases(run) for run in runs]


def _idle_visit(static: Configuration, job: Job) -> dict[str, int]:
    """Private memory over bare, before the first query, after the last, and when the store process has ended."""
    with tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory:
        folder = Path(directory)
        tree = job.copy_to(folder / "tree")
        patient = Configuration(
            static.name, static.embedder, static.store, {**static.settings, "store_idle_s": _IDLE_S}
        )
        with BareInterpreter() as bare, measured_process(patient, folder) as process:
            process.answer()
            process.tell("init", *opening_fields(patient, folder))
            process.tell("index", tree)
            _wait_until_alone(process)
            before = process.memory()
            found = {"before": (before - bare.memory()).private_bytes, "rss before": before.rss_bytes}
            for query in (query for query in job.queries for _ in range(2)):
                process.tell("query", query)
            found["asked"] = (process.memory() - bare.memory()).private_bytes
            found["store"] = memory_by_role(process.pid).get("store", Memory()).private_bytes
            _wait_until_alone(process)
            after = process.memory()
            found["after"] = (after - bare.memory()).private_bytes
            found["rss after"] = after.rss_bytes
            return found


def _wait_until_alone(process: LineProcess) -> None:
    """Until nothing runs below it but what has ended and was not waited for yet, which holds no memory."""
    deadline = time.monotonic() + _END_S
    while any(memory.rss_bytes for memory in memory_by_role(process.pid).values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in descendants(process.pid) if memory_by_role(pid)]
    assert not left, f"processes {left} did not end"


def _together(settings: Settings, job: Job, effort: Effort, figure: Figure, report: Report) -> None:
    try:
        configuration = chosen("titan:v1", "lancedb")
    except Unavailable as error:
        figure.skipped = str(error)
        return
    finals = [once_more(configuration, job, effort).phase("Final") for _ in range(_RUNS)]
    worst = max(finals, key=lambda final: final.together_rss_bytes)
    figure.value = round(worst.together_rss_bytes / 1e6, 1)
    pss_bytes = max(final.memory.pss_bytes + final.store.pss_bytes for final in finals)
    ours = f"RSS {worst.memory.rss_bytes / 1e6:.1f} + {worst.store.rss_bytes / 1e6:.1f}, PSS {pss_bytes / 1e6:.1f} MB"
    figure.target, figure.peer = PUBLISHED_SCRIPT_MB, f"{ours}; {_PEER} {PUBLISHED_SCRIPT_MB:.0f} MB, published"
    if settings.peers_python is not None:
        try:
            peer = _peer_run(settings, job, effort).phase("Final").memory
        except PeerMissing as error:
            settings.say(f"lancedb_store: {_PEER} skipped: {error}")
        else:
            figure.target = round(peer.rss_bytes / 1e6, 1)
            figure.peer = f"{ours}; {_PEER} {peer.rss_bytes / 1e6:.1f} MB of RSS, PSS {peer.pss_bytes / 1e6:.1f}"
    report.detail["together"] = [final.to_dict() for final in finals]


def _peer_run(settings: Settings, job: Job, effort: Effort) -> Run:
    with tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory:
        work = Path(directory)
        return measure_peer(_PEER, str(settings.peers_python), job, job.copy_to(work / "tree"), work / "work", effort)


def _time(settings: Settings, job: Job, figure: Figure, report: Report) -> None:
    """Milliseconds of new queries as who asks sees them: static embedder, then Titan beside the script."""
    times: dict[str, float] = {}
    for embedder, store in (("static", "lancedb"), ("static", "segments"), ("titan:v1", "lancedb")):
        try:
            times[f"{embedder} + {store}"] = _median_ms(chosen(embedder, store), job)
        except Unavailable as error:
            settings.say(f"lancedb_store: {error}")
    if settings.peers_python is not None:
        try:
            times[_PEER] = _peer_median_ms(settings, job)
        except PeerMissing as error:
            settings.say(f"lancedb_store: {_PEER} skipped: {error}")
    print_rows("Query, p50", ("", "ms"), [(name, f"{ms:.3f}") for name, ms in times.items()], settings.console)
    figure.value = round(times.pop("static + lancedb"), 3)
    figure.peer = "; ".join(f"{name} {ms:.2f} ms" for name, ms in times.items())
    report.detail["query p50, ms"] = times


def _median_ms(configuration: Configuration, job: Job) -> float:
    with tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory:
        folder = Path(directory)
        with measured_process(configuration, folder) as process:
            process.answer()
            process.tell("init", *opening_fields(configuration, folder))
            return _asked_ms(process, job, job.copy_to(folder / "tree"))


def _peer_median_ms(settings: Settings, job: Job) -> float:
    with (
        tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory,
        peer_process(_PEER, str(settings.peers_python), Path(directory)) as process,
    ):
        process.answer()
        process.tell("init")
        return _asked_ms(process, job, job.copy_to(Path(directory) / "tree"))


def _asked_ms(process: LineProcess, job: Job, tree: Path) -> float:
    process.tell("index", tree)
    # The first ones open index, store and connection.
    for text in job.queries:
        process.tell("query", text)
    asked = [f"{job.queries[number % len(job.queries)]} {number}" for number in range(_TIMED)]
    return median(int(process.tell("query", text).split()[0]) for text in asked) / 1e6


def _quality(settings: Settings, figure: Figure, report: Report) -> None:
    """The same questions to both stores, on the repositories with the most questions."""
    roots: dict[str, Path] = {}
    repositories = load_repositories(settings.evaluation_data)
    for repository in repositories:
        try:
            roots[repository.name] = checkout(repository, settings.clones, settings.work)
        except Unavailable as error:
            settings.say(f"lancedb_store: skipped {repository.name}: {error}")
    available = sorted((each for each in repositories if each.name in roots), key=lambda each: len(each.questions))
    asked = available[-_REPOSITORIES:]
    if not asked:
        raise Unavailable("no repository available: pass --repos DIR")
    ours = score_engine(settings, asked, roots, lancedb=True)
    segments = score_engine(settings, asked, roots)
    figure.value = round(ours.mean, 4)
    questions = sum(len(repository.questions) for repository in asked)
    names = " and ".join(repository.name for repository in asked)
    figure.how += f"; mean over {questions} questions on {names}"
    figure.peer = f"segments {segments.mean:.4f} ({questions} questions on {names})"
    rows: list[tuple[Any, ...]] = [
        (name, f"{mean(ours.per_repository[name]):.4f}", f"{mean(segments.per_repository[name]):.4f}")
        for name in ours.per_repository
    ]
    print_rows("NDCG@10", ("", "LanceDB", "segments"), rows, settings.console)
    report.detail["NDCG@10, LanceDB and segments"] = rows


def _phases(run: Run) -> list[dict[str, object]]:
    return [phase.to_dict() for phase in run.phases]

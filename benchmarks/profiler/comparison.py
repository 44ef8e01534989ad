"""The figures of the profiler: what it costs in time, instructions and memory, and whether it is exact."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.child_process import ChildFailed
from benchmarks.corpus import queries
from benchmarks.figures import Figure, Report, print_rows
from benchmarks.peer_packages import peer_packages
from benchmarks.profiler import macro, profilers, workloads
from benchmarks.profiler.measurement import (
    Times,
    geometric_mean,
    has_valgrind,
    instructions,
    interleaved,
    largest,
    run_child,
)
from benchmarks.profiler.profilers import EXACT, EXACT_NATIVE, IDLE, OURS, PEERS, PLAIN, SAMPLED
from benchmarks.settings import Settings
from benchmarks.small_index import open_small_index

_QUESTIONS = 200
# Callgrind takes some fifty times as long as the processor.
_COUNTED_SHARE = 1 / 40
_LITTLE_OBJECTS = 1000
# Seven workloads of this, the counts (two minutes) and pyperformance (four) stay below twelve minutes together.
_WORKLOAD_BUDGET_S = 45.0
_MICRO = tuple(workloads.MICRO)
_ALL = (*_MICRO, workloads.NATIVE, workloads.OWN_JOB)
_HOW = "processor time with the profiler over plain Python in the same round, median of rounds, each in a fresh process"


@dataclass(frozen=True, slots=True)
class Target:
    """A row of the issue's table: a profiler's workloads, and what mean and worst may reach."""

    title: str
    profiler: str
    workloads: tuple[str, ...]
    mean: float
    worst: float | None


_TARGETS = (
    Target("profiler, exact, Python domains", EXACT, _MICRO, 1.12, 1.35),
    Target("profiler, exact, Python and native", EXACT_NATIVE, _ALL, 1.15, 1.40),
    Target("profiler, sampled", SAMPLED, _ALL, 1.04, 1.12),
    Target("profiler, installed but not recording", IDLE, _ALL, 1.02, None),
)
_MACRO_TARGET = 1.10
_SHARE_TARGET_PERCENT = 30.0
_FIXED_TARGET_MB = 1.0


@dataclass(slots=True)
class Bench:
    """What the measurements of one run have in common."""

    settings: Settings
    site_packages: str
    places: list[str]
    peers: tuple[str, ...]
    missing: dict[str, str] = field(default_factory=dict)

    def request(self, kind: str, profiler: str, workload: str = "", rounds: int = 0) -> dict[str, Any]:
        return {
            "kind": kind,
            "profiler": profiler,
            "workload": workload,
            "rounds": rounds,
            "places": self.places,
            "site_packages": self.site_packages,
        }


def compare(settings: Settings) -> Report:
    report = Report("profiler")
    bench = _prepare(settings)
    times = _measure_times(bench)
    counts = _count_instructions(bench)
    _show_ratios("Processor time, × plain Python", times, (*PEERS, *OURS), bench, settings)
    if counts:
        shown = {workload: {who: _ratio(row, who) for who in row} for workload, row in counts.items()}
        _show_table("Instructions (callgrind), × plain Python", shown, OURS, settings)
    for target in _TARGETS:
        report.figures += _ratio_figures(target, times, counts, bench)
    report.figures += _macro_figures(bench, report)
    report.figures += _memory_figures(bench, report)
    report.figures.append(_accuracy_figure(bench, report))
    report.detail |= {
        "cpu_seconds": {workload: measured.seconds for workload, measured in times.items()},
        "ratios": {
            workload: {who: _rounded(measured.ratio(who)) for who in measured.seconds}
            for workload, measured in times.items()
        },
        "start_cpu_seconds": {
            workload: {who: _rounded(statistics.median(taken)) for who, taken in measured.start_seconds.items()}
            for workload, measured in times.items()
        },
        "evidence": {workload: measured.evidence for workload, measured in times.items()},
        "failed": {workload: measured.failed for workload, measured in times.items() if measured.failed},
        "instructions": counts,
        "not_measured": bench.missing,
        "quick": settings.quick,
    }
    return report


def _prepare(settings: Settings) -> Bench:
    index_path = open_small_index(settings)
    tree_path = settings.folder("small") / "tree"
    questions = settings.folder("profiler") / "questions.txt"
    files = sorted(path for path in tree_path.rglob("*.py") if path.is_file())
    questions.write_text("\n".join(queries(files, _QUESTIONS)) + "\n", encoding="utf-8")
    site_packages, missing = _peer_packages(settings)
    peers = tuple(name for name in PEERS if name not in missing)
    return Bench(settings, site_packages, [str(index_path), str(tree_path), str(questions)], peers, missing)


def _peer_packages(settings: Settings) -> tuple[str, dict[str, str]]:
    """The peers' site-packages, and why peers that need it cannot be measured.

    They run in our interpreter, on our numpy, so that one plain baseline serves all.
    """
    purelib, fault = peer_packages(settings)
    if fault:
        return "", dict.fromkeys((name for name, package in PEERS.items() if package), fault)
    absent = {
        name: f"{package} is not installed: run 'make bench-peers'"
        for name, package in PEERS.items()
        if package and not Path(purelib, package).is_dir()
    }
    return purelib, absent


def _measure_times(bench: Bench) -> dict[str, Times]:
    quick = bench.settings.quick
    times = {}
    for workload in _ALL:
        rounds = max(1, workloads.ROUNDS[workload] // (3 if quick else 1))
        bench.settings.say(f"timing {workload} ({_ALL.index(workload) + 1} of {len(_ALL)})")
        times[workload] = interleaved(
            (PLAIN, *bench.peers, *OURS),
            3 if quick else 9,
            1 if quick else 2,
            bench.request("timed", PLAIN, workload, rounds),
            _WORKLOAD_BUDGET_S,
        )
    return times


def _count_instructions(bench: Bench) -> dict[str, dict[str, int]]:
    if not has_valgrind():
        bench.missing["instructions"] = "valgrind is not installed"
        return {}
    counts: dict[str, dict[str, int]] = {}
    for workload in _ALL:
        bench.settings.say(f"counting instructions of {workload}")
        rounds = max(1, round(workloads.ROUNDS[workload] * _COUNTED_SHARE))
        counts[workload] = {}
        for who in (PLAIN, *OURS):
            try:
                counts[workload][who] = instructions(bench.request("counted", who, workload, rounds))
            except ChildFailed as error:
                bench.missing[f"instructions of {workload}, {who}"] = str(error)
    return counts


def _ratio(row: dict[str, int], profiler: str) -> float | None:
    return row[profiler] / row[PLAIN] if profiler in row and PLAIN in row else None


def _ratio_figures(
    target: Target, times: dict[str, Times], counts: dict[str, dict[str, int]], bench: Bench
) -> list[Figure]:
    ratios = [times[name].ratio(target.profiler) for name in target.workloads]
    reason = next((why for name in target.workloads if (why := times[name].failed.get(target.profiler))), "")
    mean = geometric_mean(ratios)
    figures = [Figure(f"{target.title}: geometric mean", mean, "×", _HOW, target.mean, skipped=reason)]
    counted = geometric_mean([_ratio(counts.get(name, {}), target.profiler) for name in target.workloads])
    beside = [f"instructions {counted:.3f}"] if counted is not None else []
    if target.profiler is not IDLE:
        beside += [_beside(who, geometric_mean([times[name].ratio(who) for name in target.workloads])) for who in PEERS]
    figures[0].peer = "; ".join(beside)
    if target.worst is not None:
        worst = largest(ratios)
        names = [name for name, ratio in zip(target.workloads, ratios, strict=True) if ratio == worst]
        beside = [names[0]] if worst is not None else []
        beside += [_beside(who, largest([times[name].ratio(who) for name in target.workloads])) for who in PEERS]
        figures.append(
            Figure(f"{target.title}: worst", worst, "×", _HOW, target.worst, peer="; ".join(beside), skipped=reason)
        )
    return figures


def _beside(profiler: str, ratio: float | None) -> str:
    return f"{profiler} {ratio:.2f}" if ratio is not None else f"{profiler} not measured"


def _macro_figures(bench: Bench, report: Report) -> list[Figure]:
    name = "profiler, exact, pyperformance: geometric mean"
    how = "pyperformance's own benchmarks that run inside one process; processor time over plain, median of rounds"
    own = [path for path in sys.path if path.endswith("site-packages")]
    folder = macro.data_files([*own, bench.site_packages])
    if folder is None:
        reason = "pyperformance is not installed: run 'make bench-peers'"
        return [Figure(name, None, "×", how, _MACRO_TARGET, skipped=reason)]
    quick = bench.settings.quick
    say = bench.settings.say
    result = macro.measure(folder, bench.site_packages, 1 if quick else 3, 0.1, 3 if quick else 1, say)
    rows = [
        (one, *(_text(measured.ratio(who)) for who in (EXACT, EXACT_NATIVE)))
        for one, measured in sorted(result.taken.items(), key=lambda item: -(item[1].ratio(EXACT_NATIVE) or 0))
    ]
    print_rows("pyperformance, × plain Python", ("benchmark", EXACT, EXACT_NATIVE), rows, bench.settings.console)
    report.detail["macro"] = {
        "ratios": {
            one: {who: _rounded(measured.ratio(who)) for who in measured.seconds}
            for one, measured in result.taken.items()
        },
        "failed": {one: measured.failed for one, measured in result.taken.items() if measured.failed},
        "left_out": result.left_out,
    }
    figures = []
    for who, title, limit in ((EXACT, name, _MACRO_TARGET), (EXACT_NATIVE, name.replace("exact", EXACT_NATIVE), None)):
        ratios = {one: measured.ratio(who) for one, measured in result.taken.items()}
        reason = next((why for measured in result.taken.values() if (why := measured.failed.get(who))), "")
        worst = largest(ratios.values())
        peer = f"{len(ratios)} benchmarks"
        if worst is not None:
            peer += f"; worst {worst:.2f}, {max(ratios, key=lambda one: ratios[one] or 0)}"
        figures.append(Figure(title, geometric_mean(ratios.values()), "×", how, limit, peer=peer, skipped=reason))
    return figures


def _memory_figures(bench: Bench, report: Report) -> list[Figure]:
    bench.settings.say("weighing")
    weighed: dict[str, dict[str, Any]] = {}
    for label, objects in (("live", workloads.LIVE_OBJECTS), ("little", _LITTLE_OBJECTS)):
        for who in (PLAIN, *bench.peers, *OURS):
            try:
                runs = [run_child(bench.request("weighed", who, workloads.LIVE, objects)) for _ in range(3)]
            except ChildFailed as error:
                bench.missing[f"memory of {who}"] = str(error)
                continue
            middle = sorted(runs, key=lambda run: run["private_bytes"])[1]
            weighed.setdefault(who, {})[label] = middle["private_bytes"]
            weighed[who][f"{label}_evidence"] = middle["evidence"]
    plain = weighed[PLAIN]
    # Counted by tracemalloc, which is exact for Python objects: our own count judges nothing here.
    tracked = weighed[profilers.TRACEMALLOC]["live_evidence"]["current_bytes"]
    shares = {
        who: 100 * (row["live"] - plain["live"]) / tracked
        for who, row in weighed.items()
        if who != PLAIN and "live" in row
    }
    fixed = {
        who: (row["little"] - plain["little"]) / 1e6 for who, row in weighed.items() if who != PLAIN and "little" in row
    }
    report.detail["memory"] = {"private": weighed, "tracked_bytes": tracked, "share_percent": shares, "fixed_mb": fixed}
    rows = [(who, _text(shares.get(who), 1), _text(fixed.get(who))) for who in (*bench.peers, *OURS)]
    columns = ("profiler", f"% of {tracked / 1e6:.0f} MB live", "MB with little live")
    print_rows("The profiler's own private memory", columns, rows, bench.settings.console)
    how = "private memory of the process less that of the same job in plain Python, median of three runs each"
    figures = []
    for values, title, unit, limit in (
        (shares, f"profiler's own memory, {workloads.LIVE_OBJECTS:,} live objects, exact", "%", _SHARE_TARGET_PERCENT),
        (fixed, "profiler's own memory, little live, exact", "MB", _FIXED_TARGET_MB),
    ):
        ours = largest([values.get(EXACT), values.get(EXACT_NATIVE)])
        peer = "; ".join(f"{who} {values[who]:.1f}" for who in (SAMPLED, *bench.peers) if who in values)
        reason = bench.missing.get(f"memory of {EXACT}", "") or bench.missing.get(f"memory of {EXACT_NATIVE}", "")
        figures.append(Figure(title, ours, unit, how, limit, peer=peer, skipped=reason))
    return figures


def _accuracy_figure(bench: Bench, report: Report) -> Figure:
    name, how = (
        "profiler, exact: bytes and blocks miscounted",
        "allocations of known number and size in a fresh process",
    )
    try:
        checks = run_child(bench.request("accuracy", EXACT_NATIVE))["checks"]
    except ChildFailed as error:
        return Figure(name, None, "", how, 0.0, skipped=str(error))
    report.detail["accuracy"] = checks
    rows = [(what, f"{expected:,}", f"{reported:,}", f"{reported - expected:,}") for what, expected, reported in checks]
    print_rows("Known allocations", ("what", "expected", "reported", "off by"), rows, bench.settings.console)
    off = sum(abs(reported - expected) for _, expected, reported in checks)
    return Figure(name, float(off), "", how, 0.0, peer=f"{len(checks)} counts of bytes and blocks compared")


def _show_ratios(title: str, times: dict[str, Times], shown: Iterable[str], bench: Bench, settings: Settings) -> None:
    ratios = {workload: {who: measured.ratio(who) for who in measured.seconds} for workload, measured in times.items()}
    _show_table(title, ratios, [who for who in shown if who not in bench.missing], settings)
    reasons = dict(bench.missing)
    for measured in times.values():
        reasons |= measured.failed
    for who, reason in reasons.items():
        settings.console.print(f"{who}: {reason}")


def _show_table(
    title: str, ratios: dict[str, dict[str, float | None]], shown: Iterable[str], settings: Settings
) -> None:
    rows = []
    for who in shown:
        row = [ratios[workload].get(who) for workload in ratios]
        micro = [ratios[workload].get(who) for workload in _MICRO]
        means = (geometric_mean(micro), geometric_mean(row), largest(row))
        rows.append((who, *map(_text, row), *map(_text, means)))
    columns = ("profiler", *ratios, "mean of micro", "mean", "worst")
    print_rows(title, columns, rows, settings.console)


def _text(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)

"""How much of RSS has a name, whether the rows add up, and what asking costs: on five programs and planted amounts."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.child_process import ChildFailed, ask
from benchmarks.corpus import queries
from benchmarks.figures import Figure, Report, print_rows
from benchmarks.peer_packages import peer_packages
from benchmarks.settings import Settings
from benchmarks.small_index import open_small_index

NAMED_TRACKED_PERCENT = 99.0
NAMED_OFF_PERCENT = 95.0
PLANTED_PERCENT = 1.0
TIME_MS = 20.0
TRIM_MB = 1.0
_QUESTIONS = 100
_REPEATS = 7
_LIBRARY = Path(__file__).parent / "attribution_programs" / "planted_library.c"


@dataclass(frozen=True, slots=True)
class Program:
    """A program of `attribution_programs`, as the table calls it, and the peers' packages it needs."""

    module: str
    name: str
    packages: tuple[str, ...] = ()


PROGRAMS = (
    Program("engine", "our engine"),
    Program("flask_app", "a Flask app under load", ("flask",)),
    Program("frames", "numpy + pandas", ("pandas",)),
    Program("arrow_store", "lancedb + pyarrow", ("lancedb", "pyarrow")),
    Program("fifty_threads", "50 threads"),
)


def run(settings: Settings) -> Report:
    report = Report("attribution")
    bench = _Bench(settings)
    _name_everything(bench, report)
    _plant(bench, report)
    _time(bench, report)
    report.figures.append(_trim(bench, report))
    return report


class _Bench:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.folder("attribution")
        self.site_packages, self.fault = peer_packages(settings)
        index = open_small_index(settings)
        self.tree = settings.folder("small") / "tree"
        questions = self.folder / "questions.txt"
        files = sorted(path for path in self.tree.rglob("*.py") if path.is_file())
        questions.write_text("\n".join(queries(files, _QUESTIONS)) + "\n", encoding="utf-8")
        self.places = {"engine": [str(index), str(questions)], "arrow_store": [str(self.folder)]}

    def missing(self, packages: tuple[str, ...]) -> str:
        """Why a program that needs these cannot run; empty when it can."""
        if not packages:
            return ""
        if not self.site_packages:
            return self.fault
        absent = [name for name in packages if not (Path(self.site_packages) / name).exists()]
        code = f"import site; site.addsitedir({self.site_packages!r}); import {', '.join(packages)}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return ""
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"{', '.join(absent or packages)} not importable ({reason}): run 'make bench-peers'"

    def ask(self, module: str, *, tracked: bool, repeats: int = 1, places: list[str] | None = None) -> dict[str, Any]:
        request = {
            "program": module,
            "tracked": tracked,
            "repeats": repeats,
            "site_packages": self.site_packages,
            "places": self.places.get(module, []) if places is None else places,
        }
        return ask("benchmarks.attribution_programs.child", request)


def _name_everything(bench: _Bench, report: Report) -> None:
    """RSS with a name on each program, recording from the start and off, and the sums against smaps_rollup."""
    worst_gap: float | None = None
    rows = []
    details: dict[str, Any] = {}
    for program in PROGRAMS:
        fault = bench.missing(program.packages)
        for tracked in (True, False):
            state = "recorded from the start" if tracked else "recording off"
            figure = Figure(
                f"RSS with a name: {program.name}, {state}",
                None,
                "%",
                "memory.attribution() at the end of the program's work; all rows but the one without a name, of RSS",
                NAMED_TRACKED_PERCENT if tracked else NAMED_OFF_PERCENT,
                "at least",
                skipped=fault,
            )
            report.figures.append(figure)
            if fault:
                continue
            try:
                answer = bench.ask(program.module, tracked=tracked)
            except ChildFailed as error:
                figure.skipped = str(error)
                continue
            found = answer["attribution"]
            named = 100 * found["named_share"]
            # Not to be rounded up to the target.
            figure.value = int(named * 100) / 100
            gap = max(abs(found[name] - found["rollup"][name]) for name in _SUMS if name in found["rollup"])
            worst_gap = gap if worst_gap is None else max(worst_gap, gap)
            figure.peer = f"{found['rss_bytes'] / 1e6:.1f} MB of RSS, {found['private_bytes'] / 1e6:.1f} MB private"
            details[f"{program.name}, {state}"] = _kept(found)
            rows.append(
                (
                    program.name,
                    state,
                    f"{found['rss_bytes'] / 1e6:.2f}",
                    f"{found['private_bytes'] / 1e6:.2f}",
                    f"{named:.3f}",
                    f"{gap:,}",
                    f"{answer['elapsed_ms'][0]:.1f}",
                )
            )
    columns = ("program", "", "RSS MB", "private MB", "named %", "sum less rollup, bytes", "ms")
    print_rows("RSS with a name", columns, rows, bench.settings.console)
    report.detail["attributions"] = details
    report.figures.append(
        Figure(
            "rows against smaps_rollup, largest difference",
            worst_gap,
            "bytes",
            "RSS, private, shared, dirty and proportional sums of all rows less the kernel's, over all programs above",
            0.0,
            skipped="" if worst_gap is not None else "no program could be measured",
        )
    )


def _kept(found: dict[str, Any]) -> dict[str, Any]:
    """Sums, components and the largest rows of an attribution; paths are the machine's own and stay out."""
    components: dict[str, list[int]] = {}
    for row in found["rows"]:
        held = components.setdefault(row["component"], [0, 0])
        held[0] += row["rss_bytes"]
        held[1] += row["private_bytes"]
    largest = sorted(found["rows"], key=lambda row: -row["rss_bytes"])[:_ROWS_KEPT]
    return {
        **{name: found[name] for name in (*_SUMS, "named_share")},
        "components, RSS and private bytes": components,
        "largest rows": [
            [row["kind"], Path(row["name"]).name, row["component"], row["rss_bytes"], row["private_bytes"]]
            for row in largest
        ],
    }


_ROWS_KEPT = 12
_SUMS = ("rss_bytes", "private_bytes", "shared_bytes", "dirty_bytes", "pss_bytes")


def _plant(bench: _Bench, report: Report) -> None:
    figure = Figure(
        "attribution of planted allocations, largest error",
        None,
        "%",
        "known bytes planted by a Python package, by a library's malloc and by its mmap, against the live bytes of the "
        "rows of these packages",
        PLANTED_PERCENT,
    )
    report.figures.append(figure)
    library = bench.folder / "site-packages" / "planted_library" / "planted.so"
    shutil.rmtree(library.parent, ignore_errors=True)
    library.parent.mkdir(parents=True)
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        figure.skipped = "no C compiler to make the test library with"
        return
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(_LIBRARY)], check=True)
    try:
        answer = bench.ask("planted", tracked=True, places=[str(library)])
    except ChildFailed as error:
        figure.skipped = str(error)
        return
    rows = []
    errors = []
    for what, planted in answer["planted"].items():
        matching = [
            row
            for row in answer["attribution"]["rows"]
            if row["kind"] == planted["kind"] and planted["package"] in f"{row['name']} {row['detail']}"
        ]
        found = sum(row["live_bytes"] for row in matching)
        resident = sum(row["rss_bytes"] for row in matching)
        errors.append(100 * abs(found - planted["bytes"]) / planted["bytes"])
        rows.append((what, f"{planted['bytes']:,}", f"{found:,}", f"{errors[-1]:.4f}", f"{resident:,}"))
    print_rows(
        "Planted allocations", ("", "bytes planted", "found", "error %", "resident"), rows, bench.settings.console
    )
    figure.value = round(max(errors), 4)
    report.detail["planted"] = rows


def _time(bench: _Bench, report: Report) -> None:
    for tracked in (True, False):
        state = "recorded" if tracked else "recording off"
        figure = Figure(
            f"attribution of a 200 MB process, {state}",
            None,
            "ms",
            f"median of {_REPEATS} calls in one process: a million strings (800,000 recorded), 60 MB of buffers, holes",
            TIME_MS,
        )
        report.figures.append(figure)
        try:
            # Recorded, the same size in all, records included.
            places = ["800000"] if tracked else []
            answer = bench.ask("large", tracked=tracked, repeats=_REPEATS, places=places)
        except ChildFailed as error:
            figure.skipped = str(error)
            continue
        figure.value = round(statistics.median(answer["elapsed_ms"]), 2)
        figure.peer = (
            f"{answer['attribution']['rss_bytes'] / 1e6:.0f} MB of RSS; first call {answer['elapsed_ms'][0]:.1f} ms, "
            f"fastest {min(answer['elapsed_ms']):.1f}; processor time {statistics.median(answer['cpu_ms']):.1f} ms"
        )
        report.detail[f"milliseconds, {state}"] = {"elapsed": answer["elapsed_ms"], "processor": answer["cpu_ms"]}


def _trim(bench: _Bench, report: Report) -> Figure:
    figure = Figure(
        "engine.trim() after indexing: RSS over a fresh resident",
        None,
        "MB",
        "one process indexes, searches and calls trim(); another opens the same index and searches as much; worst of 3",
        TRIM_MB,
    )
    worst = None
    for _ in range(3):
        index = bench.folder / "trimmed"
        shutil.rmtree(index, ignore_errors=True)
        places = [str(index), str(bench.tree), bench.places["engine"][1]]
        try:
            trimmed, fresh = (bench.ask(name, tracked=False, places=places) for name in ("trimmed", "fresh"))
        except ChildFailed as error:
            figure.skipped = str(error)
            return figure
        over = (trimmed["planted"]["rss_bytes"] - fresh["planted"]["rss_bytes"]) / 1e6
        if worst is None or over > worst:
            worst = over
            figure.peer = (
                f"{trimmed['planted']['rss_bytes'] / 1e6:.2f} MB after trim(), "
                f"{trimmed['planted']['before_bytes'] / 1e6:.2f} before, "
                f"{fresh['planted']['rss_bytes'] / 1e6:.2f} fresh"
            )
    figure.value = None if worst is None else round(worst, 3)
    report.detail["trim"] = figure.peer
    return figure

"""What the resident costs on ten Rust files and five queries: the tables of ``flyweight bench memory``, two figures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.evaluation_set import Unavailable, checkout, load_repositories
from benchmarks.figures import Figure, Report
from benchmarks.settings import Settings
from flyweight.errors import FlyweightError
from flyweight.observe.bench.comparison import compare
from flyweight.observe.bench.configurations import TARGET_BYTES, Configuration, configurations
from flyweight.observe.bench.job import Job, job_of
from flyweight.observe.bench.measurement import Effort, Run, measure_plainly
from flyweight.observe.bench.writers import terminal

RSS_TARGET_MB = 17.0
_RUNS = 3
# Where Debian's librust-*-dev packages put their sources.
_DEBIAN_CRATES = Path("/usr/share/cargo/registry")


def run(settings: Settings) -> Report:
    report = Report("resident_memory")
    how = (
        "one process indexes ten Rust files, asks five queries twice each and then hundreds more; smaps_rollup at the "
        f"end, worst of {_RUNS} runs"
    )
    rss = Figure("10 Rust files: RSS", None, "MB", how, RSS_TARGET_MB)
    private = Figure(
        "10 Rust files: private over bare",
        None,
        "MB",
        how + "; private clean + dirty, over a bare interpreter alive at the same time",
        TARGET_BYTES / 1e6,
    )
    report.figures += [rss, private]
    try:
        job = rust_job(settings)
    except Unavailable as error:
        rss.skipped = private.skipped = str(error)
        return report
    effort = Effort.quick() if settings.quick else Effort()
    python = str(settings.peers_python) if settings.peers_python is not None else None
    document = compare(job, configurations(), effort, python, settings.say)
    terminal(document, settings.console)
    report.detail["job"] = {**document["job"], "root": Path(job.root).name}
    report.detail["runs"] = [_kept(run) for run in document["runs"] + document["peers"]]
    report.detail["not measured"] = document["missing_configurations"]
    report.detail["missing peers"] = [peer["name"] for peer in document["missing_peers"]]
    report.detail["recommendation"] = document["recommendation"]

    default = chosen("static", "segments")
    runs = [once_more(default, job, effort) for _ in range(_RUNS)]
    finals = [run.phase("Final") for run in runs]
    rss.value = round(max(final.memory.rss_bytes for final in finals) / 1e6, 2)
    private.value = round(max(final.over_bare_bytes for final in finals) / 1e6, 2)
    peers = [(peer["name"], peer["phases"][-1]) for peer in document["peers"]]
    published = f"{document['published']['rss_mb']['Final']:.1f} MB in Rust, published"
    rss.peer = "; ".join([*(f"{name} {final['rss_bytes'] / 1e6:.0f} MB" for name, final in peers), published])
    private.peer = "; ".join(f"{name} {final['private_over_bare_bytes'] / 1e6:.0f} MB" for name, final in peers)
    return report


def _kept(run: dict[str, Any]) -> dict[str, Any]:
    """A run without what its process said of single lines and files, whose paths are the machine's own."""
    kept = {name: value for name, value in run.items() if name not in ("attribution", "tracked")}
    if run["attribution"] is not None:
        kept["rss_bytes_by_component"] = _by_component(run["attribution"])
    if run["tracked"] is not None:
        kept["recorded"] = {
            "steady": run["tracked"]["steady"],
            "leaks": len(run["tracked"]["leaks"]),
            "phases": run["tracked"]["phases"],
            "rss_bytes_by_component": _by_component(run["tracked"]["attribution"]),
        }
    return kept


def _by_component(explained: dict[str, Any]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in explained["rows"]:
        sums[row["component"]] = sums.get(row["component"], 0) + row["rss_bytes"]
    return sums


def chosen(embedder: str, store: str) -> Configuration:
    """The default settings with these.  Raises Unavailable with the reason why it cannot be measured here."""
    found = configurations([embedder], [store])[-1]
    if found.missing:
        raise Unavailable(f"{found.name}: {found.missing}")
    return found


def once_more(configuration: Configuration, job: Job, effort: Effort) -> Run:
    with tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory:
        work = Path(directory)
        return measure_plainly(configuration, job, job.copy_to(work / "tree"), work, effort)


def rust_job(settings: Settings) -> Job:
    """The ten largest Rust files of ``--rust DIR``, else of the clone of axum, else of what Debian has installed."""
    try:
        if settings.rust_files is not None:
            return job_of(str(settings.rust_files))
        try:
            axum = next(r for r in load_repositories(settings.evaluation_data) if r.name == "axum")
            return job_of(str(checkout(axum, settings.clones, settings.work)))
        except Unavailable:
            if not _DEBIAN_CRATES.is_dir():
                raise
            return job_of(str(_DEBIAN_CRATES))
    except FlyweightError as error:
        raise Unavailable(f"{error}; pass --rust DIR") from None

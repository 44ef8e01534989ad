"""A query asked before: how long the answer takes, and whether a million of them leave anything behind."""

from __future__ import annotations

from statistics import median

from benchmarks.evaluation_set import Unavailable
from benchmarks.figures import Figure, Report
from benchmarks.resident_process import Resident
from benchmarks.settings import Settings
from benchmarks.small_index import open_small_index

HITS = 1_000_000
TIME_TARGET_US = 10.0
# Half of what a million queries may drift: "no growth" must allow for the odd page the interpreter touches.
GROWTH_TARGET_MB = 0.05
_STEPS = 10


def run(settings: Settings) -> Report:
    report = Report("cache")
    time = Figure("query, cached, p50", None, "µs", "median over batches of 1,000 repeats of one query", TIME_TARGET_US)
    growth = Figure(
        "growth over 1,000,000 cached hits",
        None,
        "MB",
        f"private after {HITS:,} hits less private before, after 100,000 to warm up",
        GROWTH_TARGET_MB,
    )
    report.figures += [time, growth]
    try:
        index_path = open_small_index(settings)
    except Unavailable as error:
        time.skipped = growth.skipped = str(error)
        return report
    with Resident(index_path) as resident:
        # Each step answers with a line of its timings, so the first grows the buffers that lines are made in.
        resident.time_hits("error handling", HITS // _STEPS)
        before = resident.memory()
        batches: list[int] = []
        for _ in range(_STEPS):
            batches += resident.time_hits("error handling", HITS // _STEPS)
        after = resident.memory()
    time.value = round(median(batches) / 1000, 3)
    growth.value = round((after.private_bytes - before.private_bytes) / 1e6, 4)
    report.detail = {
        "fastest_batch_us": min(batches) / 1000,
        "slowest_batch_us": max(batches) / 1000,
        "before": before.as_megabytes(),
        "after": after.as_megabytes(),
    }
    return report

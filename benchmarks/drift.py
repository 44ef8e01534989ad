"""A million queries, no two alike: what they leave behind in private memory."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.evaluation_set import Unavailable
from benchmarks.figures import Figure, Report, print_rows
from benchmarks.resident_process import Resident
from benchmarks.settings import Settings
from benchmarks.small_index import open_small_index
from flyweight.observe.process_memory import Memory

QUERIES = 1_000_000
QUICK_QUERIES = 100_000
TARGET_MB = 0.1
_WARM_UP = 10_000
_STEPS = 10
_WORDS = 2000


def run(settings: Settings) -> Report:
    count = QUICK_QUERIES if settings.quick else QUERIES
    figure = Figure(
        f"private drift over {count:,} queries",
        None,
        "MB",
        f"{count:,} distinct queries of four corpus words and a number, after {_WARM_UP:,} to warm up",
        TARGET_MB,
    )
    report = Report("drift", [figure])
    try:
        index_path = open_small_index(settings)
    except Unavailable as error:
        figure.skipped = str(error)
        return report
    words = settings.folder("small") / "words.txt"
    words.write_text("\n".join(_frequent_words(settings.folder("small") / "tree")), encoding="utf-8")
    samples: list[tuple[int, Memory]] = []
    seconds = 0.0
    with Resident(index_path) as resident:
        resident.run_distinct(words, _WARM_UP, 0)
        samples.append((0, resident.memory()))
        for step in range(_STEPS):
            part = count // _STEPS
            took, _ = resident.run_distinct(words, part, _WARM_UP + step * part)
            seconds += took
            samples.append(((step + 1) * part, resident.memory()))
    figure.value = round((samples[-1][1].private_bytes - samples[0][1].private_bytes) / 1e6, 4)
    report.detail = {
        "queries_per_second": round(count / seconds),
        "samples": [{"queries": asked} | memory.as_megabytes() for asked, memory in samples],
    }
    rows = [
        (f"{asked:,}", f"{memory.private_bytes / 1e6:.3f}", f"{memory.private_dirty_bytes / 1e6:.3f}")
        for asked, memory in samples
    ]
    print_rows("Private memory while queries run", ("queries", "private MB", "dirty MB"), rows, settings.console)
    return report


def _frequent_words(tree: Path) -> list[str]:
    counts: dict[str, int] = {}
    for path in sorted(tree.rglob("*")):
        if path.is_file():
            for word in re.findall(r"[A-Za-z]{3,12}", path.read_text(encoding="utf-8", errors="replace")):
                counts[word] = counts.get(word, 0) + 1
    return sorted(counts, key=lambda word: (-counts[word], word))[:_WORDS]

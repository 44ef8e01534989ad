from __future__ import annotations

from benchmarks.profiler.profilers import EXACT, IDLE, MEMRAY, PLAIN, SAMPLED, TRACEMALLOC
from benchmarks.profiler.readme_table import readme_table


def rows(detail: dict[str, object]) -> dict[str, list[str]]:
    lines = readme_table(detail).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name.strip("*").removeprefix("flyweight, "): rest for name, *rest in cells}


DETAIL = {
    "ratios": {
        "json": {PLAIN: 1.0, EXACT: 1.1, TRACEMALLOC: 4.0},
        "native-heavy": {PLAIN: 1.0, EXACT: 1.3, TRACEMALLOC: 1.0},
    },
    "instructions": {"json": {PLAIN: 100, EXACT: 112}, "native-heavy": {PLAIN: 100, EXACT: 112}},
    "memory": {"share_percent": {EXACT: 24.6}, "fixed_mb": {EXACT: 0.41}},
}


def test_ours_has_its_means_worst_instructions_and_memory() -> None:
    assert rows(DETAIL)[EXACT] == ["1.10", "1.20", "1.30", "1.120", "25", "0.4"]


def test_a_peer_whose_instructions_are_not_counted_has_a_dash_there() -> None:
    assert rows(DETAIL)[TRACEMALLOC] == ["4.00", "2.00", "4.00", "–", "–", "–"]


def test_profilers_that_were_not_measured_keep_their_rows() -> None:
    assert {MEMRAY, SAMPLED, IDLE} <= rows(DETAIL).keys()
    assert set(rows(DETAIL)[MEMRAY]) == {"–"}

"""Whose memory it is: tables made of what attribution and the profiler said of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flyweight.observe.bench.section import Section, mb_text, percent_text

_SHOWN_BYTES = 5_000
# A component with its RSS and private bytes in the plain run and in the recorded one.
_Part = tuple[str, tuple[int, int], tuple[int, int]]


_NOTHING_RECORDED: Mapping[str, Any] = {
    "rows": [],
    "rss_bytes": 0,
    "private_bytes": 0,
    "rollup": {"rss_bytes": 0, "private_bytes": 0},
    "named_share": 0.0,
}
_PLAIN_COLUMNS = 5


def distribution(run: Mapping[str, Any]) -> Section:
    """Rows of components; the plain run on the left, the recorded one, if there is one, on the right."""
    plain = run["attribution"]
    recorded = run["tracked"]["attribution"] if run["tracked"] is not None else _NOTHING_RECORDED
    held, recorded_held = _by_component(plain), _by_component(recorded)
    nothing = (0, 0)
    names = sorted({**held, **recorded_held}, key=lambda name: held.get(name, nothing), reverse=True)
    parts = [(name, held.get(name, nothing), recorded_held.get(name, nothing)) for name in names]
    parts = _small_ones_together(parts)
    parts.append(("sum of rows", _sums(plain), _sums(recorded)))
    parts.append(("smaps_rollup", _sums(plain["rollup"]), _sums(recorded["rollup"])))
    rows: list[tuple[str, ...]] = [
        (
            name,
            mb_text(rss),
            percent_text(rss, plain["rss_bytes"]),
            mb_text(private),
            percent_text(private, plain["private_bytes"]),
            mb_text(recorded_rss),
            percent_text(recorded_rss, recorded["rss_bytes"]),
            mb_text(recorded_private),
            percent_text(recorded_private, recorded["private_bytes"]),
        )
        for name, (rss, private), (recorded_rss, recorded_private) in parts
    ]
    columns: tuple[str, ...] = ("component", "RSS MB", "of RSS", "private MB", "of private")
    notes = [
        "Measured by attribution, not estimated: the process of the tables above, at its end, grown by what it takes "
        f"to ask it. {plain['named_share']:.2%} of RSS has a name."
    ]
    if recorded is _NOTHING_RECORDED:
        rows = [row[:_PLAIN_COLUMNS] for row in rows]
    else:
        columns += ("recorded: RSS MB", "of RSS", "private MB", "of private")
        notes.append(
            "On the right the run with recording on from its first line, so that the profiler's records are in it: "
            f"{recorded['named_share']:.2%}."
        )
    return Section(f"Distribution by component: {run['name']}", columns, rows, notes=notes)


def _small_ones_together(parts: list[_Part]) -> list[_Part]:
    """Components that would show as 0.00 in both runs become one row."""
    small = [part for part in parts if max(part[1][0], part[2][0]) < _SHOWN_BYTES]
    if len(small) < 2:
        return parts
    together = (
        ", ".join(sorted(name for name, _, _ in small)),
        _added(plain for _, plain, _ in small),
        _added(recorded for _, _, recorded in small),
    )
    return [*(part for part in parts if part not in small), together]


def _added(held: Iterable[tuple[int, int]]) -> tuple[int, int]:
    rss, private = zip(*held, strict=True)
    return sum(rss), sum(private)


def _by_component(explained: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """RSS and private bytes of each component."""
    held: dict[str, tuple[int, int]] = {}
    for row in explained["rows"]:
        rss, private = held.get(row["component"], (0, 0))
        held[row["component"]] = rss + row["rss_bytes"], private + row["private_bytes"]
    return held


def _sums(found: Mapping[str, Any]) -> tuple[int, int]:
    return found["rss_bytes"], found["private_bytes"]


def components_by_phase(run: Mapping[str, Any]) -> Section:
    phases = run["tracked"]["phases"]
    last = phases[-1]["components"]
    names = sorted(
        {name for phase in phases for name, held in phase["components"].items() if held >= _SHOWN_BYTES},
        key=lambda name: -last.get(name, 0),
    )
    rows = [(name, *(mb_text(phase["components"].get(name, 0)) for phase in phases)) for name in names]
    return Section(
        f"RSS of components by phase, recording on (MB): {run['name']}",
        ("component", *(phase["name"] for phase in phases)),
        rows,
    )


def inside(run: Mapping[str, Any]) -> Section:
    rows = [
        (
            phase["name"],
            mb_text(phase["rss_bytes"]),
            mb_text(phase["private_bytes"]),
            mb_text(phase["python_bytes"]),
            mb_text(phase["native_bytes"]),
            mb_text(phase["mapped_bytes"]),
            mb_text(phase["peak_rss_bytes"]),
            mb_text(phase["peak_tracked_bytes"]),
            mb_text(phase["builder_peak_bytes"]) if phase["builder_peak_bytes"] else "",
            f"{phase['elapsed_s']:.2f}",
        )
        for phase in run["tracked"]["phases"]
    ]
    return Section(
        f"The same phases from inside, recording on: {run['name']}",
        (
            "phase",
            "RSS MB",
            "private",
            "Python heap",
            "native heap",
            "mapped",
            "peak RSS",
            "peak tracked",
            "builders' peak",
            "seconds",
        ),
        rows,
    )

"""The profiler's figures as OpenMetrics text, for a /metrics endpoint: https://openmetrics.io.

Gauges and counters with their units in their names, labelled by domain and component. Sites are not among them: they
would be thousands of series.
"""

from __future__ import annotations

import sys

from flyweight import _memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_LIVE = _memory.COMPONENT_COLUMNS.index("live_bytes")
_DOMAINS = ("python", "native", "mapped")
# Name without prefix, type, unit, key of the report's counters, help.
_BY_DOMAIN = (
    ("live_bytes", "gauge", "bytes", "current_bytes", "Bytes in blocks that exist now."),
    ("peak_bytes", "gauge", "bytes", "peak_bytes", "Most bytes that existed at one time, each domain by itself."),
    ("live_blocks", "gauge", "", "live_count", "Blocks that exist now."),
    ("allocated_bytes", "counter", "bytes", "allocated_bytes", "Bytes allocated since recording began."),
    ("freed_bytes", "counter", "bytes", "freed_bytes", "Bytes freed since recording began."),
    ("allocations", "counter", "", "allocation_count", "Blocks allocated since recording began."),
    ("frees", "counter", "", "deallocation_count", "Blocks freed since recording began."),
)
_BY_COMPONENT = (
    ("resident_bytes", "rss_bytes", "Resident set."),
    ("private_bytes", "private_bytes", "Resident pages that no other process maps."),
    ("proportional_bytes", "pss_bytes", "Resident pages, each divided by the number of processes that map it."),
)
_BY_BUDGET = (
    ("budget_limit_bytes", "gauge", "bytes", "limit_bytes", "Soft limit on tracked memory."),
    ("budget_used_bytes", "gauge", "bytes", "used_bytes", "Tracked memory that counts towards the limit."),
    ("budget_exceeded", "counter", "", "exceeded", "How often use went over the limit."),
)


def openmetrics() -> str:
    """The figures of this process, as text that ends in `# EOF`; serve it as `CONTENT_TYPE`.

    Tracked memory by domain and component while something is recorded or has been, and RSS by component in any case.

    >>> print(openmetrics())  # doctest: +SKIP
    # TYPE flyweight_memory_live_bytes gauge
    # UNIT flyweight_memory_live_bytes bytes
    # HELP flyweight_memory_live_bytes Bytes in blocks that exist now.
    flyweight_memory_live_bytes{domain="python"} 5312640
    ...
    """
    from flyweight.memory.attribution import attribution
    from flyweight.memory.report import report
    from flyweight.memory.session import status

    recorded = status()["session"] > 0
    figures = report().to_dict() if recorded else None
    tracked = _tracked_by_component() if recorded else {}
    budget = sys.modules.get("flyweight.memory.budget")  # nobody has set one unless it is loaded
    budgets = [] if budget is None else [each.to_dict() for each in budget.budgets()]
    return exposition(figures, tracked, attribution().to_dict(), budgets)


def exposition(
    report: Mapping[str, Any] | None,
    tracked: Mapping[str, int],
    attribution: Mapping[str, Any] | None,
    budgets: Sequence[Mapping[str, Any]] = (),
    leaks: Iterable[Mapping[str, Any]] | None = None,
) -> str:
    """OpenMetrics text of a report, live bytes by component, an attribution, budgets and leaks: of what there is."""
    lines: list[str] = []
    if report is not None:
        _of_report(lines, report)
    if tracked:
        _family(lines, "component_live_bytes", "gauge", "bytes", "Bytes in blocks that exist now, by component.")
        for name, size in tracked.items():
            _sample(lines, "component_live_bytes", size, component=name)
    if attribution is not None:
        for name, column, text in _BY_COMPONENT:
            sums: dict[str, int] = {}
            for row in attribution["rows"]:
                sums[row["component"]] = sums.get(row["component"], 0) + row[column]
            _family(lines, name, "gauge", "bytes", text)
            for component, size in sums.items():
                _sample(lines, name, size, component=component)
        _single(lines, "named_resident_ratio", "gauge", "ratio", attribution["named_share"], "RSS with a name, 0 to 1.")
    if budgets:
        _of_budgets(lines, budgets)
    if leaks is not None:
        growing = [leak["evidence"]["growth_bytes_per_s"] for leak in leaks if leak["evidence"]["verdict"] == "growing"]
        _single(lines, "leaking_sites", "gauge", "", len(growing), "Sites that hold ever more old blocks.")
    return "\n".join([*lines, "# EOF", ""])


def _of_report(lines: list[str], report: Mapping[str, Any]) -> None:
    for name, kind, unit, key, text in _BY_DOMAIN:
        _family(lines, name, kind, unit, text)
        for domain in _DOMAINS:
            _sample(lines, name + "_total" * (kind == "counter"), report[domain][key], domain=domain)
    peak = "Most bytes that existed at one time, all domains together."
    _single(lines, "all_peak_bytes", "gauge", "bytes", report["peak_bytes"], peak)
    _family(lines, "profiler_bytes", "gauge", "bytes", "Resident bytes of the profiler's own data.")
    for part, size in report["own_memory"].items():
        _sample(lines, "profiler_bytes", size, part=part)
    _single(lines, "recorded_seconds", "gauge", "seconds", report["elapsed_s"], "Time since recording began.")
    _single(lines, "recording", "gauge", "", int(report["recording"]), "1 while recording.")
    _single(lines, "estimated", "gauge", "", int(report["estimated"]), "1 if figures are estimates from samples.")
    if report["memory_limit"]:
        _single(lines, "limit_bytes", "gauge", "bytes", report["memory_limit"], "Limit on tracked memory.")
    refused = "Allocations that the limit refused."
    _single(lines, "limit_refusals", "counter", "", report["limit_hits"], refused)
    untracked = "Frees of blocks from before the recording."
    _single(lines, "untracked_frees", "counter", "", report["untracked_frees"], untracked)
    _single(lines, "lost_frees", "counter", "", report["lost_frees"], "Frees that were noticed late.")


def _of_budgets(lines: list[str], budgets: Sequence[Mapping[str, Any]]) -> None:
    for name, kind, unit, key, text in _BY_BUDGET:
        # Several budgets of one component would be one series: the tightest stands for them.
        tightest: dict[str, Mapping[str, Any]] = {}
        for each in sorted(budgets, key=lambda budget: -budget["limit_bytes"]):
            tightest[each["component"] or "(process)"] = each
        _family(lines, name, kind, unit, text)
        for component, each in tightest.items():
            _sample(lines, name + "_total" * (kind == "counter"), each[key], component=component)


def _single(lines: list[str], name: str, kind: str, unit: str, value: float, text: str) -> None:
    _family(lines, name, kind, unit, text)
    _sample(lines, name + "_total" * (kind == "counter"), value)


def _family(lines: list[str], name: str, kind: str, unit: str, text: str) -> None:
    lines.append(f"# TYPE flyweight_memory_{name} {kind}")
    if unit:
        lines.append(f"# UNIT flyweight_memory_{name} {unit}")
    lines.append(f"# HELP flyweight_memory_{name} {text}")


def _sample(lines: list[str], name: str, value: float, **labels: str) -> None:
    inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    lines.append(f"flyweight_memory_{name}{{{inner}}} {value}" if labels else f"flyweight_memory_{name} {value}")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _tracked_by_component() -> dict[str, int]:
    # First the totals: adding them up is what gives new components their numbers.
    live = memoryview(_memory.component_totals()).cast("q")[_LIVE :: len(_memory.COMPONENT_COLUMNS)]
    return {name: size for name, size in zip(_memory.components(), live, strict=False) if size > 0}

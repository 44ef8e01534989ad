"""What a report says, section by section, as text in rows: the terminal and Markdown draw the same ones."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from flyweight.memory.capture_parts import OTHER_SITES
from flyweight.memory.report_text import notes
from flyweight.memory.sites import ORDERS, where_text
from flyweight.memory.units import rate_text, size_text
from flyweight.observe.document import Counters, Document, Holders, Leak, Phase, Site
from flyweight.observe.steady_text import steady_text

if TYPE_CHECKING:
    from flyweight.memory.report import Report

DEFAULT_TOP_N = 10
_CHAINS_SHOWN, _TYPES_SHOWN = 3, 3
# Where the part of a path begins that a reader knows.
_KNOWN_ROOT = re.compile(r".*/(?:site-packages|dist-packages|lib/python3\.\d+)/")


@dataclass(frozen=True)
class Section:
    """A table under a title. left: columns aligned to the left. parts: shares of the whole, drawn as bars, a row each.
    details: lines under each row. remarks: sentences under the table."""

    title: str
    heads: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    left: tuple[int, ...] = (0,)
    parts: Sequence[float] = ()
    details: Sequence[Sequence[str]] = ()
    remarks: Sequence[str] = field(default_factory=list)


def title_of(document: Document) -> tuple[str, str]:
    """What was captured, and how."""
    program, report = document["program"], document["report"]
    name = " ".join(program["arguments"]).strip() or "python"
    how = "exact"
    if report["estimated"]:
        how = f"estimated, a sample every {size_text(report['sample_interval_bytes'])}"
    what = "Python and native" if report["tracks_native"] else "Python only"
    state = "" if report["recording"] else ", stopped"
    return name, (
        f"process {program['pid']}, Python {program['python']}, {program['elapsed_s']:.1f} s recorded: "
        f"{what}, {how}{state}"
    )


def sections(document: Document, top_n: int = DEFAULT_TOP_N, by: str = "live") -> list[Section]:
    """The sections that have something to say. by: what orders the sites, as for hot_paths()."""
    found = [
        _totals(document),
        _components(document),
        _rows(document, top_n),
        _phases(document["phases"]),
        _sites(document, top_n, by),
        _leaks(document, top_n),
        _tracked(document, top_n),
        _queries(document, top_n),
        _budgets(document),
        _notes(document),
    ]
    return [section for section in found if section is not None]


def _totals(document: Document) -> Section:
    report = document["report"]
    heads = ("", "current", "peak", "allocated", "freed", "blocks", "allocations", "frees")
    rows = [_counters("python", report["python"])]
    if report["tracks_native"]:
        rows += [_counters("native", report["native"]), _counters("mapped", report["mapped"]), _counters("all", report)]
    remarks = [f"The profiler itself holds {size_text(report['own_bytes'])} besides."]
    addresses = _addresses_remark(document)
    if addresses:
        remarks.append(addresses)
    steady = verdict_text(document)
    if steady is not None:
        remarks.append(f"{steady}.")
    return Section("Tracked memory", heads, rows, remarks=remarks)


def _addresses_remark(document: Document) -> str:
    """Said where tracked memory is more than can be resident: mapping a gigabyte costs nothing until it is touched."""
    mapped, attribution = document["report"]["mapped"]["current_bytes"], document["attribution"]
    if attribution is None or mapped <= attribution["rss_bytes"]:
        return ""
    return (
        "Mapped counts addresses: only pages that were touched are resident, and all that is resident is "
        f"{size_text(attribution['rss_bytes'])}."
    )


def verdict_text(document: Document) -> str | None:
    """The verdict on a steady state in a sentence; None where there is none."""
    verdict = document["steady"]
    if verdict is None:
        return None
    limit_bytes = document["report"]["memory_limit"]
    # Without a limit the trend was judged by twice the peak: see CaptureParts.
    limit = f"its memory limit of {size_text(limit_bytes)}" if limit_bytes else "twice its peak"
    return steady_text(verdict, limit)


def _counters(name: str, counters: Counters) -> tuple[str, ...]:
    sizes = (counters["current_bytes"], counters["peak_bytes"], counters["allocated_bytes"], counters["freed_bytes"])
    counts = (counters["live_count"], counters["allocation_count"], counters["deallocation_count"])
    return (name, *map(size_text, sizes), *(f"{count:,}" for count in counts))


def _components(document: Document) -> Section | None:
    attribution = document["attribution"]
    if attribution is None:
        return None
    columns = ("rss_bytes", "private_bytes", "pss_bytes")
    sums: dict[str, list[int]] = {}
    for row in attribution["rows"]:
        figures = (row["rss_bytes"], row["private_bytes"], row["pss_bytes"])
        known = sums.setdefault(row["component"], [0] * len(columns))
        known[:] = map(int.__add__, known, figures)
    whole = [attribution["rss_bytes"], attribution["private_bytes"], attribution["pss_bytes"]]
    ordered = sorted(sums.items(), key=lambda item: -item[1][0])
    rows = [(name, *map(size_text, figures), _share(figures[0], whole[0])) for name, figures in ordered]
    rows.append(("all", *map(size_text, whole), _share(whole[0], whole[0])))
    parts = [figures[0] / whole[0] if whole[0] else 0.0 for _, figures in ordered]
    remarks = [f"{attribution['named_share']:.1%} of RSS has a name."]
    if attribution["swap_bytes"]:
        remarks.append(f"{size_text(attribution['swap_bytes'])} more are swapped out.")
    return Section(
        "RSS by component", ("component", "RSS", "private", "proportional", "share"), rows, parts=parts, remarks=remarks
    )


def _rows(document: Document, top_n: int) -> Section | None:
    attribution = document["attribution"]
    if attribution is None:
        return None
    ordered = sorted(attribution["rows"], key=lambda row: -row["rss_bytes"])
    rows = [
        (
            row["kind"],
            size_text(row["rss_bytes"]),
            size_text(row["private_bytes"]),
            size_text(row["dirty_bytes"]),
            size_text(row["live_bytes"]) if row["live_bytes"] else "",
            row["component"],
            row["name"],
        )
        for row in ordered[:top_n]
    ]
    heads = ("kind", "RSS", "private", "dirty", "live", "component", "name")
    rest = ordered[top_n:]
    left = sum(row["rss_bytes"] for row in rest)
    remarks = [f"{len(rest):,} more rows are {size_text(left)} together."] if rest else []
    return Section("What RSS consists of", heads, rows, left=(0, 5, 6), remarks=remarks)


def _phases(phases: Sequence[Phase]) -> Section | None:
    if not phases:
        return None
    stored = any(phase.get("store_private_bytes") for phase in phases)  # captures of before stores have none
    heads = ("phase", "time", "RSS", "change", "private", "change", "python", "native", "peak RSS", "builders")
    rows = [
        (
            phase["name"],
            f"{phase['elapsed_s']:.2f} s",
            size_text(phase["rss_bytes"]),
            _change(phase["rss_delta_bytes"]),
            size_text(phase["private_bytes"]),
            _change(phase["private_delta_bytes"]),
            size_text(phase["python_bytes"]),
            size_text(phase["native_bytes"] + phase["mapped_bytes"]),
            size_text(phase["peak_rss_bytes"]),
            size_text(phase["builder_peak_bytes"]) if phase["builder_peak_bytes"] else "",
            *([size_text(phase["store_private_bytes"]) if phase["store_private_bytes"] else ""] if stored else []),
        )
        for phase in phases
    ]
    return Section("Phases", (*heads, "store") if stored else heads, rows)


def _sites(document: Document, top_n: int, by: str) -> Section | None:
    column = ORDERS[by]
    sites = sorted(document["sites"], key=lambda site: -_figure(site, column))[:top_n]
    sites = [site for site in sites if _figure(site, column) > 0]
    if not sites:
        return None
    heads = ("live", "blocks", "peak", "allocated", "count", "average", "per s", "component", "where")
    rows = [
        (
            size_text(site["live_bytes"]),
            f"{site['live_count']:,}",
            size_text(site["peak_bytes"]) if is_place(site) else "",  # peaks at different times have no sum
            size_text(site["total_bytes"]),
            f"{site['total_count']:,}",
            size_text(site["average_bytes"]),
            rate_text(site["rate"]),
            site["component"] or site["domain"],
            where_text(short_path(site["file"]), site["line"], site["function"]),
        )
        for site in sites
    ]
    titles = {"live": "live now", "peak": "at its peak", "bytes": "allocated in all", "count": "number of allocations"}
    rest = sum(map(is_place, document["sites"])) - sum(map(is_place, sites))
    remarks = [f"{rest:,} more sites."] if rest > 0 else []
    what = titles[by] if by in ("count", "peak") else f"bytes {titles[by]}"
    return Section(
        f"Hot sites by {what}".replace("by at its", "by bytes at their"), heads, rows, (7, 8), remarks=remarks
    )


def is_place(site: Site) -> bool:
    """Whether it is one line of code: the rest of a large capture is one row for each domain."""
    return bool(site["file"]) or site["function"] != OTHER_SITES


def _figure(site: Site, column: str) -> int:
    return cast("int", site[column])  # type: ignore[literal-required]


def _leaks(document: Document, top_n: int) -> Section | None:
    leaks = document["leaks"]
    if leaks is None:
        return None
    if not leaks:
        return Section("Leaks", remarks=["No site was seen to leak."])
    heads = ("live", "blocks", "grows per s", "oldest", "domain", "where")
    rows = [
        (
            size_text(leak["bytes"]),
            f"{leak['count']:,}",
            size_text(leak["evidence"]["growth_bytes_per_s"]),
            f"{leak['oldest_s']:.1f} s",
            leak["domain"],
            where_text(short_path(leak["file"]), leak["line"], leak["function"]),
        )
        for leak in leaks[:top_n]
    ]
    details = [_evidence(leak) for leak in leaks[:top_n]]
    rest = len(leaks) - len(rows)
    remarks = [f"{rest:,} more leaks."] if rest > 0 else []
    return Section("Leaks", heads, rows, (4, 5), details=details, remarks=remarks)


def _evidence(leak: Leak) -> list[str]:
    lines = [leak["evidence"]["reason"]]
    if leak["holders"] is not None:
        lines += _holders(leak["holders"])
    return lines


def _holders(holders: Holders) -> list[str]:
    types = [f"{held['count']:,} {held['name']}" for held in holders["types"][:_TYPES_SHOWN]]
    lines = [f"in them: {', '.join(types)}"] if types else []
    for chain in holders["chains"][:_CHAINS_SHOWN]:
        lines.append(f"held by {' -> '.join([chain['root'], *chain['links']])}")
    return lines


def _tracked(document: Document, top_n: int) -> Section | None:
    if not document["tracked"]:
        return None
    heads = ("stretch of code", "times", "time", "allocated", "freed", "kept", "peak")
    rows = [
        (
            totals["name"],
            f"{totals['count']:,}",
            f"{totals['elapsed_ms']:,.1f} ms",
            size_text(totals["allocated_bytes"]),
            size_text(totals["freed_bytes"]),
            size_text(totals["net_bytes"]),
            size_text(totals["max_peak_net_bytes"]),
        )
        for totals in document["tracked"][:top_n]
    ]
    return Section("Tracked stretches of code", heads, rows)


def _queries(document: Document, top_n: int) -> Section | None:
    if not document["queries"]:
        return None
    heads = ("query", "hits", "time", "cached", "allocated", "kept", "peak", "private change")
    rows = [
        (
            query["query"],
            f"{query['hits']:,}",
            f"{query['elapsed_ms']:.2f} ms",
            "yes" if query["cached"] else "no",
            size_text(query["allocated_bytes"]),
            size_text(query["retained_bytes"]),
            size_text(query["peak_bytes"]),
            _change(query["private_delta_bytes"]),
        )
        for query in document["queries"][:top_n]
    ]
    return Section("Queries", heads, rows)


def _budgets(document: Document) -> Section | None:
    if not document["budgets"]:
        return None
    heads = ("budget of", "limit", "used", "share", "most", "exceeded", "then")
    rows = [
        (
            budget["component"] or "the process",
            size_text(budget["limit_bytes"]),
            size_text(budget["used_bytes"]),
            _share(budget["used_bytes"], budget["limit_bytes"]),
            size_text(budget["highest_bytes"]),
            f"{budget['exceeded']:,} times",
            budget["on_exceed"],
        )
        for budget in document["budgets"]
    ]
    return Section("Budgets", heads, rows)


def _notes(document: Document) -> Section | None:
    # The figures are the report's own, under the same names.
    said = notes(cast("Report", SimpleNamespace(**document["report"])))
    return Section("Notes", remarks=[f"{note[0].upper()}{note[1:]}." for note in said]) if said else None


def short_path(path: str) -> str:
    """A path from where its reader knows it: from where packages are installed, else from the working directory.

    >>> short_path("/usr/lib/python3.11/site-packages/flask/app.py"), short_path("/usr/lib/python3.11/json/decoder.py")
    ('flask/app.py', 'json/decoder.py')
    """
    installed = _KNOWN_ROOT.sub("", path)
    return installed if installed != path else path.removeprefix(os.getcwd().rstrip("/") + "/")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _change(size_bytes: int) -> str:
    return f"{'+' if size_bytes > 0 else ''}{size_text(size_bytes)}"

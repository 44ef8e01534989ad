"""One picture as plain text or as JSON, for scripts and for terminals without the dashboard."""

from __future__ import annotations

from collections.abc import Sequence

from flyweight.memory.units import size_text, table_text
from flyweight.observe.steady_text import span_text
from flyweight.observe.top.bars import bar_text
from flyweight.observe.top.site_table import (
    COLUMNS,
    SiteRow,
    fitted,
    growth_text,
    heads,
    leak_rows,
    printable,
    site_rows,
)
from flyweight.observe.top.summary import (
    Part,
    components,
    domains,
    mode_text,
    state_remarks,
    steady_remark,
)
from flyweight.observe.top.watched import Watched

_BAR_WIDTH = 24
_LEAST_PLACE = 16
_MOST_SITES = 10


def plain_text(watched: Watched, order: str = "live", width: int = 0) -> str:
    """The picture of one process; with a `width` places are shortened to it."""
    page = watched.page
    seen = "" if page is None else f", recorded for {span_text(page.elapsed_s)}, {mode_text(page)}"
    lines = [f"{printable(watched.name)} (process {watched.pid}){seen}", *map(str, state_remarks(watched))]
    if page is None:
        return "\n".join(lines)
    lines += ["", _figures(watched), str(steady_remark(watched))]
    lines += ["", _parts("Components", components(page)), "", _parts("Domains", domains(page))]
    rows = site_rows(watched, order)[:_MOST_SITES]
    if rows:
        lines += ["", f"Sites by {order}, of the {len(page.sites)} that hold most", _sites(rows, order, width)]
    leaks = leak_rows(watched)
    lines += ["", f"Leak candidates\n{_leaks(leaks, width)}" if leaks else "No leak candidates."]
    return "\n".join(lines)


def picture(watched: Watched) -> dict[str, object]:
    """The same as a dictionary fit for JSON: the page's own figures, and what was found out from here."""
    held = watched.held
    return {
        "pid": watched.pid,
        "command": watched.command,
        "rss_bytes": watched.rss_bytes,
        "private_bytes": None if held is None else held.private_bytes,
        "pss_bytes": None if held is None else held.pss_bytes,
        "limit_bytes": None if watched.limit is None else watched.limit.size_bytes,
        "page": None if watched.page is None else watched.page.to_dict(),
        "steady": None if watched.verdict is None else watched.verdict.to_dict(),
    }


def _figures(watched: Watched) -> str:
    page = watched.page
    assert page is not None
    held = watched.held
    private = "" if held is None else f"private {size_text(held.private_bytes)}, PSS {size_text(held.pss_bytes)}"
    tracked = f"peak {size_text(page.all.peak_bytes)}, {page.all.live_count:,} blocks"
    lines = [("RSS", size_text(watched.rss_bytes), private), ("tracked", size_text(page.all.current_bytes), tracked)]
    limit = watched.limit
    if limit is not None:
        lines.append(
            (limit.name, size_text(limit.size_bytes), f"{100 * page.all.current_bytes / limit.size_bytes:.0f} % used")
        )
    lines.append(("profiler", size_text(page.own_bytes), "its own memory, part of RSS"))
    return table_text(("", "", ""), lines, left=(0, 2)).lstrip("\n")


def _parts(heading: str, found: Sequence[Part]) -> str:
    most = max((part.size_bytes for part in found), default=0) or 1
    lines = [
        (
            part.name,
            size_text(part.size_bytes),
            bar_text(part.size_bytes / most, _BAR_WIDTH).ljust(_BAR_WIDTH if part.limit_bytes else 0)
            + (f"  of {size_text(part.limit_bytes)}{', over' if part.over else ''}" if part.limit_bytes else ""),
        )
        for part in found
    ]
    return table_text((heading, "", ""), lines, left=(0, 2))


def _sites(rows: Sequence[SiteRow], order: str, width: int) -> str:
    lines = [tuple(column.text(row) for column in COLUMNS) for row in rows]
    return _placed(heads(order, COLUMNS), lines, rows, width)


def _leaks(rows: Sequence[SiteRow], width: int) -> str:
    lines = [(growth_text(row.growth), size_text(row.site.live_bytes), f"{row.site.live_count:,}") for row in rows]
    return _placed(["grows", "live", "blocks"], lines, rows, width)


def _placed(names: Sequence[str], lines: Sequence[tuple[str, ...]], rows: Sequence[SiteRow], width: int) -> str:
    """A table whose last columns are domain and place, the place cut to what is left of the width."""
    domains = max(len("domain"), *(len(row.site.domain) for row in rows))
    taken = sum(max(map(len, cells)) + 2 for cells in zip(names, *lines, strict=True)) + domains + 2
    room = max(width - taken, _LEAST_PLACE) if width else 1 << 20
    cells = [(*line, row.site.domain, fitted(row.where, room)) for line, row in zip(lines, rows, strict=True)]
    return table_text((*names, "domain", "where"), cells, left=(len(names), len(names) + 1))

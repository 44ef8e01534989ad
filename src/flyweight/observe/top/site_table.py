"""The table of sites: its columns, its orders, and what a filter leaves of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flyweight.memory.page import PageSite
from flyweight.memory.sites import where_text
from flyweight.memory.units import size_text
from flyweight.observe.top.watched import Watched

# What lies above a package on Python's path says nothing that its name does not.
_LIBRARY = re.compile(r"^.*/(?:(?:site|dist)-packages|lib/python3\.\d+t?|lib-dynload)/")
_ELLIPSIS = "…"
_LEAST_FUNCTION = 6


@dataclass(frozen=True)
class SiteRow:
    """A site as the table has it: its figures, its growth as seen from here, and its place for people."""

    site: PageSite
    growth: float | None
    where: str


@dataclass(frozen=True)
class Column:
    """A column of the table: how it is called and ordered by, and what stands in it."""

    name: str
    head: str
    value: Callable[[SiteRow], float]
    text: Callable[[SiteRow], str]


def growth_text(bytes_per_s: float | None) -> str:
    """
    >>> growth_text(0), growth_text(1500), growth_text(-2.4), growth_text(None)
    ('0', '+1.5 kB/s', '-2 B/s', '')
    """
    if bytes_per_s is None:
        return ""
    if abs(bytes_per_s) < 0.5:
        return "0"
    sign = "+" if bytes_per_s > 0 else "-"
    return f"{sign}{size_text(abs(bytes_per_s))}/s"


COLUMNS = (
    Column("live", "live", lambda row: row.site.live_bytes, lambda row: size_text(row.site.live_bytes)),
    Column("blocks", "blocks", lambda row: row.site.live_count, lambda row: f"{row.site.live_count:,}"),
    Column("peak", "peak", lambda row: row.site.peak_bytes, lambda row: size_text(row.site.peak_bytes)),
    Column("total", "total", lambda row: row.site.total_bytes, lambda row: size_text(row.site.total_bytes)),
    Column("count", "count", lambda row: row.site.total_count, lambda row: f"{row.site.total_count:,}"),
    Column("growth", "growth", lambda row: row.growth or 0.0, lambda row: growth_text(row.growth)),
)
BY_NAME = {column.name: column for column in COLUMNS}
ORDERS = ("live", "peak", "total", "count", "growth")


def site_rows(watched: Watched, order: str, text: str = "", reverse: bool = False) -> list[SiteRow]:
    """The sites of a process in an order, largest first; `text` keeps those that have it in place or domain."""
    page = watched.page
    if page is None:
        return []
    rows = [row_of(watched, site) for site in page.sites]
    rows = [row for row in rows if matches(row, text)]
    rows.sort(key=BY_NAME[order].value, reverse=not reverse)
    return rows


def leak_rows(watched: Watched, text: str = "") -> list[SiteRow]:
    """The leak candidates of a process, fastest growing first; their growth is that of the profiler's own sieve."""
    page = watched.page
    if page is None:
        return []
    rows = [SiteRow(site, float(site.growth_bytes_per_s), place_of(watched, site)) for site in page.leaks]
    return [row for row in rows if matches(row, text)]


def row_of(watched: Watched, site: PageSite) -> SiteRow:
    return SiteRow(site, watched.growth_of(site), place_of(watched, site))


def matches(row: SiteRow, text: str) -> bool:
    """Whether each word of a filter is in a site's file, function or domain, in capitals or not."""
    there = f"{row.site.file} {row.site.function} {row.site.domain}".casefold()
    return all(word in there for word in text.casefold().split())


def place_of(watched: Watched, site: PageSite) -> str:
    """Where a site is, as somebody who works on that program knows it."""
    file = site.file
    directory = watched.directory.rstrip("/") + "/"
    if len(directory) > 1 and file.startswith(directory) and not _LIBRARY.match(file):
        file = file[len(directory) :]
    else:
        file = _LIBRARY.sub("", file)
    return where_text(printable(file), site.line, printable(site.function))


def printable(text: str) -> str:
    """Text of another process, which must not move the cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def fitted(where: str, width: int) -> str:
    """A place in `width` characters: directories go first, then the beginning of the function's name.

    >>> fitted("shop/models/cart.py:12 Cart.add", 22), fitted("cart.py:12 Cart.add_everything", 22)
    ('…/cart.py:12 Cart.add', 'cart.py:12 …everything')
    """
    if len(where) <= width:
        return where
    file, space, function = where.partition(" ")
    name = os.path.basename(file)
    if name != file and len(short := f"{_ELLIPSIS}/{name}{space}{function}") <= width:
        return short
    if function and (room := width - len(name) - 2) >= _LEAST_FUNCTION:
        return f"{name} {_ELLIPSIS}{function[-room:]}" if len(function) > room + 1 else f"{name} {function}"
    return _ELLIPSIS + where[len(where) - max(width, 1) + 1 :]


def heads(order: str, columns: Sequence[Column], reverse: bool = False) -> list[str]:
    """The heads of a table, with a mark at the one it is ordered by."""
    mark = "▴" if reverse else "▾"
    return [f"{column.head}{mark}" if column.name == order else column.head for column in columns]

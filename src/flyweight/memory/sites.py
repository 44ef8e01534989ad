"""Sites: the places in the code that allocate, and which of them matter most."""

from __future__ import annotations

from flyweight import _memory
from flyweight.errors import ConfigError
from flyweight.memory.components import PROFILER
from flyweight.memory.packed import ranked, record
from flyweight.memory.session import check_recorded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# What hot_paths may order by, and the column that holds it.
ORDERS = {"bytes": "total_bytes", "count": "total_count", "live": "live_bytes", "peak": "peak_bytes"}

_WIDTH = len(_memory.SITE_COLUMNS)
_COLUMN = {name: column for column, name in enumerate(_memory.SITE_COLUMNS)}


class Site:
    """A place in the code that allocates, with what it has allocated since recording began.

    file, line, function: of the Python code that asked. For threads without Python the file is a library, the line 0.
    library: path of the library whose code called malloc or mmap; "" in Python's domain and where it is not known.
    domain: python, native or mapped.
    component: what it is grouped under, by the library or else the file; see flyweight.memory.component().
    live_count, live_bytes: blocks that exist now; peak_bytes: the most there were at one time; at_peak_bytes: what
    there was when the whole process held most, as far as four looks a second tell.
    total_count, total_bytes, largest_bytes: of all allocations; first_seen_s: seconds from start to the first one.
    rate: allocations per second since recording began.

    In sampled mode live and total figures are estimates.
    """

    __slots__ = (
        "at_peak_bytes",
        "component",
        "domain",
        "file",
        "first_seen_s",
        "function",
        "largest_bytes",
        "library",
        "line",
        "live_bytes",
        "live_count",
        "number",
        "peak_bytes",
        "rate",
        "total_bytes",
        "total_count",
    )

    def __init__(self, row: Sequence[int], elapsed_s: float) -> None:
        self.number = row[_COLUMN["site"]]
        self.file = _memory.string(row[_COLUMN["file"]])
        self.line = row[_COLUMN["line"]]
        self.function = _memory.string(row[_COLUMN["function"]])
        self.library = _memory.string(row[_COLUMN["library"]])
        self.component = _memory.component(row[_COLUMN["component"]])
        self.domain = _memory.DOMAINS[row[_COLUMN["domain"]]]
        self.live_count = row[_COLUMN["live_count"]]
        self.live_bytes = row[_COLUMN["live_bytes"]]
        self.peak_bytes = row[_COLUMN["peak_bytes"]]
        self.at_peak_bytes = row[_COLUMN["at_peak_bytes"]]
        self.total_count = row[_COLUMN["total_count"]]
        self.total_bytes = row[_COLUMN["total_bytes"]]
        self.largest_bytes = row[_COLUMN["largest_bytes"]]
        self.first_seen_s = row[_COLUMN["first_seen_ms"]] / 1000
        self.rate = self.total_count / elapsed_s if elapsed_s > 0 else 0.0

    @property
    def average_bytes(self) -> float:
        return self.total_bytes / self.total_count if self.total_count else 0.0

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        names = [name for name in self.__slots__ if name != "number"]
        return {name: getattr(self, name) for name in sorted([*names, "average_bytes"])}

    def __repr__(self) -> str:
        return (
            f"Site({where_text(self.file, self.line, self.function)}, {self.domain}: {self.live_count} live blocks of "
            f"{self.live_bytes} bytes, {self.total_count} of {self.total_bytes} in all)"
        )


def hot_paths(top_n: int = 10, by: str = "bytes", *, own: bool = False) -> list[Site]:
    """The `top_n` sites that matter most, first the one that matters most.

    by: "bytes" and "count" order by all that was allocated, "live" by the bytes that exist now, "peak" by the most
    bytes that existed at one time. own: whether the profiler's own lines are among them, which allocate what its
    answers are made of; with them, and all others, sites sum to the totals of report().

    Raises TrackingError when nothing was recorded, ConfigError.
    """
    if by not in ORDERS:
        raise ConfigError(f"hot paths are ordered by {', '.join(ORDERS)}, not by {by!r}")
    if not isinstance(top_n, int) or isinstance(top_n, bool) or top_n < 1:
        raise ConfigError(f"top_n must be a number from 1 on, not {top_n!r}")
    check_recorded()
    elapsed_s = record(_memory.status(), _memory.STATUS_COLUMNS)["elapsed_ms"] / 1000
    sites = _memory.sites()
    wanted = top_n
    while True:
        rows = ranked(sites, _WIDTH, _COLUMN[ORDERS[by]], wanted)
        found = [row for row in rows if own or _memory.component(row[_COLUMN["component"]]) != PROFILER]
        if len(found) >= top_n or len(rows) < wanted:
            return [Site(row, elapsed_s) for row in found[:top_n]]
        wanted += top_n


def sites_text(sites: Sequence[Site], live_first: bool = False) -> str:
    """A table of sites for people: what they allocated in all and hold now, or the other way round."""
    from flyweight.memory.units import place_text, rate_text, size_text, table_text

    held_heads, made_heads = ("live", "blocks", "peak"), ("allocated", "count", "average", "per s")
    lines = []
    for site in sites:
        held = (size_text(site.live_bytes), f"{site.live_count:,}", size_text(site.peak_bytes))
        made = (
            size_text(site.total_bytes),
            f"{site.total_count:,}",
            size_text(site.average_bytes),
            rate_text(site.rate),
        )
        where = where_text(place_text(site.file), site.line, site.function)
        if site.library and site.library != site.file:
            where += f" [{library_text(site.library)}]"
        lines.append((*(held + made if live_first else made + held), site.domain, where))
    heads = held_heads + made_heads if live_first else made_heads + held_heads
    return table_text((*heads, "domain", "where"), lines, left=(7, 8))


def where_text(file: str, line: int, function: str) -> str:
    """
    >>> where_text("shop/cart.py", 12, "Cart.add"), where_text("libz.so.1", 0, "")
    ('shop/cart.py:12 Cart.add', 'libz.so.1')
    """
    place = f"{file}:{line}" if line > 0 else file
    return f"{place} {function}" if function else place


def library_text(path: str) -> str:
    """A library as a reader knows it: by its package, where it has one of another name, and its own.

    >>> library_text("/usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6")
    'libsqlite3'
    >>> library_text("/venv/lib/python3.12/site-packages/numpy/_core/_multiarray_umath.cpython-312-x86_64-linux-gnu.so")
    'numpy: _multiarray_umath'
    """
    from flyweight.memory.components import PROGRAM, PYTHON, SYSTEM, package_of

    file = path.rpartition("/")[2]
    name, package = file.partition(".")[0] or file, package_of(path)
    return name if package in (PROGRAM, PYTHON, SYSTEM, name) else f"{package}: {name}"

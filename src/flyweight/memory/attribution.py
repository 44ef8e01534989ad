"""Whose the resident memory is: rows that sum to what the system counts, byte for byte.

The native side reads the process map and says what lies in each page (native/memory/attribution.h). Here files become
packages and components, and rows of one name are added up. Docs: docs/memory-model.md.
"""

from __future__ import annotations

import os

from flyweight import _memory
from flyweight.errors import ConfigError, TrackingError
from flyweight.memory.packed import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Components that are no package.
ALLOCATOR, NATIVE, THREADS, KERNEL, UNNAMED = "allocator", "native", "threads", "kernel", "unnamed"

SUMS = (
    "rss_bytes",
    "private_bytes",
    "shared_bytes",
    "dirty_bytes",
    "pss_bytes",
    "swap_bytes",
)
_COLUMNS = (*SUMS, "live_bytes", "live_count")
_STANDARD_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + "/"
_MOST_RANGES = 8000
_LAST_ADDRESS = (1 << 56) - 1


class _Sums:
    """The six figures that add up to smaps_rollup's, bytes."""

    __slots__ = SUMS

    rss_bytes: int
    private_bytes: int
    shared_bytes: int
    dirty_bytes: int
    pss_bytes: int
    swap_bytes: int


class _Figures(_Sums):
    """Those, and the recorded live blocks behind them."""

    __slots__ = ("live_bytes", "live_count")

    live_bytes: int
    live_count: int


class AttributionRow(_Figures):
    """Resident memory of one kind and name, bytes.

    kind: "interpreter"; "library" (code and data of a shared library); "python heap" and "native heap" (live blocks);
    "mapped memory" (anonymous mappings, and ranges the caller named); "mapped file"; "thread stack"; "allocator"
    (headers of blocks, and rounding to their sizes); "free" (held by allocators for later); "before recording" (blocks
    that are in use and in no record); "profiler"; "kernel"; "unnamed".
    name: package, library, file or what else the kind's rows are told apart by. component: see `memory.component`.
    rss_bytes = private_bytes + shared_bytes; dirty_bytes: the part that is not as it is on disk; pss_bytes: private,
    and each shared page divided by the number of processes that map it; swap_bytes: swapped out, in none of the others.
    live_bytes, live_count: recorded live blocks behind the row, resident or not. detail: the path, where it is one.
    estimated: the row's share of the heap comes from samples.
    """

    __slots__ = ("component", "detail", "estimated", "kind", "name")

    def __init__(self, kind: str, name: str, component: str, detail: str = "") -> None:
        self.kind, self.name, self.component, self.detail = kind, name, component, detail
        self.estimated = False
        for column in _COLUMNS:
            setattr(self, column, 0)

    def to_dict(self) -> dict[str, object]:
        """All fields by name, fit for JSON."""
        return {name: getattr(self, name) for name in (*AttributionRow.__slots__, *_COLUMNS)}

    def __repr__(self) -> str:
        return f"AttributionRow({self.kind}, {self.name!r}, {self.component!r}: {self.rss_bytes} bytes resident)"


class ComponentTotals(_Figures):
    """Resident memory of one component: the sums of its rows."""

    __slots__ = ("component", "rows")

    def __init__(self, component: str, rows: Sequence[AttributionRow]) -> None:
        self.component = component
        self.rows = len(rows)
        for column in _COLUMNS:
            setattr(self, column, sum(getattr(row, column) for row in rows))

    def to_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in (*ComponentTotals.__slots__, *_COLUMNS)}


class Attribution(_Sums):
    """The account of a process's resident memory; print it for a table.

    rows: AttributionRows, largest first. rss_bytes, private_bytes, shared_bytes, dirty_bytes, pss_bytes, swap_bytes:
    sums of the rows. rollup: the same six from /proc/self/smaps_rollup at the same instant; `agreed`: whether the map
    stood still for long enough to be read, which is tried several times. When it did not, the rows are made to sum to
    the rollup still, and the difference lies in the unnamed row or is missing from the largest one.
    named_share: 0 to 1, of RSS. tracked: whether live blocks are behind the rows. estimated: whether they are samples.
    elapsed_ms: what the account took.
    store_private_bytes: not of this process: private memory of the process that holds its LanceDB index; an engine
    knows it, else it is 0.
    """

    __slots__ = (
        "agreed",
        "elapsed_ms",
        "estimated",
        "named_share",
        "rollup",
        "rows",
        "store_private_bytes",
        "tracked",
    )

    def __init__(self, rows: list[AttributionRow], rollup: Mapping[str, int], elapsed_ms: float) -> None:
        self.rows = sorted(rows, key=lambda row: (-row.rss_bytes, row.kind, row.name))
        for name in SUMS:
            setattr(self, name, sum(getattr(row, name) for row in rows))
        self.rollup = {name: rollup[name] for name in SUMS}
        self.agreed, self.tracked = bool(rollup["agreed"]), bool(rollup["tracked"])
        self.estimated = bool(rollup["estimated"])
        self.elapsed_ms = elapsed_ms
        self.store_private_bytes = 0
        unnamed = sum(row.rss_bytes for row in rows if row.kind == UNNAMED)
        self.named_share = 1 - unnamed / self.rss_bytes if self.rss_bytes else 1.0

    def components(self) -> dict[str, ComponentTotals]:
        """Sums of the rows by component, largest first."""
        members: dict[str, list[AttributionRow]] = {}
        for row in self.rows:
            members.setdefault(row.component, []).append(row)
        totals = [ComponentTotals(component, rows) for component, rows in members.items()]
        return {total.component: total for total in sorted(totals, key=lambda total: -total.rss_bytes)}

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        found: dict[str, object] = {name: getattr(self, name) for name in (*Attribution.__slots__, *SUMS)}
        found["rows"] = [row.to_dict() for row in self.rows]
        found["components"] = [total.to_dict() for total in self.components().values()]
        return found

    def __repr__(self) -> str:
        return f"<Attribution of {self.rss_bytes} bytes to {len(self.rows)} rows, {self.named_share:.2%} with a name>"

    def __str__(self) -> str:
        from flyweight.memory.attribution_text import attribution_text

        return attribution_text(self)


def attribution(ranges: Mapping[str, Sequence[tuple[int, int]]] | None = None) -> Attribution:
    """Whose the resident memory of this process is, row by row; the rows sum to RSS exactly.

    Works with recording on, off and stopped. While blocks are recorded, those that are live are charged to the package
    that asked for them; without, heaps are one row each.

    ranges: memory with a name of its own, (address, bytes) by component. Where they overlap the earlier one counts.

    >>> from flyweight import memory
    >>> account = memory.attribution()
    >>> account.rss_bytes == sum(row.rss_bytes for row in account.rows) == account.rollup["rss_bytes"]
    True

    Raises TrackingError when the system does not show the process map, ConfigError.
    """
    from time import perf_counter_ns

    began_ns = perf_counter_ns()
    names = list(ranges or ())
    packed = _packed_ranges(ranges or {})
    try:
        answer, texts, rollup = _memory.attribute(packed)
    except MemoryError:
        raise TrackingError(
            "there is no address space for the account (some 150 MB, hardly any of it used): raise the limit "
            "('ulimit -v')"
        ) from None
    except OSError as error:
        raise TrackingError(
            f"resident memory cannot be accounted for: {error.filename}: {error.strerror}; it needs Linux 4.14 or "
            "newer with /proc mounted and readable for the process itself (a sandbox may hide it; in a container "
            "mount proc)"
        ) from None
    rows = _Grouping(names).rows(answer, texts)
    figures = record(rollup, _memory.ROLLUP_COLUMNS)
    return Attribution(rows, figures, (perf_counter_ns() - began_ns) / 1e6)


def _packed_ranges(ranges: Mapping[str, Sequence[tuple[int, int]]]) -> bytes:
    values: list[int] = []
    for number, (name, members) in enumerate(ranges.items()):
        if not isinstance(name, str) or not name:
            raise ConfigError(f"a range of memory is named by text, not {name!r}")
        for address, size_bytes in members:
            if not 0 <= address <= _LAST_ADDRESS or not 0 <= size_bytes <= _LAST_ADDRESS - address:
                raise ConfigError(f"{name!r} cannot name {size_bytes} bytes at address {address}")
            values += address, size_bytes, number
    if len(values) > 3 * _MOST_RANGES:
        raise ConfigError(f"at most {_MOST_RANGES:,} ranges of memory can be named, not {len(values) // 3:,}")
    return b"".join(value.to_bytes(8, "little") for value in values)


class _Grouping:
    """From the native side's rows, one for each file, to those for people."""

    def __init__(self, range_names: Sequence[str]) -> None:
        from flyweight.memory import components

        self._range_names = range_names
        self._components = components
        # Files of a directory share package and component, unless users have rules.
        self._by_file = components.has_rules_of_users()
        self._places: dict[str, tuple[str, str]] = {}

    def rows(self, answer: bytes, texts: Sequence[str]) -> list[AttributionRow]:
        columns = {name: column for column, name in enumerate(_memory.ATTRIBUTION_COLUMNS)}
        kind_column, name_column, estimated = columns["kind"], columns["name"], columns["estimated"]
        first, last = columns[_COLUMNS[0]], columns[_COLUMNS[-1]] + 1
        rows: dict[tuple[str, str, str], AttributionRow] = {}
        sums: dict[tuple[str, str, str], list[int]] = {}
        values = memoryview(answer).cast("q").tolist()
        width = len(columns)
        for start in range(0, len(values), width):
            kind = _memory.ATTRIBUTION_KINDS[values[start + kind_column]]
            text = texts[values[start + name_column]]
            if kind == "python heap" and text[:1] == "/":  # most rows are of this kind: the short way
                name, component = self._place(text)
                detail = ""
            else:
                name, component, detail = self._named(kind, text)
            key = (kind, name, component)
            row = rows.get(key)
            if row is None:
                row = rows[key] = AttributionRow("mapped memory" if kind == "given" else kind, name, component, detail)
                sums[key] = values[start + first : start + last]
            else:
                so_far = sums[key]
                for number, value in enumerate(values[start + first : start + last]):
                    if value:
                        so_far[number] += value
                if row.detail != detail:
                    row.detail = ""
            if values[start + estimated]:
                row.estimated = True
        for key, row in rows.items():
            for column, value in zip(_COLUMNS, sums[key], strict=True):
                setattr(row, column, value)
        return list(rows.values())

    def _named(self, kind: str, text: str) -> tuple[str, str, str]:
        """Name, component and detail of a row."""
        if kind == "given":
            name = self._range_names[int(text)]
            return name, name, ""
        if kind in ("library", "interpreter", "mapped file"):
            package, component = self._place(text)
            file = text.rpartition("/")[2]
            # The system's libraries and the program's own have no package; and files are known by their path.
            if kind == "mapped file":
                return file or text, component, text
            named = kind == "library" and package not in ("system", "program")
            return package if named else file, component, text
        if kind in ("python heap", "native heap", "mapped memory"):
            if not text:
                return ("python", "python", "") if kind == "python heap" else ("malloc", NATIVE, "")
            if text == "<frames>":
                return "python", "python", ""
            if "/" not in text and text[:1] != "<":
                return text, text if kind == "mapped memory" else NATIVE, ""
            package, component = self._place(text)
            if kind != "python heap" and package in ("system", "program"):
                return text.rpartition("/")[2], component, text
            return package, component, ""
        if kind == "thread stack":
            return text, THREADS, ""
        if kind in ("allocator", "free"):
            return text, ALLOCATOR, ""
        if kind == "before recording":
            return text, "python" if text == "python heap" else NATIVE, ""
        return text or kind, kind, ""

    def _place(self, path: str) -> tuple[str, str]:
        """Package and component of what lies at a path."""
        key = path if self._by_file else _area(path)
        found = self._places.get(key)
        if found is None:
            package = self._components.package_of(path)
            found = self._places[key] = (package, self._components.component_of(path, package))
        return found


def _area(path: str) -> str:
    """What of a path decides on its component when only the built-in rules are in force.

    >>> _area("/venv/lib/python3.12/site-packages/numpy/core/numeric.py"), _area("/lib/x86_64-linux-gnu/libc.so.6")
    ('/venv/lib/python3.12/site-packages/numpy', '/lib/x86_64-linux-gnu')
    """
    at = path.rfind("-packages/")
    if at >= 0 and path[at - 5 : at] in ("/site", "/dist"):
        end = path.find("/", at + 10)
        package = path[: end if end >= 0 else len(path)]
        return path if package.endswith("/flyweight") else package
    if path.startswith(_STANDARD_LIBRARY):
        return _STANDARD_LIBRARY
    if "flyweight" in path or path[:1] != "/":
        return path
    directory, _, file = path.rpartition("/")
    # Indexes and models are told by their suffix, the interpreter by its name.
    return path if file.endswith((".segment", ".fwm")) or "python" in file else directory

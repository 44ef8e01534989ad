"""Snapshots: what every site held at one moment, and what has changed between two of them."""

from __future__ import annotations

import os
from time import time

from flyweight import _memory
from flyweight.errors import ConfigError, PathError
from flyweight.memory.packed import rows
from flyweight.memory.report import Counters
from flyweight.memory.session import check_recorded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SITES = 20_000  # 1.4 MB packed; sites beyond are added up in one row per domain
COLUMNS = ("file", "function", "line", "domain", "live_count", "live_bytes", "total_count", "total_bytes")
_FORMAT = "flyweight-snapshot/1"
_WIDTH = len(COLUMNS)
_NOWHERE = -1  # the file and function of the rows that add up


class SiteChange:
    """How one site differs between two snapshots.

    file, line, function, domain; live_bytes and live_count in the newer snapshot; bytes_change and count_change since
    the older one; allocated_bytes and allocation_count in between.
    """

    __slots__ = (
        "allocated_bytes",
        "allocation_count",
        "bytes_change",
        "count_change",
        "domain",
        "file",
        "function",
        "line",
        "live_bytes",
        "live_count",
    )

    def __init__(self, place: tuple[str, int, str, str], new: Sequence[int], old: Sequence[int]) -> None:
        self.file, self.line, self.function, self.domain = place
        self.live_count, self.live_bytes = new[:2]
        self.count_change, self.bytes_change, self.allocation_count, self.allocated_bytes = (
            now - before for now, before in zip(new, old, strict=True)
        )

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return (
            f"SiteChange({self.file}:{self.line} {self.function}, {self.domain}: {self.bytes_change:+d} bytes in "
            f"{self.count_change:+d} blocks)"
        )


class SnapshotDiff(list[SiteChange]):
    """A list of SiteChange, the most grown first; as text a table of the first twenty."""

    __slots__ = ()

    def __str__(self) -> str:
        return changes_text(self)


class Snapshot:
    """What every site held at one moment. Costs 64 bytes a site; names are looked up when they are asked for.

    taken_unix_s: when; totals: Counters of all domains together.
    """

    __slots__ = ("_names", "_packed", "taken_unix_s", "totals")

    def __init__(
        self, packed: bytes, totals: Counters, taken_unix_s: float, names: Sequence[str] | None = None
    ) -> None:
        self._packed = packed
        self._names = names  # None: those of the native module
        self.totals = totals
        self.taken_unix_s = taken_unix_s

    def __len__(self) -> int:
        return len(self._packed) // (8 * _WIDTH)

    def compare(self, older: Snapshot) -> SnapshotDiff:
        """What changed since `older`: sites whose live bytes or blocks differ, the most grown first.

        The snapshots may come from different runs: sites are matched by file, line, function and domain.
        """
        if not isinstance(older, Snapshot):
            raise ConfigError(f"a snapshot is compared with another, not with {older!r}")
        before = older._figures()
        none = (0, 0, 0, 0)
        now = self._figures()
        places = {**before, **now}
        changes = (SiteChange(place, now.get(place, none), before.get(place, none)) for place in places)
        found = SnapshotDiff(change for change in changes if change.bytes_change or change.count_change)
        found.sort(key=lambda change: (-change.bytes_change, -change.count_change, change.file, change.line))
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the snapshot as JSON; `load_snapshot` reads it. Raises PathError."""
        import json

        places: dict[str, int] = {}
        table = []
        for row in rows(self._packed, _WIDTH):
            names = [places.setdefault(self._name(number), len(places)) for number in row[:2]]
            table.append([*names, *row[2:]])
        content = {
            "format": _FORMAT,
            "taken_unix_s": self.taken_unix_s,
            "totals": self.totals.to_dict(),
            "domains": list(_memory.DOMAINS),
            "names": list(places),
            "columns": list(COLUMNS),
            "sites": table,
        }
        text = json.dumps(content, separators=(",", ":"))  # with escapes: names need not be valid UTF-8
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
        except OSError as error:
            raise PathError(f"the snapshot cannot be written to {os.fspath(path)}: {error.strerror}") from None

    def _name(self, number: int) -> str:
        if number == _NOWHERE:
            return "(other sites)"
        return _memory.string(number) if self._names is None else self._names[number]

    def _figures(self) -> dict[tuple[str, int, str, str], tuple[int, ...]]:
        """live_count, live_bytes, total_count and total_bytes by place."""
        found: dict[tuple[str, int, str, str], tuple[int, ...]] = {}
        for file, function, line, domain, *figures in rows(self._packed, _WIDTH):
            place = (self._name(file), line, self._name(function), _memory.DOMAINS[domain])
            known = found.get(place)
            found[place] = tuple(figures) if known is None else tuple(map(int.__add__, known, figures))
        return found

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self)} sites: {self.totals.current_bytes} bytes in {self.totals.live_count} blocks>"


def snapshot() -> Snapshot:
    """What every site holds now; with the recording stopped, what it held then.

    The sites that hold most are kept, at most 20,000; the others are added up.

    Raises TrackingError when nothing has been recorded.
    """
    check_recorded()
    totals = Counters(memoryview(_memory.counters()).cast("q")[-len(_memory.COUNTER_COLUMNS) :].tolist())
    return Snapshot(_packed(_memory.sites()), totals, time())


def load_snapshot(path: str | os.PathLike[str]) -> Snapshot:
    """A snapshot that `Snapshot.save` wrote. Raises PathError when it cannot be read or is none."""
    import json

    name = os.fspath(path)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        if content["format"] != _FORMAT or content["columns"] != list(COLUMNS):
            raise ValueError(f"its format is {content['format']!r}, this build reads {_FORMAT!r}")
        totals = [content["totals"][column] for column in _memory.COUNTER_COLUMNS]
        domains = [_memory.DOMAINS.index(domain) for domain in content["domains"]]
        table = [[*row[:3], domains[row[3]], *row[4:]] for row in content["sites"]]
        names = [str(text) for text in content["names"]]
        if any(not 0 <= number < len(names) for row in table for number in row[:2]):
            raise ValueError("a site has no name")
        return Snapshot(_pack(table), Counters(totals), float(content["taken_unix_s"]), names)
    except OSError as error:
        raise PathError(f"the snapshot {name} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        raise PathError(f"{name} is no snapshot that this build can read: {error}") from None


def changes_text(changes: Sequence[SiteChange], most: int = 20) -> str:
    """A table for people of what `compare` found."""
    from flyweight.memory.sites import where_text
    from flyweight.memory.units import place_text, size_text, table_text

    lines = [
        (
            f"{'+' if change.bytes_change > 0 else ''}{size_text(change.bytes_change)}",
            f"{change.count_change:+,}",
            size_text(change.live_bytes),
            f"{change.live_count:,}",
            size_text(change.allocated_bytes),
            change.domain,
            where_text(place_text(change.file), change.line, change.function),
        )
        for change in changes[:most]
    ]
    text = table_text(("change", "blocks", "live", "blocks", "allocated", "domain", "where"), lines, left=(5, 6))
    return text if len(changes) <= most else f"{text}\n({len(changes) - most:,} more sites)"


def _packed(answer: bytes) -> bytes:
    """The columns that are kept of the native module's sites, the largest ones apart and the others added up."""
    width = len(_memory.SITE_COLUMNS)
    columns = [_memory.SITE_COLUMNS.index(name) for name in COLUMNS]
    values = memoryview(answer).cast("q")
    count = len(values) // width
    if count <= MAX_SITES:
        packed = memoryview(bytearray(8 * _WIDTH * count)).cast("q")
        for position, column in enumerate(columns):
            packed[position::_WIDTH] = values[column::width]
        return packed.tobytes()
    live = values[_memory.SITE_COLUMNS.index("live_bytes") :: width].tolist()
    order = sorted(range(count), key=live.__getitem__, reverse=True)
    table = [[values[site * width + column] for column in columns] for site in order[:MAX_SITES]]
    others: dict[int, list[int]] = {}
    for site in order[MAX_SITES:]:
        _, _, _, domain, *figures = (values[site * width + column] for column in columns)
        others[domain] = list(map(int.__add__, others.get(domain, [0, 0, 0, 0]), figures))
    return _pack([*table, *([_NOWHERE, _NOWHERE, 0, domain, *figures] for domain, figures in others.items())])


def _pack(table: Sequence[Sequence[int]]) -> bytes:
    packed = memoryview(bytearray(8 * _WIDTH * len(table))).cast("q")
    for number, row in enumerate(table):
        for position, value in zip(range(number * _WIDTH, (number + 1) * _WIDTH), row, strict=True):
            packed[position] = value
    return packed.tobytes()

"""Leaks: sites that hold old blocks and, as their troughs show, ever more of them."""

from __future__ import annotations

from flyweight import _memory
from flyweight.errors import ConfigError
from flyweight.memory.growth import Evidence, History, judge
from flyweight.memory.session import check_active, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What the profiler's own answers leave in the interpreter's free lists is not the program's.
_OWN = __file__[: __file__.rindex("/") + 1]

_SITE_COLUMN = {name: column for column, name in enumerate(_memory.SITE_COLUMNS)}
_AGE_WIDTH = 7 + _memory.AGE_BINS
_HISTORY_WIDTH = 3 + 2 * _memory.HISTORY_WINDOWS


class Leak:
    """A site with live blocks that are old, and the verdict on it.

    count, bytes, oldest_s, youngest_s, largest_bytes: of the blocks older than the age asked for; of a steady site only
    those at least as large as the size asked for. site, session: what holders() finds the blocks by.
    """

    __slots__ = (
        "bytes",
        "count",
        "domain",
        "evidence",
        "file",
        "function",
        "largest_bytes",
        "line",
        "oldest_s",
        "session",
        "site",
        "youngest_s",
    )

    def __init__(self, site_row: Sequence[int], age_row: Sequence[int], evidence: Evidence, session: int) -> None:
        self.site, self.count, self.bytes, oldest_ms, youngest_ms, self.largest_bytes = age_row[:6]
        self.oldest_s = oldest_ms / 1000
        self.youngest_s = youngest_ms / 1000
        self.file = _memory.string(site_row[_SITE_COLUMN["file"]])
        self.function = _memory.string(site_row[_SITE_COLUMN["function"]])
        self.line = site_row[_SITE_COLUMN["line"]]
        self.domain = _memory.DOMAINS[site_row[_SITE_COLUMN["domain"]]]
        self.evidence = evidence
        self.session = session

    @property
    def verdict(self) -> str:
        return self.evidence.verdict

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        figures: dict[str, object] = {
            name: getattr(self, name) for name in self.__slots__ if name not in ("evidence", "session", "site")
        }
        figures["evidence"] = self.evidence.to_dict()
        return figures

    def __repr__(self) -> str:
        return (
            f"Leak({self.file}:{self.line} {self.function}, {self.domain}, {self.verdict}: {self.count} blocks of "
            f"{self.bytes} bytes, {self.youngest_s:.0f} to {self.oldest_s:.0f} s old)"
        )


def leaks(min_age_s: float = 60.0, min_size: int = 1024, *, include_steady: bool = False) -> list[Leak]:
    """The sites that leak: they hold blocks older than `min_age_s` seconds, and ever more of them.

    A site that grows is returned whatever the size of its blocks: a drip is a leak too. With `include_steady`, sites
    that hold blocks older than `min_age_s` and of at least `min_size` bytes without growing follow: caches, tables,
    modules, and what was lost once. Growing ones come first, by bytes per second, then the others by bytes.

    Nothing is held against a program that was watched for less than six windows (a quarter of a second each at first).
    Raises TrackingError when nothing is being recorded, since single blocks are forgotten at stop(), and ConfigError.
    """
    min_age_ms = round(_at_least_zero("min_age_s", min_age_s) * 1000)
    smallest = round(_at_least_zero("min_size", min_size))
    check_active()
    recording = status()
    elapsed_s = recording["elapsed_ms"] / 1000
    interval_bytes = recording["sample_interval_bytes"] if recording["sampled"] else 0
    sites = _Table(_memory.sites(), len(_memory.SITE_COLUMNS))
    histories = _Table(_memory.histories(), _HISTORY_WIDTH)
    old = _Table(_memory.ages(min_age_ms, 0), _AGE_WIDTH)
    large = old
    if include_steady and smallest > 0:
        large = _Table(_memory.ages(min_age_ms, smallest), _AGE_WIDTH)
    renewed: _Table | None = None
    found = []
    for number in old.numbers() if include_steady else histories.numbers():
        site_row, ages, watched = sites.row(number), old.row(number), histories.row(number)
        if not site_row or not ages or _is_own(site_row):
            continue
        evidence = judge(_history(site_row, ages, watched, elapsed_s, interval_bytes))
        if evidence.verdict != "growing":
            ages = large.row(number)
            if include_steady and ages and ages[1] > 0:
                found.append(Leak(site_row, ages, evidence, recording["session"]))
            continue
        if ages[1] == 0 and evidence.grows_by == "size" and evidence.watched_s >= min_age_s:
            # A block that is enlarged is young again each time; that it has grown for so long is what counts.
            if renewed is None:
                renewed = _Table(_memory.ages(0, 0), _AGE_WIDTH)
            ages = renewed.row(number) or ages
        if ages[1] > 0:
            found.append(Leak(site_row, ages, evidence, recording["session"]))
    found.sort(key=_gravity, reverse=True)
    return found


class _Table:
    """Rows by the site number in their first column, unpacked one by one: there may be thousands of sites."""

    __slots__ = ("_index", "_values", "_width")

    def __init__(self, answer: bytes, width: int) -> None:
        self._values = memoryview(answer).cast("q")
        self._width = width
        self._index = {number: row for row, number in enumerate(self._values[::width].tolist())}

    def numbers(self) -> Iterable[int]:
        return self._index

    def row(self, number: int) -> list[int] | None:
        row = self._index.get(number)
        return None if row is None else self._values[row * self._width : (row + 1) * self._width].tolist()


def _history(
    site: Sequence[int], ages: Sequence[int], watched: Sequence[int] | None, elapsed_s: float, interval_bytes: int
) -> History:
    """What is known of a site; a site that never set three records is not watched and has no windows."""
    live_count, live_bytes = site[_SITE_COLUMN["live_count"]], site[_SITE_COLUMN["live_bytes"]]
    _, windows, window_ms, *troughs = watched or (0, 0, 0)
    return History(
        troughs[0 : 2 * windows : 2],
        troughs[1 : 2 * windows : 2],
        window_ms / 1000,
        live_count,
        live_bytes,
        ages[7:],
        elapsed_s,
        max(1.0, interval_bytes * live_count / live_bytes) if live_bytes > 0 else 1.0,
    )


def _is_own(site: Sequence[int]) -> bool:
    return _memory.string(site[_SITE_COLUMN["file"]]).startswith(_OWN)


def _gravity(leak: Leak) -> tuple[bool, float, int]:
    growing = leak.verdict == "growing"
    return growing, leak.evidence.growth_bytes_per_s if growing else 0.0, leak.bytes


def _at_least_zero(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigError(f"{name} must be a number of 0 or more, not {value!r}")
    return value

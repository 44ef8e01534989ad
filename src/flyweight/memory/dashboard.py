"""Everything the profiler knows about this process, on a page of plain text."""

from __future__ import annotations

from flyweight.errors import TrackingError
from flyweight.memory.leaks import leaks
from flyweight.memory.phase_table import phase_table
from flyweight.memory.phases import phases
from flyweight.memory.report import report
from flyweight.memory.report_text import report_text
from flyweight.memory.session import is_active
from flyweight.memory.sites import hot_paths, sites_text, where_text
from flyweight.memory.units import place_text, size_text, table_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flyweight.memory.attribution import Attribution
    from flyweight.memory.leaks import Leak
    from flyweight.memory.phase_table import PhaseTable
    from flyweight.memory.phases import PhaseTotals
    from flyweight.memory.report import Report
    from flyweight.memory.sites import Site

DEFAULT_TOP_N = 10
LEAK_AGE_S = 60.0
_MOST_COMPONENTS = 8


class Picture:
    """A report, the sites that matter most, the leaks and the finished phases, taken together.

    leaks: None when they were not looked for. most_live, most_allocated: sites. phases: of track(); table: those of the
    whole process. attribution: whose RSS it is, None when that was not asked.
    """

    __slots__ = ("attribution", "leaks", "most_allocated", "most_live", "phases", "report", "table")

    def __init__(
        self,
        report: Report,
        most_live: list[Site],
        most_allocated: list[Site],
        leaks: list[Leak] | None,
        phases: list[PhaseTotals],
        table: PhaseTable,
        attribution: Attribution | None = None,
    ) -> None:
        self.report = report
        self.most_live = most_live
        self.most_allocated = most_allocated
        self.leaks = leaks
        self.phases = phases
        self.table = table
        self.attribution = attribution

    def to_dict(self) -> dict[str, object]:
        """Everything by name, fit for JSON."""
        return {
            "report": self.report.to_dict(),
            "most_live": [site.to_dict() for site in self.most_live],
            "most_allocated": [site.to_dict() for site in self.most_allocated],
            "leaks": None if self.leaks is None else [leak.to_dict() for leak in self.leaks],
            "phases": [totals.to_dict() for totals in self.phases],
            "table": [phase.to_dict() for phase in self.table],
            "attribution": None if self.attribution is None else self.attribution.to_dict(),
        }

    def __str__(self) -> str:
        parts = [report_text(self.report)]
        if self.attribution is not None:
            parts.append(components_text(self.attribution))
        if self.most_live:
            parts.append(f"Sites by bytes live now\n{sites_text(self.most_live, live_first=True)}")
        if self.most_allocated:
            parts.append(f"Sites by bytes allocated in all\n{sites_text(self.most_allocated)}")
        if self.table:
            parts.append(f"Phases of the process\n{self.table}")
        if self.phases:
            parts.append(f"Phases\n{phases_text(self.phases[:DEFAULT_TOP_N])}")
        if self.leaks is not None:
            found = self.leaks[:DEFAULT_TOP_N]
            parts.append(f"Leaks\n{leaks_text(found)}" if found else "No site was seen to leak.")
        return "\n\n".join(parts)


def picture(
    top_n: int = DEFAULT_TOP_N,
    leak_age_s: float | None = LEAK_AGE_S,
    ranges: Mapping[str, Sequence[tuple[int, int]]] | None = None,
) -> Picture:
    """All there is to say about this process now. Leaks are sites with blocks older than `leak_age_s`; None: not asked.

    ranges: as for attribution(), which is left out without them. With the recording stopped it is what there was to
    say then, and nothing of leaks.

    Raises TrackingError when nothing has been recorded, ConfigError.
    """
    totals = report()  # before anything else, for what follows allocates
    most_live, most_allocated = hot_paths(top_n, "live"), hot_paths(top_n, "bytes")
    found = None if leak_age_s is None or not is_active() else leaks(min_age_s=leak_age_s)
    account = None if ranges is None else _attribution(ranges)
    return Picture(totals, most_live, most_allocated, found, phases(), phase_table(), account)


def _attribution(ranges: Mapping[str, Sequence[tuple[int, int]]]) -> Attribution | None:
    from flyweight.memory.attribution import attribution

    try:
        return attribution(ranges)
    except (OSError, MemoryError, TrackingError):  # the rest of the page is worth having
        return None


def dashboard(top_n: int = DEFAULT_TOP_N, ranges: Mapping[str, Sequence[tuple[int, int]]] | None = None) -> str:
    """The page as text: totals, whose RSS it is, the `top_n` sites by live and by allocated bytes, phases and leaks.

    ranges: memory to be counted to a component of that name, as for attribution(). Raises TrackingError when nothing
    has been recorded, ConfigError.
    """
    return str(picture(top_n, LEAK_AGE_S, ranges or {}))


def components_text(account: Attribution) -> str:
    """The components that have most of RSS, in a table for people."""
    found = sorted(account.components().items(), key=lambda item: -item[1].rss_bytes)
    shown, others = found[:_MOST_COMPONENTS], found[_MOST_COMPONENTS:]
    figures = [(name, row.rss_bytes, row.private_bytes) for name, row in shown]
    if others:
        figures.append(
            ("(others)", sum(row.rss_bytes for _, row in others), sum(row.private_bytes for _, row in others))
        )
    whole = account.rss_bytes or 1
    lines = [
        (name, size_text(rss_bytes), f"{100 * rss_bytes / whole:.1f} %", size_text(private_bytes))
        for name, rss_bytes, private_bytes in figures
    ]
    lines.append(("all", size_text(account.rss_bytes), "", size_text(account.private_bytes)))
    return f"Whose the resident memory is\n{table_text(('component', 'RSS', '', 'private'), lines)}"


def leaks_text(found: Sequence[Leak]) -> str:
    """A table of leaks for people, each followed by its evidence."""
    heads = ("live", "blocks", "grows per s", "oldest", "domain", "where")
    lines = [
        (
            size_text(leak.bytes),
            f"{leak.count:,}",
            size_text(leak.evidence.growth_bytes_per_s),
            f"{leak.oldest_s:.1f} s",
            leak.domain,
            where_text(place_text(leak.file), leak.line, leak.function),
        )
        for leak in found
    ]
    head, *table = table_text(heads, lines, left=(4, 5)).split("\n")
    return "\n".join([head, *(f"{line}\n    {leak.evidence.reason}" for line, leak in zip(table, found, strict=True))])


def phases_text(found: Sequence[PhaseTotals]) -> str:
    """A table of phases for people."""
    heads = ("phase", "times", "ms", "allocated", "freed", "kept", "peak")
    lines = [
        (
            totals.name,
            f"{totals.count:,}",
            f"{totals.elapsed_ms:,.1f}",
            size_text(totals.allocated_bytes),
            size_text(totals.freed_bytes),
            size_text(totals.net_bytes),
            size_text(totals.max_peak_net_bytes),
        )
        for totals in found
    ]
    return table_text(heads, lines)

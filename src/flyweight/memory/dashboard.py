"""Everything the profiler knows about this process, on a page of plain text."""

from __future__ import annotations

from flyweight.memory.leaks import leaks
from flyweight.memory.phases import phases
from flyweight.memory.report import report
from flyweight.memory.report_text import report_text
from flyweight.memory.session import is_active
from flyweight.memory.sites import hot_paths, sites_text, where_text
from flyweight.memory.units import place_text, size_text, table_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from flyweight.memory.leaks import Leak
    from flyweight.memory.phases import PhaseTotals
    from flyweight.memory.report import Report
    from flyweight.memory.sites import Site

DEFAULT_TOP_N = 10
LEAK_AGE_S = 60.0


class Picture:
    """A report, the sites that matter most, the leaks and the finished phases, taken together.

    leaks: None when they were not looked for. most_live, most_allocated: sites.
    """

    __slots__ = ("leaks", "most_allocated", "most_live", "phases", "report")

    def __init__(
        self,
        report: Report,
        most_live: list[Site],
        most_allocated: list[Site],
        leaks: list[Leak] | None,
        phases: list[PhaseTotals],
    ) -> None:
        self.report = report
        self.most_live = most_live
        self.most_allocated = most_allocated
        self.leaks = leaks
        self.phases = phases

    def to_dict(self) -> dict[str, object]:
        """Everything by name, fit for JSON."""
        return {
            "report": self.report.to_dict(),
            "most_live": [site.to_dict() for site in self.most_live],
            "most_allocated": [site.to_dict() for site in self.most_allocated],
            "leaks": None if self.leaks is None else [leak.to_dict() for leak in self.leaks],
            "phases": [totals.to_dict() for totals in self.phases],
        }

    def __str__(self) -> str:
        parts = [report_text(self.report)]
        if self.most_live:
            parts.append(f"Sites by bytes live now\n{sites_text(self.most_live, live_first=True)}")
        if self.most_allocated:
            parts.append(f"Sites by bytes allocated in all\n{sites_text(self.most_allocated)}")
        if self.phases:
            parts.append(f"Phases\n{phases_text(self.phases[:DEFAULT_TOP_N])}")
        if self.leaks is not None:
            found = self.leaks[:DEFAULT_TOP_N]
            parts.append(f"Leaks\n{leaks_text(found)}" if found else "No site was seen to leak.")
        return "\n\n".join(parts)


def picture(top_n: int = DEFAULT_TOP_N, leak_age_s: float | None = LEAK_AGE_S) -> Picture:
    """All there is to say about this process now. Leaks are sites with blocks older than `leak_age_s`; None: not asked.

    With the recording stopped it is what there was to say then, and nothing of leaks.

    Raises TrackingError when nothing has been recorded, ConfigError.
    """
    totals = report()  # before anything else, for what follows allocates
    most_live, most_allocated = hot_paths(top_n, "live"), hot_paths(top_n, "bytes")
    found = None if leak_age_s is None or not is_active() else leaks(min_age_s=leak_age_s)
    return Picture(totals, most_live, most_allocated, found, phases())


def dashboard(top_n: int = DEFAULT_TOP_N) -> str:
    """The page as text: totals, the `top_n` sites by live and by allocated bytes, phases and leaks.

    Raises TrackingError when nothing has been recorded, ConfigError.
    """
    return str(picture(top_n))


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

"""The account of a recording: what is held now, what was asked for, and what the profiler itself costs."""

from __future__ import annotations

from flyweight import _memory
from flyweight.memory.packed import record, rows
from flyweight.memory.session import check_recorded, page_fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DEGRADED = {
    1: "its own memory reached the limit",
    2: "the site table is full",
}


class Counters:
    """Bytes and blocks since recording began: current_bytes, peak_bytes, allocated_bytes, freed_bytes,
    allocation_count, deallocation_count and live_count (blocks that exist now)."""

    __slots__ = (
        "allocated_bytes",
        "allocation_count",
        "current_bytes",
        "deallocation_count",
        "freed_bytes",
        "live_count",
        "peak_bytes",
    )

    def __init__(self, row: Sequence[int]) -> None:
        (
            self.current_bytes,
            self.peak_bytes,
            self.allocated_bytes,
            self.freed_bytes,
            self.allocation_count,
            self.deallocation_count,
            self.live_count,
        ) = row

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        return {name: getattr(self, name) for name in Counters.__slots__}

    def __repr__(self) -> str:
        return f"Counters({', '.join(f'{name}={value}' for name, value in self.to_dict().items())})"


class Report(Counters):
    """The account of a recording. Its own figures are those of all domains together; their peak is that of the sum.

    python, native, mapped: Counters of each domain: what Python's allocators gave out, malloc and its kin outside
    Python, and mappings.
    own_memory: resident bytes of the profiler's own data by kind; own_bytes: their sum.
    mode: "exact" or "sampled", as asked for; sampled figures are estimates. degraded: why exact recording turned into
    sampling, or None; degraded_at_s: when.
    untracked_frees: blocks from before the recording that were freed. lost_frees: frees that were noticed only when the
    address was given out again.
    displaced: the kinds of hooks ("python", "native") that another tool had taken out for a while.
    memory_limit: bytes or None; limit_hits: allocations it refused.
    """

    __slots__ = (
        "degraded",
        "degraded_at_s",
        "displaced",
        "elapsed_s",
        "limit_hits",
        "lost_frees",
        "mapped",
        "memory_limit",
        "mode",
        "native",
        "own_memory",
        "page_fault",
        "patched_libraries",
        "python",
        "recording",
        "sample_interval_bytes",
        "site_count",
        "stacks",
        "started_unix_s",
        "tracks_native",
        "untracked_frees",
    )

    def __init__(
        self,
        status: Mapping[str, int],
        counters: Sequence[Sequence[int]],
        own_memory: Mapping[str, int],
        page_fault: str = "",
    ) -> None:
        super().__init__(counters[3])
        self.python, self.native, self.mapped = map(Counters, counters[:3])
        self.own_memory = dict(own_memory)
        self.recording = bool(status["recording"])
        reason = status["degraded_reason"]
        self.mode = "sampled" if status["sampled"] and not reason else "exact"
        self.tracks_native = bool(status["native"])
        self.stacks = "full" if status["full_stacks"] else "sampled"
        self.sample_interval_bytes = status["sample_interval_bytes"]
        self.started_unix_s = status["started_unix_ms"] / 1000
        self.elapsed_s = status["elapsed_ms"] / 1000
        self.degraded = _DEGRADED.get(reason, f"reason {reason}") if reason else None
        self.degraded_at_s = status["degraded_at_ms"] / 1000 if reason else None
        self.untracked_frees = status["untracked_frees"]
        self.lost_frees = status["lost_frees"]
        self.memory_limit = status["limit_bytes"] or None
        self.limit_hits = status["limit_hits"]
        self.displaced = [name for name in ("python", "native") if status[f"displaced_{name}"]]
        self.patched_libraries = status["patched_libraries"]
        self.site_count = status["site_count"]
        self.page_fault = page_fault

    @property
    def own_bytes(self) -> int:
        return sum(self.own_memory.values())

    @property
    def estimated(self) -> bool:
        """Whether the figures are estimates from samples, in whole or from some time on."""
        return self.mode == "sampled" or self.degraded is not None

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON; those of a domain are a dictionary under its name."""
        found = super().to_dict()
        for name in Report.__slots__:
            value = getattr(self, name)
            found[name] = value.to_dict() if isinstance(value, Counters) else value
        return {**found, "own_bytes": self.own_bytes, "estimated": self.estimated}

    def to_json(self) -> str:
        import json

        return json.dumps(self.to_dict(), indent=2)

    def __repr__(self) -> str:
        return f"<Report of {self.elapsed_s:.1f} s: {self.current_bytes} bytes in {self.live_count} blocks>"

    def __str__(self) -> str:
        from flyweight.memory.report_text import report_text

        return report_text(self)


def report() -> Report:
    """The account of the recording that runs, or of the last one as it was when it stopped.

    Raises TrackingError when nothing has been recorded.
    """
    status = check_recorded()
    if status["recording"]:
        _memory.probe()
        status = check_recorded()
    return Report(
        status,
        list(rows(_memory.counters(), len(_memory.COUNTER_COLUMNS))),
        {
            name.removesuffix("_bytes"): size_bytes
            for name, size_bytes in record(_memory.own_memory(), _memory.OWN_COLUMNS).items()
        },
        page_fault(),
    )

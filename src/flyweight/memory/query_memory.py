"""What one query costs: time, what it allocated, and what it left behind."""

from __future__ import annotations

from time import perf_counter_ns

from flyweight.memory.phases import track
from flyweight.memory.rollup import Rollup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_KEPT = 1000
_measured: list[QueryMemory] = []


class QueryMemory:
    """The account of one query.

    query; hits: how many; cached: whether the answer came from the query cache; elapsed_ms of the query alone.
    allocated_bytes, peak_bytes (the most that was live at once), retained_bytes (still live once the hits were let go;
    below 0 when the query freed what others had left): of the thread that asked, by the recording; `recorded` says
    whether there was one, else they are 0.
    private_delta_bytes, rss_delta_bytes: of the whole process, as the system counts it, hits let go.
    """

    __slots__ = (
        "allocated_bytes",
        "cached",
        "elapsed_ms",
        "hits",
        "peak_bytes",
        "private_delta_bytes",
        "query",
        "recorded",
        "retained_bytes",
        "rss_delta_bytes",
    )

    def __init__(self, query: str, before: Rollup, phase: track, elapsed_ms: float, hits: int, cached: bool) -> None:
        self.query = query
        self.hits = hits
        self.cached = cached
        self.elapsed_ms = elapsed_ms
        self.recorded = phase.recorded
        self.allocated_bytes = phase.allocated_bytes
        self.retained_bytes = phase.net_bytes
        self.peak_bytes = phase.peak_net_bytes
        after = Rollup()
        self.private_delta_bytes = after.private_bytes - before.private_bytes
        self.rss_delta_bytes = after.rss_bytes - before.rss_bytes

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        source = "cached" if self.cached else "computed"
        return (
            f"<QueryMemory {self.query!r}: {self.hits} hits in {self.elapsed_ms:.2f} ms, {source}; "
            f"{self.allocated_bytes} bytes allocated, {self.retained_bytes} retained>"
        )


def measure(query: str, ask: Callable[[], tuple[Sequence[object], bool]]) -> QueryMemory:
    """Calls `ask`, which returns the hits and whether they were cached, and accounts for it."""
    before = Rollup()
    phase = track("query")
    with phase:
        began_ns = perf_counter_ns()
        hits, cached = ask()
        elapsed_ms = (perf_counter_ns() - began_ns) / 1e6
        count = len(hits)
        del hits
    found = QueryMemory(query, before, phase, elapsed_ms, count, cached)
    _measured.append(found)
    if len(_measured) > MOST_KEPT:
        del _measured[0]
    return found


def measured_queries() -> list[QueryMemory]:
    """The queries that were measured in this process, oldest first; of more than a thousand the last ones."""
    return list(_measured)

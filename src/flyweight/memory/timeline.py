"""What the process and its components held over time."""

from __future__ import annotations

from flyweight import _memory
from flyweight.memory.components import OTHER
from flyweight.memory.session import check_recorded

_FIXED = _memory.COMPONENT_SERIES_COLUMNS


class Timeline:
    """Columns of equal length, oldest first: coarse steps for long ago, quarters of a second for the last half minute.

    end_s: seconds from the start of the recording to the end of each step.
    rss_bytes: resident set of the process at that time, 0 where the system does not tell.
    lowest_bytes, highest_bytes, last_bytes: what was tracked during the step and at its end.
    components: last_bytes by component, the one that held most first; what has no column of its own is "(other)".
    """

    __slots__ = ("components", "end_s", "highest_bytes", "last_bytes", "lowest_bytes", "rss_bytes")

    def __init__(self, rows: bytes, names: list[str]) -> None:
        values = memoryview(rows).cast("q")
        width = len(_FIXED) + len(names)
        columns = {name: values[column::width].tolist() for column, name in enumerate(_FIXED)}
        self.end_s = [end_ms / 1000 for end_ms in columns["elapsed_ms"]]
        self.rss_bytes = columns["rss_bytes"]
        self.lowest_bytes = columns["lowest_bytes"]
        self.highest_bytes = columns["highest_bytes"]
        self.last_bytes = columns["last_bytes"]
        found = {name: values[len(_FIXED) + column :: width].tolist() for column, name in enumerate(names)}
        named = [sum(parts) for parts in zip(*found.values(), strict=True)] if found else [0] * len(self.last_bytes)
        found[OTHER] = [max(last - part, 0) for last, part in zip(self.last_bytes, named, strict=True)]
        most = {name: max(column, default=0) for name, column in found.items()}
        order = sorted(filter(most.__getitem__, found), key=lambda name: (name == OTHER, -most[name]))
        self.components = {name: found[name] for name in order}

    def __len__(self) -> int:
        return len(self.end_s)

    def to_dict(self) -> dict[str, object]:
        """All columns by name, fit for JSON."""
        return {
            "end_s": self.end_s,
            "rss_bytes": self.rss_bytes,
            "lowest_bytes": self.lowest_bytes,
            "highest_bytes": self.highest_bytes,
            "last_bytes": self.last_bytes,
            "components": self.components,
        }

    def __repr__(self) -> str:
        covered_s = self.end_s[-1] if self.end_s else 0.0
        return f"<Timeline of {len(self)} steps over {covered_s:.1f} s: {', '.join(self.components)}>"


def timeline() -> Timeline:
    """What the process and its components held since recording began, up to the last quarter of a second.

    Raises TrackingError when nothing has been recorded.
    """
    check_recorded()
    return Timeline(*_memory.component_series())

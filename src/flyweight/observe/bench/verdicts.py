"""What the measured figures say: the target, the growth, and which settings to take. Policy lies here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flyweight.memory.trend import trend
from flyweight.observe.bench.measurement import Run

# What the default may cost more than the leanest before its larger cache and longer vectors are not worth it.
_WORTH_BYTES = 500_000
# Private memory is counted in pages; a rise that would not fill one in so many queries is none.
_PAGE_BYTES = 4096
_QUERIES_PER_PAGE = 10_000
_LEAST_POINTS = 4
_RISING_CHANCE = 0.05
_CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True)
class Growth:
    """Private memory against queries asked: bytes per 1,000 queries, Theil-Sen with its 90 % interval, and a verdict.

    verdict: "stable", "rises", or "undecided" where there are too few points.
    """

    queries: int
    slope_bytes: float
    low_bytes: float
    high_bytes: float
    verdict: str
    reason: str

    def to_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def growth_of(points: Sequence[Mapping[str, int]]) -> Growth:
    """The verdict on a run's growth points. The first is left out: it was taken before any repeats."""
    watched = points[1:]
    queries = points[-1]["queries"] - points[0]["queries"] if points else 0
    if len(watched) < _LEAST_POINTS:
        return Growth(queries, 0.0, 0.0, 0.0, "undecided", f"{len(watched)} points are too few to judge")
    found = trend(
        [point["queries"] / 1000 for point in watched],
        [point["private_over_bare_bytes"] for point in watched],
        _CONFIDENCE,
    )
    slopes = found.slope, found.slope_low, found.slope_high
    shown = f"{found.slope:,.0f} bytes per 1,000 queries ({found.slope_low:,.0f} to {found.slope_high:,.0f})"
    if found.rising > _RISING_CHANCE or found.slope <= 0:
        return Growth(queries, *slopes, "stable", f"no trend over {queries:,} queries: {shown}")
    if found.slope * _QUERIES_PER_PAGE / 1000 < _PAGE_BYTES:
        return Growth(queries, *slopes, "stable", f"less than a page in {_QUERIES_PER_PAGE:,} queries: {shown}")
    return Growth(queries, *slopes, "rises", f"over {queries:,} queries: {shown}")


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The configuration to take, and why in measured figures."""

    name: str
    code: str
    reason: str

    def to_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def recommended(runs: Sequence[Run], default: str = "default") -> Recommendation:
    """The leanest of `runs`, unless the one named `default` costs hardly more and keeps the target too.

    Of runs with other embedders and stores, which are chosen for what they do, only where there are no plain ones.
    """
    runs = [run for run in runs if run.is_plain] or runs
    costs = {run.name: run.phase("Final").over_bare_bytes for run in runs}
    leanest = min(runs, key=lambda run: costs[run.name])
    plain = next((run for run in runs if run.name == default), leanest)
    dearer = costs[plain.name] - costs[leanest.name]
    taken = plain if costs[plain.name] <= plain.target_bytes and dearer <= _WORTH_BYTES else leanest
    room = taken.target_bytes - costs[taken.name]
    where = f"{_mb(room)} below the target" if room >= 0 else f"{_mb(-room)} above the target"
    reason = f"{taken.name} ends at {_mb(costs[taken.name])} over a bare interpreter, {where}"
    if taken is not leanest:
        reason += f"; {leanest.name} would save {_mb(dearer)}, for {_differences(leanest, taken)}"
    elif plain is not leanest:
        reason += f"; {plain.name} costs {_mb(dearer)} more"
    return Recommendation(taken.name, taken.about, reason)


def _differences(lean: Run, other: Run) -> str:
    """What the leaner settings give up."""
    return ", ".join(
        f"{name} {value} instead of {other.settings[name]}"
        for name, value in lean.settings.items()
        if other.settings.get(name, value) != value
    )


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.2f} MB"

"""Robust trend of a short series: Theil–Sen slope with its interval, Mann–Kendall test with ties.

Both look only at pairs of points, so neither an outlier nor a wild distribution moves them; 29 % of the points may be
anything. The pairs are held at once (32 bytes each): 64 points take 65 KB for a moment, 300 points 1.4 MB.

Sources: H. Theil, A rank-invariant method of linear and polynomial regression analysis (1950); P. K. Sen, Estimates of
the regression coefficient based on Kendall's tau, JASA 63 (1968), also for the interval; H. B. Mann, Nonparametric
tests against trend, Econometrica 13 (1945); M. G. Kendall, Rank correlation methods (1975), for ties and for the exact
distribution; R. O. Gilbert, Statistical methods for environmental pollution monitoring (1987), chapters 16 and 17, has
both tests worked through.
"""

from __future__ import annotations

from math import erfc, sqrt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Up to here Kendall's distribution is counted out; from 10 points on the normal one is within 0.003 of it (Kendall).
_EXACT_POINTS = 12

_SQRT2 = sqrt(2.0)


class Trend:
    """What the pairs of a series say about its direction.

    ``slope`` is in values per unit of time with the bounds ``slope_low`` and ``slope_high``; ``rising`` and ``falling``
    are one-sided p-values of the Mann–Kendall test: the chance that a series without a trend looks at least as much so.
    """

    __slots__ = ("falling", "points", "rising", "score", "slope", "slope_high", "slope_low")

    def __init__(
        self,
        points: int,
        slope: float,
        slope_low: float,
        slope_high: float,
        score: int,
        rising: float,
        falling: float,
    ) -> None:
        self.points = points
        self.slope = slope
        self.slope_low = slope_low
        self.slope_high = slope_high
        self.score = score
        self.rising = rising
        self.falling = falling

    def __repr__(self) -> str:
        return (
            f"Trend(points={self.points}, slope={self.slope:.6g}, slope_low={self.slope_low:.6g}, "
            f"slope_high={self.slope_high:.6g}, rising={self.rising:.3g}, falling={self.falling:.3g})"
        )


def trend(times: Sequence[float], values: Sequence[float], confidence: float = 0.95) -> Trend:
    """Measure the direction of ``values`` over strictly increasing ``times``.

    ``confidence`` is that of the two-sided interval around the slope. Fewer than three points have no trend: slope 0
    and both p-values 1. Raises ValueError when the lengths differ or the times do not increase.
    """
    points = len(values)
    if len(times) != points:
        raise ValueError(f"{len(times)} times for {points} values")
    slopes: list[float] = []
    score = 0
    for later in range(1, points):
        at, value = times[later], values[later]
        if at <= times[later - 1]:
            raise ValueError(f"times must increase: {times[later - 1]!r} is followed by {at!r}")
        for earlier in range(later):
            rise = value - values[earlier]
            score += (rise > 0) - (rise < 0)
            slopes.append(rise / (at - times[earlier]))
    if points < 3:
        return Trend(points, 0.0, 0.0, 0.0, score, 1.0, 1.0)
    slopes.sort()
    ties = _tie_sizes(values)
    variance = score_variance(points, ties)
    low, high = _interval(slopes, variance, confidence)
    rising, falling = _p_values(points, score, variance, exact=not ties)
    return Trend(points, _median(slopes), low, high, score, rising, falling)


def score_variance(points: int, ties: Sequence[int]) -> float:
    """Variance of Kendall's score of ``points`` values without a trend; ``ties`` are the sizes of the tied groups."""
    terms = points * (points - 1) * (2 * points + 5)
    for size in ties:
        terms -= size * (size - 1) * (2 * size + 5)
    return terms / 18.0


def normal_tail(z: float) -> float:
    """Chance that a standard normal value is above ``z``."""
    return 0.5 * erfc(z / _SQRT2)


def normal_quantile(p: float) -> float:
    """The ``z`` below which a standard normal value lies with chance ``p``, 0 < p < 1, to 1e-9."""
    if not 0.0 < p < 1.0:
        raise ValueError(f"a probability between 0 and 1 has a quantile, {p!r} has none")
    low, high = -40.0, 40.0
    while high - low > 1e-10:
        middle = (low + high) / 2.0
        if 1.0 - normal_tail(middle) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2.0


def _tie_sizes(values: Sequence[float]) -> list[int]:
    sizes: list[int] = []
    run = 1
    ordered = sorted(values)
    for index in range(1, len(ordered)):
        if ordered[index] == ordered[index - 1]:
            run += 1
            continue
        if run > 1:
            sizes.append(run)
        run = 1
    if run > 1:
        sizes.append(run)
    return sizes


def _interval(slopes: list[float], variance: float, confidence: float) -> tuple[float, float]:
    """Sen's interval: the slopes that lie half the spread of Kendall's score away from the middle on either side."""
    reach = normal_quantile(0.5 + confidence / 2.0) * sqrt(variance)
    last = len(slopes) - 1
    low = round((last + 1 - reach) / 2.0)
    high = round((last + 1 + reach) / 2.0)
    return slopes[max(low - 1, 0)], slopes[min(high, last)]


def _p_values(points: int, score: int, variance: float, exact: bool) -> tuple[float, float]:
    if exact and points <= _EXACT_POINTS:
        return _exact_tail(points, score), _exact_tail(points, -score)
    if variance <= 0.0:  # every value is the same
        return 1.0, 1.0
    spread = sqrt(variance)
    # The score moves in steps of two; half a step is the correction for continuity.
    return normal_tail((score - 1) / spread), normal_tail((-score - 1) / spread)


def _exact_tail(points: int, score: int) -> float:
    """Share of the orders of ``points`` different values whose score is at least ``score``."""
    pairs = points * (points - 1) // 2
    # counts[k]: orders with k inversions; adding the n-th value puts 0 … n-1 new ones anywhere.
    counts = [1]
    orders = 1
    for size in range(2, points + 1):
        orders *= size
        wider = [0] * (len(counts) + size - 1)
        for inversions, ways in enumerate(counts):
            for more in range(size):
                wider[inversions + more] += ways
        counts = wider
    most_inversions = (pairs - score) // 2
    return sum(counts[: most_inversions + 1]) / orders

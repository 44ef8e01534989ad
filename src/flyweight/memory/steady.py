"""Has the program settled: current use under a limit, and no trend in its lowest levels over a stretch of time."""

from __future__ import annotations

from flyweight import _memory
from flyweight.errors import ConfigError
from flyweight.memory.packed import rows
from flyweight.memory.session import check_recorded
from flyweight.memory.trend import Trend, trend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Chance at which use without a trend may be called rising (one-sided, Mann-Kendall). Not smaller: calling a growing
# program steady is the worse mistake, and who asks too early can ask again.
RISING_CHANCE = 0.05
# Confidence of the interval around the slope: two-sided, so that its lower bound says the same as the test.
CONFIDENCE = 0.9
# The window is judged by its lowest levels in FINE and again in COARSE equal parts, and rises only if it does in both:
# garbage that is collected less often than FINE times a window shows no trend in the COARSE parts. 32 points are 496
# pairs, 16 KB for a moment; 8 are the fewest whose rank test still tells 5 % from 1 %.
FINE = 32
COARSE = 8
# A slope that needs this many windows to use up the limit is none: at 3 MiB and a minute, 52 bytes per second.
WINDOWS_TO_LIMIT = 1000
# The series is taken four times a second at best, so the last value is up to this much old.
_COVERED = 0.95


class Verdict:
    """Whether a program is in a steady state, true in a condition exactly when it is.

    steady: the answer; reason: why, in one sentence.
    limit_bytes, window_s: what was asked; covered_s: the time that was looked at. It is longer than the window where a
    long session has only coarse values.
    current_bytes, highest_bytes: use now and its peak in that time (python, native and anonymous mappings).
    slope_bytes_per_s, slope_low, slope_high: Theil-Sen slope of the lowest levels and its 90 % interval.
    confidence: that the slope is what the verdict says: for a rising use one minus the chance to see such a rise
    without a trend; for a flat one that chance.
    """

    __slots__ = (
        "confidence",
        "covered_s",
        "current_bytes",
        "highest_bytes",
        "limit_bytes",
        "reason",
        "slope_bytes_per_s",
        "slope_high",
        "slope_low",
        "steady",
        "window_s",
    )

    def __init__(self, limit_bytes: int, window_s: float) -> None:
        self.steady = False
        self.limit_bytes = limit_bytes
        self.window_s = window_s
        self.covered_s = 0.0
        self.current_bytes = 0
        self.highest_bytes = 0
        self.slope_bytes_per_s = 0.0
        self.slope_low = 0.0
        self.slope_high = 0.0
        self.confidence = 0.0
        self.reason = ""

    def __bool__(self) -> bool:
        return self.steady

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return f"Verdict({'steady' if self.steady else 'not steady'}: {self.reason})"


def is_steady_state(limit_bytes: int = 3 * 1024 * 1024, window_s: float = 60.0) -> Verdict:
    """Whether current use stayed under `limit_bytes` over the last `window_s` seconds and its trend is flat.

    Flat is what shows no significant rise, or one so small that a thousand such windows would not use up the limit. A
    sawtooth is flat: its lowest levels count. While the window is not yet covered the answer is no, and the reason says
    how long to wait.

    Raises TrackingError when nothing was recorded, ConfigError.
    """
    if isinstance(limit_bytes, bool) or not isinstance(limit_bytes, int) or limit_bytes < 1:
        raise ConfigError(f"limit_bytes must be a number of bytes from 1 on, not {limit_bytes!r}")
    if isinstance(window_s, bool) or not isinstance(window_s, (int, float)) or not 0 < window_s < float("inf"):
        raise ConfigError(f"window_s must be a number of seconds above 0, not {window_s!r}")
    check_recorded()
    counters = memoryview(_memory.counters()).cast("q")
    current_bytes = counters[3 * len(_memory.COUNTER_COLUMNS) + _memory.COUNTER_COLUMNS.index("current_bytes")]
    return judge(list(rows(_memory.series(), len(_memory.SERIES_COLUMNS))), current_bytes, limit_bytes, window_s)


def judge(series: Sequence[Sequence[int]], current_bytes: int, limit_bytes: int, window_s: float) -> Verdict:
    """The verdict on rows of (elapsed_ms, lowest_bytes, highest_bytes, last_bytes), oldest first."""
    verdict = Verdict(limit_bytes, window_s)
    verdict.current_bytes = verdict.highest_bytes = current_bytes
    seen = _last(series, window_s)
    if not seen:
        verdict.reason = f"nothing was recorded for {window_s:g} s yet: ask again in {window_s:g} s"
        return verdict
    verdict.covered_s = (seen[-1][0] - max(seen[0][0] - _spacing_ms(seen), 0)) / 1000
    verdict.highest_bytes = max(current_bytes, max(row[2] for row in seen))
    if verdict.covered_s < _COVERED * window_s or len(seen) < COARSE:
        missing_s = max(window_s - verdict.covered_s, (COARSE - len(seen)) * _spacing_ms(seen) / 1000)
        verdict.reason = f"only {verdict.covered_s:.1f} of {window_s:g} s were recorded: ask again in {missing_s:.1f} s"
        return verdict
    if verdict.highest_bytes > limit_bytes:
        verdict.reason = f"use was {verdict.highest_bytes:,} bytes, over the limit of {limit_bytes:,}"
        return verdict
    coarse = _trend_of_lows(seen, COARSE)
    fine = _trend_of_lows(seen, FINE) if len(seen) > COARSE else coarse
    # The weaker of the two decides: a rise must show in both.
    shown = fine if fine.rising > coarse.rising else coarse
    verdict.slope_bytes_per_s, verdict.slope_low, verdict.slope_high = shown.slope, shown.slope_low, shown.slope_high
    nothing = limit_bytes / (WINDOWS_TO_LIMIT * window_s)
    slope_text = f"{shown.slope:,.1f} bytes/s ({shown.slope_low:,.1f} to {shown.slope_high:,.1f})"
    under = f"use stayed under {verdict.highest_bytes:,} bytes for {verdict.covered_s:.1f} s"
    if shown.rising > RISING_CHANCE or shown.slope <= 0:
        verdict.steady = True
        verdict.confidence = shown.rising
        verdict.reason = f"{under} without a trend: {slope_text}"
    elif shown.slope <= nothing:
        verdict.steady = True
        verdict.confidence = 1.0 - shown.rising
        verdict.reason = f"{under} and rises so slowly that it does not count: {slope_text}, below {nothing:,.1f}"
    else:
        verdict.confidence = 1.0 - shown.rising
        verdict.reason = f"use rises by {slope_text} and would reach the limit in {_time_left(verdict):,.0f} s"
    return verdict


def _last(series: Sequence[Sequence[int]], window_s: float) -> Sequence[Sequence[int]]:
    """The rows of the last `window_s`; more where the series is so coarse that these would be too few to judge."""
    if not series:
        return series
    from_ms = series[-1][0] - window_s * 1000
    first = len(series)
    while first > 0 and (series[first - 1][0] > from_ms or len(series) - first < COARSE):
        first -= 1
    return series[first:]


def _spacing_ms(seen: Sequence[Sequence[int]]) -> int:
    """Length of the oldest interval; a single row began at the start."""
    return seen[1][0] - seen[0][0] if len(seen) > 1 else seen[0][0]


def _trend_of_lows(seen: Sequence[Sequence[int]], parts: int) -> Trend:
    """Trend of the lowest level in each of `parts` equal stretches of time, but those that no interval ends in."""
    times: list[float] = []
    lows: list[int] = []
    begin_ms = seen[0][0] - _spacing_ms(seen)
    width_ms = (seen[-1][0] - begin_ms) / parts
    last = -1
    for row in seen:
        part = min(int((row[0] - begin_ms - 1) / width_ms), parts - 1)
        if part == last:
            lows[-1] = min(lows[-1], row[1])
            continue
        times.append((begin_ms + (part + 0.5) * width_ms) / 1000)
        lows.append(row[1])
        last = part
    return trend(times, lows, CONFIDENCE)


def _time_left(verdict: Verdict) -> float:
    return max(verdict.limit_bytes - verdict.current_bytes, 0) / verdict.slope_bytes_per_s

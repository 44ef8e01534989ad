"""Steady-state verdicts on made series, and of a program that runs under the profiler."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from flyweight.errors import ConfigError
from flyweight.memory.steady import Verdict, is_steady_state, judge

LIMIT = 3 * 1024 * 1024
SPACING_MS = 250

Level = Callable[[float], float]


def series_of(level: Level, seconds: float, spacing_ms: int = SPACING_MS) -> list[tuple[int, int, int, int]]:
    """What a series shows of a level over time, looked at 16 times in each interval."""
    rows = []
    for end in range(spacing_ms, round(seconds * 1000) + 1, spacing_ms):
        seen = [round(level((end - spacing_ms * part / 16) / 1000)) for part in range(16)]
        rows.append((end, min(seen), max(seen), seen[0]))
    return rows


def verdict_on(level: Level, seconds: float = 70.0, window_s: float = 60.0, spacing_ms: int = SPACING_MS) -> Verdict:
    series = series_of(level, seconds, spacing_ms)
    return judge(series, series[-1][3] if series else 0, LIMIT, window_s)


def noise(seed: int, height: float) -> Level:
    dice = random.Random(seed)
    return lambda _: 1_000_000 + dice.gauss(0, height)


@pytest.mark.parametrize("seed", range(8))
def test_noise_around_a_level_is_steady(seed: int) -> None:
    verdict = verdict_on(noise(seed, 20_000))
    assert verdict
    assert verdict.slope_low <= 0
    assert "without a trend" in verdict.reason


def test_constant_use_is_steady_with_slope_zero() -> None:
    verdict = verdict_on(lambda _: 500_000)
    assert verdict.steady
    assert (verdict.slope_bytes_per_s, verdict.slope_low, verdict.slope_high) == (0.0, 0.0, 0.0)
    assert (verdict.current_bytes, verdict.highest_bytes) == (500_000, 500_000)
    assert verdict.covered_s == pytest.approx(60.0)


@pytest.mark.parametrize("period_s", [0.3, 2.0, 7.0, 11.0, 19.0])
@pytest.mark.parametrize("height", [5_000, 1_500_000])
def test_sawtooth_is_steady(period_s: float, height: int) -> None:
    assert verdict_on(lambda at: 600_000 + height * (at % period_s) / period_s, 95.0)


@pytest.mark.parametrize("bytes_per_s", [100, 1_000, 20_000])
def test_growth_is_not_steady_and_its_slope_is_told(bytes_per_s: int) -> None:
    verdict = verdict_on(lambda at: 600_000 + bytes_per_s * at)
    assert not verdict
    assert verdict.slope_bytes_per_s == pytest.approx(bytes_per_s, rel=0.01)
    assert verdict.confidence > 0.99
    assert "rises" in verdict.reason


def test_drip_under_a_sawtooth_is_not_steady() -> None:
    verdict = verdict_on(lambda at: 600_000 + 800 * at + 300_000 * (at % 1.7) / 1.7)
    assert not verdict
    assert verdict.slope_bytes_per_s == pytest.approx(800, rel=0.3)


def test_drip_in_noise_is_not_steady() -> None:
    dice = random.Random(3)
    assert not verdict_on(lambda at: 600_000 + 500 * at + abs(dice.gauss(0, 10_000)))


def test_growth_that_would_take_a_thousand_windows_to_the_limit_is_steady() -> None:
    verdict = verdict_on(lambda at: 600_000 + 20 * at)
    assert verdict
    assert "does not count" in verdict.reason
    assert verdict.slope_bytes_per_s == pytest.approx(20, rel=0.1)


def test_falling_use_is_steady() -> None:
    assert verdict_on(lambda at: 2_000_000 - 5_000 * at)


def test_use_that_has_levelled_off_before_the_window_is_steady() -> None:
    assert verdict_on(lambda at: min(at, 20.0) * 50_000, 85.0)


def test_use_that_still_warms_up_is_not_steady() -> None:
    assert not verdict_on(lambda at: 1_500_000 * (1 - math.exp(-at / 60)))


def test_one_step_up_in_the_middle_of_the_window_is_not_steady() -> None:
    assert not verdict_on(lambda at: 600_000 if at < 40 else 900_000)


def test_limit_counts_for_the_peak_and_not_for_the_lowest_levels() -> None:
    verdict = verdict_on(lambda at: LIMIT + 1 if 30.0 < at < 30.2 else 600_000)
    assert not verdict
    assert verdict.highest_bytes == LIMIT + 1
    assert "over the limit" in verdict.reason


def test_peak_before_the_window_does_not_count() -> None:
    assert verdict_on(lambda at: 10 * LIMIT if at < 5 else 600_000)


def test_use_exactly_at_the_limit_is_under_it() -> None:
    assert verdict_on(lambda _: LIMIT)


@pytest.mark.parametrize("seconds", [0.0, 0.25, 3.0, 50.0])
def test_window_that_is_not_covered_is_not_steady_and_says_how_long_to_wait(seconds: float) -> None:
    verdict = verdict_on(lambda _: 1_000, seconds)
    assert not verdict
    assert f"ask again in {60 - seconds:.1f} s" in verdict.reason.replace("in 60 s", "in 60.0 s")
    assert verdict.covered_s == pytest.approx(seconds)


def test_window_shorter_than_eight_intervals_is_widened_to_eight() -> None:
    verdict = verdict_on(lambda _: 1_000, 3600.0, window_s=60.0, spacing_ms=16_000)
    assert verdict
    assert verdict.covered_s == pytest.approx(8 * 16)


def test_short_window_is_answered_as_soon_as_it_is_covered() -> None:
    assert verdict_on(lambda _: 1_000, 5.0, window_s=5.0)
    assert not verdict_on(lambda at: 1_000 * at, 5.0, window_s=5.0)


@pytest.mark.parametrize("asked", [{"limit_bytes": 0}, {"limit_bytes": 1.5}, {"window_s": 0}, {"window_s": math.nan}])
def test_limit_or_window_that_cannot_be_is_refused(asked: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(asked))):
        is_steady_state(**asked)


def test_series_that_is_finer_at_its_end_is_judged_by_time() -> None:
    coarse = series_of(lambda at: 600_000, 480.0, 16_000)
    fine = series_of(lambda at: 600_000 + 1_000 * max(at - 500, 0), 560.0)
    series = [*coarse, *(row for row in fine if row[0] > 480_000)]
    verdict = judge(series, series[-1][3], LIMIT, 50.0)
    assert not verdict
    assert verdict.covered_s == pytest.approx(50.0)
    assert verdict.slope_bytes_per_s == pytest.approx(1_000, rel=0.01)
    # Over most of the session a rise in its last eighth is none.
    assert judge(series, series[-1][3], LIMIT, 500.0)

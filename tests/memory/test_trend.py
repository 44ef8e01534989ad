"""The trend statistics against worked examples, exhaustive counting and numpy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.memory.trend import normal_quantile, normal_tail, score_variance, trend

finite = st.integers(-1000, 1000)


def test_straight_line_has_its_own_slope_and_no_interval() -> None:
    found = trend([0, 1, 2, 4, 8], [5, 7, 9, 13, 21])
    assert (found.slope, found.slope_low, found.slope_high) == (2.0, 2.0, 2.0)
    assert found.score == 10
    assert found.rising == pytest.approx(1 / math.factorial(5))
    assert found.falling == 1.0


def test_constant_series_is_neither_rising_nor_falling() -> None:
    found = trend(range(20), [3] * 20)
    assert (found.slope, found.rising, found.falling) == (0.0, 1.0, 1.0)


def test_outliers_do_not_move_the_slope() -> None:
    values = [3.0 * index for index in range(30)]
    values[4], values[17], values[29] = 1e9, -1e9, 0.0
    assert trend(range(30), values).slope == pytest.approx(3.0)


def test_score_variance_of_tied_ranks_is_that_of_gilberts_formula() -> None:
    # Gilbert (1987), equation 16.3, for 22 values with ties of 2 and 3: (22*21*49 - 2*1*9 - 3*2*11) / 18
    assert score_variance(22, [2, 3]) == pytest.approx((22638 - 18 - 66) / 18)


@pytest.mark.parametrize("length", [3, 4, 5, 6])
def test_exact_chances_are_those_of_all_orders(length: int) -> None:
    scores = [trend(range(length), order).score for order in itertools.permutations(range(length))]
    for order in itertools.permutations(range(length)):
        found = trend(range(length), order)
        assert found.rising == pytest.approx(sum(score >= found.score for score in scores) / len(scores))
        assert found.falling == pytest.approx(sum(score <= found.score for score in scores) / len(scores))


def test_normal_chance_is_close_to_the_exact_one_where_it_takes_over() -> None:
    values = [0, 1, 2, 3, 5, 4, 7, 6, 9, 8, 11, 10]
    exact = trend(range(12), values)
    spread = math.sqrt(score_variance(12, []))
    assert normal_tail((exact.score - 1) / spread) == pytest.approx(exact.rising, abs=1e-4)


@settings(deadline=None)
@given(st.lists(finite, min_size=3, max_size=40), st.data())
def test_slope_is_the_median_of_all_pairs(values: list[int], data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(1, 9), min_size=len(values), max_size=len(values)))
    times = list(itertools.accumulate(steps))
    pairs = list(itertools.combinations(range(len(values)), 2))
    slopes = [(values[b] - values[a]) / (times[b] - times[a]) for a, b in pairs]
    found = trend(times, values)
    assert found.slope == pytest.approx(float(np.median(slopes)))
    assert found.slope_low <= found.slope <= found.slope_high
    assert found.score == sum((values[b] > values[a]) - (values[b] < values[a]) for a, b in pairs)


@settings(deadline=None)
@given(st.lists(finite, min_size=3, max_size=40))
def test_reversed_series_swaps_rising_and_falling(values: list[int]) -> None:
    forward, backward = trend(range(len(values)), values), trend(range(len(values)), values[::-1])
    assert forward.rising == pytest.approx(backward.falling)
    assert forward.slope == pytest.approx(-backward.slope)


def test_interval_holds_the_true_slope_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    times = np.arange(20)
    held = 0
    for _ in range(400):
        found = trend(times.tolist(), (0.5 * times + random.normal(0, 3, 20)).tolist(), confidence=0.9)
        held += found.slope_low <= 0.5 <= found.slope_high
    assert 0.85 <= held / 400 <= 0.95


def test_rank_test_calls_noise_rising_as_often_as_it_says() -> None:
    random = np.random.default_rng(8)
    called = sum(trend(range(16), random.normal(size=16).tolist()).rising <= 0.05 for _ in range(600))
    assert 0.02 <= called / 600 <= 0.08


@settings(deadline=None)
@given(st.floats(0.001, 0.999))
def test_quantile_is_the_inverse_of_the_tail(p: float) -> None:
    assert 1.0 - normal_tail(normal_quantile(p)) == pytest.approx(p, abs=1e-8)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_too_few_points_have_no_trend(length: int) -> None:
    found = trend(range(length), range(length))
    assert (found.slope, found.rising, found.falling) == (0.0, 1.0, 1.0)


def test_times_that_do_not_increase_are_refused() -> None:
    with pytest.raises(ValueError, match="times must increase"):
        trend([0, 1, 1], [1, 2, 3])
    with pytest.raises(ValueError, match="2 times for 3 values"):
        trend([0, 1], [1, 2, 3])
    with pytest.raises(ValueError, match="has none"):
        normal_quantile(1.0)

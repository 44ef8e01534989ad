"""Metric functions against values computed by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ranking_metrics import (
    Located,
    Target,
    ndcg,
    percentile,
    recall,
    reciprocal_rank,
    target_ranks,
)


def test_one_target_at_rank_one_scores_one() -> None:
    assert ndcg([1], 1, 10) == 1.0


def test_one_target_at_rank_three_scores_one_half() -> None:
    # 1 / log2(3 + 1)
    assert ndcg([3], 1, 10) == pytest.approx(0.5)


def test_two_targets_at_ranks_one_and_four() -> None:
    # (1 + 1/log2(5)) / (1 + 1/log2(3)) = (1 + 0.430677) / (1 + 0.630930)
    assert ndcg([1, 4], 2, 10) == pytest.approx(1.430677 / 1.630930, abs=1e-5)


def test_a_missing_target_costs_its_share() -> None:
    assert ndcg([1], 2, 10) == pytest.approx(1.0 / 1.630930, abs=1e-5)


def test_ranks_past_k_gain_nothing() -> None:
    assert ndcg([11], 1, 10) == 0.0


def test_more_targets_than_k_can_still_score_one() -> None:
    assert ndcg(range(1, 11), 14, 10) == pytest.approx(1.0)


def test_no_target_scores_nothing_rather_than_failing() -> None:
    assert ndcg([], 0, 10) == 0.0


@given(st.sets(st.integers(1, 30), max_size=12), st.integers(0, 5))
def test_ndcg_lies_between_nothing_and_one(ranks: set[int], missing: int) -> None:
    score = ndcg(ranks, len(ranks) + missing, 10)
    assert 0.0 <= score <= 1.0 + 1e-12
    assert not math.isnan(score)


def test_a_target_counts_once_at_the_first_chunk_of_its_file() -> None:
    returned = [Located("a.py", 1, 9), Located("b.py", 1, 5), Located("b.py", 6, 9)]
    assert target_ranks(returned, [Target("b.py")]) == [2]


def test_a_target_that_is_nowhere_has_no_rank() -> None:
    assert target_ranks([Located("a.py", 1, 9)], [Target("b.py"), Target("a.py")]) == [1]


def test_a_range_is_covered_by_a_chunk_that_shares_its_last_line() -> None:
    target = Target("a.py", 10, 20)
    assert target_ranks([Located("a.py", 1, 9), Located("a.py", 20, 40)], [target]) == [2]


def test_a_range_is_not_covered_by_the_line_after_it() -> None:
    assert target_ranks([Located("a.py", 21, 40)], [Target("a.py", 10, 20)]) == []


def test_two_ranges_of_one_file_are_two_targets() -> None:
    targets = [Target("a.py", 1, 5), Target("a.py", 50, 60)]
    assert target_ranks([Located("a.py", 55, 58), Located("a.py", 3, 4)], targets) == [2, 1]


def test_reciprocal_rank_of_the_second_is_one_half() -> None:
    assert reciprocal_rank(2, 10) == 0.5


@pytest.mark.parametrize("rank", [None, 11])
def test_reciprocal_rank_outside_the_first_k_is_zero(rank: int | None) -> None:
    assert reciprocal_rank(rank, 10) == 0.0


def test_recall_counts_right_answers_only() -> None:
    assert recall([1, 2, 3, 9], [1, 2, 4, 5]) == 0.5


def test_recall_of_no_right_answers_is_whole() -> None:
    assert recall([1], []) == 1.0


def test_percentile_takes_the_nearest_rank() -> None:
    values = [15, 20, 35, 40, 50]
    assert [percentile(values, share) for share in (0.05, 0.3, 0.4, 0.5, 1.0)] == [15, 20, 20, 35, 50]


def test_percentile_does_not_depend_on_order() -> None:
    assert percentile([50, 15, 40, 20, 35], 0.5) == 35


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)

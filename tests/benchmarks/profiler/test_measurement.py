from __future__ import annotations

import pytest

from benchmarks.child_process import ChildFailed
from benchmarks.profiler.measurement import Times, geometric_mean, interleaved, largest, run_child
from benchmarks.profiler.profilers import EXACT, PLAIN


def request(**changed: object) -> dict[str, object]:
    return {"kind": "timed", "workload": "calls only", "rounds": 1, "profiler": PLAIN, "site_packages": ""} | changed


def test_a_ratio_is_the_median_over_rounds_of_the_ratio_within_a_round() -> None:
    # Round by round 1.1, 1.2 and 3.0; the ratio of the medians would be 1.1.
    times = Times({PLAIN: [1.0, 2.0, 1.0], EXACT: [1.1, 2.4, 3.0]})
    assert times.ratio(EXACT) == pytest.approx(1.2)


def test_a_profiler_that_sat_out_later_rounds_is_compared_with_its_own_rounds() -> None:
    assert Times({PLAIN: [1.0, 50.0], EXACT: [2.0]}).ratio(EXACT) == pytest.approx(2.0)


def test_a_profiler_that_was_not_measured_has_no_ratio() -> None:
    assert Times({PLAIN: [1.0]}).ratio(EXACT) is None


def test_the_geometric_mean_multiplies() -> None:
    assert geometric_mean([1.0, 4.0]) == pytest.approx(2.0)


@pytest.mark.parametrize("summary", [geometric_mean, largest])
def test_a_summary_with_a_value_missing_is_missing(summary: object) -> None:
    assert callable(summary)
    assert summary([1.0, None]) is None
    assert summary([]) is None


def test_the_largest_is_the_largest() -> None:
    assert largest([1.5, 2.5, 2.0]) == 2.5


def test_a_workload_runs_in_a_child_under_our_profiler_and_says_what_was_recorded() -> None:
    answer = run_child(request(workload="json", profiler=EXACT))
    assert answer["cpu_s"] > 0
    assert answer["evidence"]["allocation_count"] > 1000


def test_a_child_that_fails_says_how() -> None:
    with pytest.raises(ChildFailed, match="KeyError"):
        run_child(request(kind="nothing of the sort"))


def test_a_profiler_that_fails_is_left_out_and_the_others_are_measured() -> None:
    times = interleaved([PLAIN, "no such profiler"], 1, 1, request())
    assert list(times.seconds) == [PLAIN]
    assert "no such profiler" in times.failed["no such profiler"]

"""The verdict on a steady state in words."""

from __future__ import annotations

from typing import Any

from flyweight.memory.steady import judge
from flyweight.observe.steady_text import steady_reason, steady_text

MB = 1_000_000


def verdict(levels: list[int], limit_bytes: int, window_s: float = 16.0) -> dict[str, Any]:
    """On use that was at these levels, a quarter of a second each."""
    series = [(250 * number, level, level, level) for number, level in enumerate(levels, 1)]
    return judge(series, levels[-1], limit_bytes, window_s).to_dict()


def test_rising_use_is_told_in_units_with_its_interval_and_what_it_would_reach() -> None:
    rising = verdict([MB + 25_000 * number for number in range(64)], 10 * MB)
    text = steady_text(rising, "its memory limit of 10.0 MB")
    assert text == "Not steady: use rises by 100.0 kB/s, and would reach its memory limit of 10.0 MB in 74 s"
    rising.update(slope_low=90_000.0, slope_high=111_000.0)
    assert "100.0 kB/s (90.0 kB/s to 111.0 kB/s), and" in steady_text(rising, "it")


def test_flat_use_is_steady() -> None:
    assert steady_text(verdict([MB] * 64, 10 * MB), "it") == (
        "Steady: use stayed under 1.0 MB for 16 s without a trend: 0 B/s"
    )


def test_a_rise_too_slow_to_count_is_steady_and_said() -> None:
    slow = verdict([MB + number for number in range(64)], 1_000_000 * MB)
    assert steady_text(slow, "it") == "Steady: use stayed under 1.0 MB for 16 s and hardly rises: 4 B/s"


def test_use_over_the_limit_is_told_as_such() -> None:
    assert steady_text(verdict([4 * MB] * 64, 3 * MB), "the limit of 3.0 MB") == (
        "Not steady: use was 4.0 MB, over the limit of 3.0 MB"
    )


def test_a_verdict_that_came_too_early_is_none() -> None:
    early = verdict([MB] * 8, 10 * MB)
    assert steady_text(early, "it") == "No verdict on a steady state: only 2.0 of 16 s were recorded"
    assert steady_reason(early, "it") == "only 2.0 of 16 s were recorded"

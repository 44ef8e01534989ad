from __future__ import annotations

import math
from struct import unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyweight.embed.unit_vector import BadVector, checked_vector, mean_vector

NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.integers(-1000, 1000))


def floats(vector: bytes) -> list[float]:
    return list(unpack(f"<{len(vector) // 4}f", vector))


@given(st.lists(NUMBERS, min_size=1, max_size=50).filter(lambda values: math.hypot(*values) > 1e-6))
def test_a_vector_keeps_its_direction_and_gets_length_one(values: list[float]) -> None:
    found = floats(checked_vector(values, len(values)))
    assert math.hypot(*found) == pytest.approx(1, abs=1e-5)
    length = math.hypot(*values)
    assert found == pytest.approx([value / length for value in values], abs=1e-6)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (None, "null"),
        ("1,2,3", "text"),
        ({"0": 1}, "an object"),
        ([1.0, 2.0], "2 dimensions came, not of 3"),
        ([], "0 dimensions"),
        ([1.0, None, 2.0], "null"),
        ([1.0, True, 2.0], "a truth value"),
        ([1.0, "2", 3.0], "text"),
        ([1.0, [2.0], 3.0], "a list"),
        ([1.0, float("nan"), 3.0], "not finite"),
        ([1.0, float("inf"), 3.0], "not finite"),
        ([1.7e308, 1.7e308, 1.7e308], "not finite"),
        ([10**400, 1, 1], "not finite"),
        ([0.0, 0, -0.0], "zeros"),
    ],
)
def test_what_is_no_vector_is_refused_by_what_it_is(values: object, said: str) -> None:
    with pytest.raises(BadVector, match=said):
        checked_vector(values, 3)


def test_a_vector_of_any_length_is_none_of_no_length() -> None:
    assert len(checked_vector([3, 4], 0)) == 8
    with pytest.raises(BadVector):
        checked_vector([], 0)


def test_pieces_are_weighed_by_their_tokens() -> None:
    east, north = checked_vector([1, 0], 2), checked_vector([0, 1], 2)
    assert floats(mean_vector([east, north], [3, 4])) == pytest.approx([0.6, 0.8])
    assert mean_vector([east], [7]) == east
    with pytest.raises(BadVector):
        mean_vector([east, checked_vector([-1, 0], 2)], [1, 1])

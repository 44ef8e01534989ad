"""JSON written piece by piece is the JSON that `json` reads."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyweight.memory.json_stream import json_text, pieces

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_json_reads_back_every_value(value: object) -> None:
    assert json.loads(json_text(value)) == value


@given(st.dictionaries(st.text(), st.lists(VALUES, max_size=4), max_size=4))
def test_members_whose_values_are_iterators_are_lists(members: dict[str, list[object]]) -> None:
    text = "".join(pieces((name, iter(items)) for name, items in members.items()))
    assert json.loads(text) == members


def test_a_long_list_is_never_one_piece() -> None:
    written = list(pieces([("rows", iter(range(1000)))]))
    assert max(map(len, written)) < 20 and json.loads("".join(written)) == {"rows": list(range(1000))}


def test_what_json_has_no_number_for_is_null() -> None:
    assert json_text([float("nan"), float("inf"), -float("inf")]) == "[null,null,null]"


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="set is no JSON"):
        json_text({"a": {1, 2}})

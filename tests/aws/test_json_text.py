from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.aws.json_text import NotJson, parse, quoted

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=40, deadline=None)
@given(VALUES, st.sampled_from(["", " ", "\r\n\t "]))
def test_json_means_what_the_standard_library_says(value: object, space: str) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        try:
            data = f"{space}{text}{space}".encode()
        except UnicodeEncodeError:
            continue  # half a surrogate pair
        assert parse(data) == json.loads(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"<html>",
        b'{"embedding":[0.1,',
        b'{"a":1}}',
        b"[1,2] 3",
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"'a'",
        b"{a:1}",
        b"[1,]",
        b'"\xff"',
        b'"a\nb"',
        b"01",
        b"[" * 100_000,
        b"\xef\xbb\xbf1",
        b"tru",
    ],
)
def test_what_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(NotJson):
        parse(data)


@given(st.text())
def test_a_quoted_text_is_read_back(text: str) -> None:
    assert json.loads(quoted(text)) == text.encode("utf-8", "replace").decode()

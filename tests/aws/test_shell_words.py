from __future__ import annotations

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.aws.shell_words import split_words


@settings(deadline=None)
@given(st.text(st.sampled_from("ab #=~$ \t\n\r\\'\"ü"), max_size=20))
def test_words_are_those_of_a_posix_shell(text: str) -> None:
    try:
        expected = shlex.split(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"closed|end"):
            split_words(text)
    else:
        assert split_words(text) == expected

"""Filters pushed down to LanceDB: never narrower than the rule, and the same where the path is ASCII."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flyweight._search import glob_fault, glob_matches
from flyweight.store.lancedb.predicates import admits, glob_expression, quoted, where

CHARACTERS = "aabb.-_é日'\"\\%*?[]\n\u2028{}|^$+()&~# "
paths = st.lists(st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=4), min_size=1, max_size=3).map("/".join)
PIECES = "a b / * ? ** **/ /** [ab] [!a] [^a-b] [é] [a-é] []a] é 日 . ' \\* \\[ \\\\ % _ ./ $ ( | { # && [a&&b] [a-]"
pieces = st.sampled_from([*PIECES.split(), "\n", " "])
globs = st.lists(pieces, min_size=1, max_size=6).map("".join).filter(lambda glob: not glob_fault(glob))


def matches(expression: str, path: str) -> bool:
    """As Rust's regex crate would: of what is used here only the spelling of code points and of the end differs."""
    spelled = re.sub(r"\\x\{([0-9A-F]+)\}", lambda code: f"\\U{int(code[1], 16):08x}", expression)
    return re.search(spelled.replace(r"\z", r"\Z"), path) is not None


@settings(max_examples=600, deadline=None)
@given(globs, paths)
def test_an_include_admits_what_its_glob_matches_and_an_exclude_refuses_no_more(glob: str, path: str) -> None:
    matching = glob_matches(glob, path)
    if matching:
        assert matches(glob_expression(glob, admit=True), path)
    else:
        assert not matches(glob_expression(glob, admit=False), path)


@settings(max_examples=600, deadline=None)
@given(globs, paths)
def test_for_a_path_of_ascii_the_expression_says_what_the_glob_says(glob: str, path: str) -> None:
    assume(path.isascii())
    for admit in (True, False):
        assert matches(glob_expression(glob, admit=admit), path) == glob_matches(glob, path)


@given(globs, st.binary(min_size=1, max_size=6).filter(lambda raw: b"\0" not in raw))
def test_the_last_word_is_of_the_glob_itself_for_any_bytes(glob: str, raw: bytes) -> None:
    path = os.fsdecode(raw)
    assert admits(path, [glob], []) == glob_matches(glob, raw)
    assert admits(path, [], [glob]) != glob_matches(glob, raw)


@pytest.mark.parametrize("glob", ["a\udcc3*", "\udcff"])
def test_a_glob_that_holds_part_of_a_character_is_left_to_the_last_word(glob: str) -> None:
    assert matches(glob_expression(glob, admit=True), "anything")
    assert not matches(glob_expression(glob, admit=False), "anything")


def test_a_surrogate_that_stands_for_no_byte_is_what_the_glob_matcher_makes_of_it() -> None:
    assert glob_expression("a\ud800b", admit=True) == glob_expression("a?b", admit=True)
    assert glob_matches("a\ud800b", "axb")


def test_a_quote_ends_no_literal() -> None:
    assert quoted("x' OR '1'='1") == "'x'' OR ''1''=''1'"


def test_no_filters_are_no_predicate() -> None:
    assert where([], [], []) is None


def test_filters_are_joined() -> None:
    predicate = where(["rust", "c"], ["src/**"], ["*_test.rs"])
    assert predicate is not None
    assert predicate.startswith("language IN ('rust', 'c') AND (")
    assert predicate.count(" AND (") == 2

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flyweight._search import glob_fault, glob_matches

# A pattern is drawn together with the regular expression it stands for, so the reference parses nothing.
_LETTERS = "abc.-*[]!"

_literals = st.sampled_from("abc.-").map(lambda c: (c, re.escape(c)))
_quoted = st.sampled_from("*?[]a\\").map(lambda c: ("\\" + c, re.escape(c)))
_one = st.just(("?", "[^/]"))
_star = st.just(("*", "[^/]*"))
_ranges = st.sampled_from([("a-b", "a-b"), ("c", "c"), (".", r"\."), ("*", r"\*"), ("[", r"\["), ("\\]", r"\]")])


@st.composite
def _sets(draw: st.DrawFn) -> tuple[str, str]:
    members = draw(st.lists(_ranges, min_size=1, max_size=3))
    negated = draw(st.sampled_from(["", "!", "^"]))
    inside = "".join(regex for _, regex in members)
    return (
        f"[{negated}{''.join(glob for glob, _ in members)}]",
        f"[^/{inside}]" if negated else f"[{inside}]",
    )


@st.composite
def _names(draw: st.DrawFn) -> tuple[str, str]:
    pieces = draw(st.lists(st.one_of(_literals, _literals, _quoted, _one, _star, _sets()), min_size=1, max_size=4))
    kept = [piece for i, piece in enumerate(pieces) if i == 0 or (piece[0], pieces[i - 1][0]) != ("*", "*")]
    return "".join(glob for glob, _ in kept), "".join(regex for _, regex in kept)


@st.composite
def _patterns(draw: st.DrawFn) -> tuple[str, re.Pattern[str]]:
    parts = draw(st.lists(st.one_of(_names(), st.just(("**", "**"))), min_size=1, max_size=4))
    glob, regex = "", ""
    for i, (part, meaning) in enumerate(parts):
        last = i == len(parts) - 1
        if meaning == "**":
            glob, regex = glob + ("**" if last else "**/"), regex + (".*" if last else "(?:.*/)?")
        else:
            glob, regex = glob + part + ("" if last else "/"), regex + meaning + ("" if last else "/")
    assume(not glob.startswith("./"))  # it would be taken for the mark of the root
    anchored = "/" in glob
    if draw(st.booleans()):
        glob, anchored = draw(st.sampled_from(["/", "./"])) + glob, True
    if draw(st.booleans()):
        glob += "/"
    if not anchored:
        regex = "(?:.*/)?" + regex
    return glob, re.compile(f"(?:{regex})(?:/.*)?", re.DOTALL)


_paths = st.lists(st.text(_LETTERS, min_size=1, max_size=4), min_size=1, max_size=4).map("/".join)


@settings(max_examples=600, deadline=None)
@given(_patterns(), st.lists(_paths, min_size=1, max_size=8))
def test_a_glob_matches_what_its_regular_expression_matches(
    pattern: tuple[str, re.Pattern[str]], paths: list[str]
) -> None:
    glob, reference = pattern
    assert glob_fault(glob) == ""
    for path in paths:
        assert glob_matches(glob, path) == (reference.fullmatch(path) is not None), (glob, path)


@pytest.mark.parametrize(
    ("glob", "matched", "refused"),
    [
        ("*.py", ["a.py", "src/a.py", "a.py/b"], ["a.pyc", "py"]),
        ("src/**", ["src/a", "src/a/b"], ["src", "lib/src/a"]),
        ("src", ["src", "src/a/b", "lib/src/a"], ["srcs", "a/src.py"]),
        ("/src", ["src/a"], ["lib/src/a"]),
        ("src/*.rs", ["src/a.rs"], ["src/a/b.rs", "x/src/a.rs"]),
        ("**/test_*.py", ["test_a.py", "a/b/test_a.py"], ["a/my_test_a.py"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b/c"], ["a/xb", "ab", "x/a/b"]),
        ("src/", ["src/a"], ["srcs/a"]),
        ("caf*", ["café", "x/café"], ["ca"]),
    ],
)
def test_globs_read_as_in_gitignore(glob: str, matched: list[str], refused: list[str]) -> None:
    assert [path for path in matched if not glob_matches(glob, path)] == []
    assert [path for path in refused if glob_matches(glob, path)] == []


def test_a_glob_with_undecodable_bytes_matches_the_name_that_has_them() -> None:
    assert glob_matches("caf\udce9.py", "x/caf\udce9.py")
    assert not glob_matches("caf\udce9.py", "x/café.py")


@pytest.mark.parametrize(
    ("glob", "fault"),
    [
        ("", "empty"),
        ("[abc", "not closed"),
        ("a[!]", "not closed"),
        ("a\\", "lone backslash"),
        ("a\0b", "NUL"),
        ("x" * 1025, "1024"),
        ("[a\\", "not closed"),
        ("[a\\]", "not closed"),
    ],
)
def test_a_bad_glob_is_told_what_is_wrong_with_it(glob: str, fault: str) -> None:
    assert fault in glob_fault(glob)


@given(st.text("ab*?[]!^\\-/.\0", max_size=12), st.text("ab/.-", max_size=12))
def test_any_text_is_either_faulty_or_matched_without_harm(glob: str, path: str) -> None:
    if not glob_fault(glob):
        assert glob_matches(glob, path) in (True, False)


def test_matching_does_not_explode_on_many_stars() -> None:
    path = "a" * 4000
    started = time.process_time()
    for glob in ("*a" * 300 + "b", "**a" * 300 + "b", "*" * 1000 + "b", "**/" * 300 + "b"):
        assert not glob_matches(glob, path)
    assert time.process_time() - started < 5  # backtracking would take longer than the universe has

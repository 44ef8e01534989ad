from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.index.ignore import IgnoreRules

NAMES = (
    b"a", b"b", b"ab", b"a b", b"foo", b"foobar", "é".encode(), b"\xff", b"[", b"]", b"a]", b"*", b"**",
    b"!a", b"#a", b"a\\", b"-", b"^", b"a ", b".a", b"x.c", b"y.h", b"b\nc", b"A", b"a\t", b"a\r", b"1",
)  # fmt: skip
DIRECTORIES = (
    b"",
    b"a/",
    b"a/b/",
    b"a/b/foo/",
    b"foo/",
    b"foo/a/",
    b"foobar/x/foo/",
    b"b/foo/a/b/",
    b"*/",
    b"a b/",
)


def excluded(rules: IgnoreRules, path: bytes, is_directory: bool = False) -> bool:
    """What a walk would do with the path: nothing is asked about below an excluded directory."""
    cut = path.find(b"/")
    while cut >= 0:
        parent = path[:cut]
        if rules.excludes(parent.rpartition(b"/")[2], parent, True):
            return True
        cut = path.find(b"/", cut + 1)
    return rules.excludes(path.rpartition(b"/")[2], path, is_directory)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    subprocess.run(["git", "init", "-q", root], check=True)
    base = os.fsencode(root)
    for directory in DIRECTORIES:
        os.makedirs(os.path.join(base, directory), exist_ok=True)
    for directory in DIRECTORIES:
        for number, name in enumerate(NAMES):
            path = os.path.join(base, directory + name)
            if (number + len(directory)) % 3 and not os.path.lexists(path):
                with open(path, "wb"):
                    pass
    return root


def listed_by_git(tree: Path, *options: str) -> set[bytes]:
    command = ["git", "ls-files", "-o", "-z", *options]
    return set(subprocess.run(command, cwd=tree, check=True, capture_output=True).stdout.split(b"\0")[:-1])


_pieces = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from([b"*", b"**", b"***", b"?", b"*.c", b"\\*", b"\\a", b"\\", b" ", b"\\ ", b"\t", b"\0"]),
    st.lists(
        st.sampled_from(
            [b"a", b"b", b"o", b"z", b"!", b"^", b"]", b"-", b"\\", b"[", b"/", b"\xc3", b"[:alpha:]",
             b"[:space:]", b"[:none:]", b"[:", b":]"]
        ),
        max_size=4,
    ).flatmap(lambda inner: st.sampled_from([b"[" + b"".join(inner) + b"]", b"[" + b"".join(inner)])),
)  # fmt: skip
_components = st.one_of(st.sampled_from([b"**", b"*", b"a", b"foo"]), st.lists(_pieces, max_size=3).map(b"".join))
_patterns = st.builds(
    lambda prefix, components, suffix: prefix + b"/".join(components) + suffix,
    st.sampled_from([b"", b"", b"", b"!", b"/", b"!/", b"#", b"\\!", b"\\#"]),
    st.lists(_components, min_size=1, max_size=4),
    st.sampled_from([b"", b"", b"/", b" ", b"  ", b"\\ ", b"\r", b"//"]),
)
_lines = st.one_of(_patterns, st.sampled_from([b"", b"*", b"!*", b"!*/", b"/*", b"dir/foo**/bar"]))
_sources = st.builds(
    lambda mark, separator, lines, end: mark + separator.join(lines) + end,
    st.sampled_from([b"", b"", b"\xef\xbb\xbf"]),
    st.sampled_from([b"\n", b"\n", b"\r\n"]),
    st.lists(_lines, min_size=1, max_size=6),
    st.sampled_from([b"", b"\n"]),
)


@given(source=_sources)
@settings(max_examples=150, deadline=None)
def test_any_ignore_file_leaves_the_files_that_git_leaves(tree: Path, source: bytes) -> None:
    patterns = tree / ".git" / "patterns"
    patterns.write_bytes(source)
    rules = IgnoreRules(source)
    everything = listed_by_git(tree)
    assert {path for path in everything if not excluded(rules, path)} == listed_by_git(
        tree, f"--exclude-from={patterns}"
    )


@pytest.mark.parametrize(
    ("source", "ignored", "kept"),
    [
        ("build", ["build", "x/build", "build/x"], ["builds", "x/rebuild"]),
        ("/build", ["build"], ["x/build"]),
        ("doc/out", ["doc/out"], ["x/doc/out"]),
        ("*.log", ["a.log", "x/y.log", ".log"], ["a.logs", "log"]),
        ("*.py[cod]", ["a.pyc", "x/a.pyo"], ["a.py", "a.pyx"]),
        ("/*.c", ["a.c"], ["x/a.c"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb", "x/a/b"]),
        ("**/b", ["b", "x/b", "x/y/b"], ["xb"]),
        ("a/**", ["a/x", "a/x/y"], ["a", "b/a"]),
        ("a**b", ["ab", "axxb"], ["a/b"]),
        ("a/foo**/bar", ["a/foo/bar", "a/foox/y/bar"], ["a/fo/bar"]),
        ("?", ["a", "x/b"], ["é", "ab"]),
        ("[!a-c]x", ["dx", "-x"], ["ax", "x"]),
        ("[]a]x", ["]x", "ax"], ["bx"]),
        ("x/a[!b]c", ["x/adc"], ["x/abc", "x/a/c"]),
        ("[[:space:]]x", ["\tx"], ["\vx"]),
        ("a\0b", ["a"], ["b", "ab"]),
        ("[[:digit:]_]x", ["0x", "_x"], ["ax"]),
        ("[[:nonsense:]]\n[a\nx\\", [], ["a", "[a", "x", "x\\"]),
        ("\\#a\n\\!b\n\\*", ["#a", "!b", "*"], ["a", "b", "x"]),
        ("# a\n#b", [], ["# a", "#b"]),
        ("a \nb\\ \nc\t", ["a", "b ", "c\t"], ["a ", "b", "c"]),
        ("a\r\nb\r\n", ["a", "b"], ["a\r"]),
        ("*\n!*.c", ["a.h", "x/a.c"], ["a.c"]),
        ("*\n!*/\n!*.c", ["a.h", "x/a.h"], ["a.c", "x/a.c"]),
        ("a\n!a\na", ["a"], []),
        ("\n/\n//\n!\n \n", [], ["a", "x/a"]),
    ],
)
def test_pattern_means_what_git_says(source: str, ignored: list[str], kept: list[str]) -> None:
    rules = IgnoreRules(source.encode())
    assert [path for path in ignored + kept if excluded(rules, path.encode())] == ignored


def test_pattern_with_a_slash_at_its_end_ignores_directories_only() -> None:
    rules = IgnoreRules(b"build/\n!keep/\n")
    assert rules.excludes(b"build", b"build", True)
    assert not rules.excludes(b"build", b"build", False)


def test_inner_file_wins_over_the_one_around_it() -> None:
    outer = IgnoreRules(b"*.log\n*.tmp\n")
    inner = IgnoreRules(b"!*.log\n", len(b"sub/"), outer)
    assert not inner.excludes(b"a.log", b"sub/a.log", False)
    assert inner.excludes(b"a.tmp", b"sub/a.tmp", False)


def test_anchored_pattern_of_an_inner_file_is_relative_to_its_directory() -> None:
    rules = IgnoreRules(b"/out\n", len(b"sub/"), IgnoreRules())
    assert rules.excludes(b"out", b"sub/out", False)
    assert not rules.excludes(b"out", b"sub/x/out", False)


def test_more_patterns_than_one_expression_holds_still_obey_their_order() -> None:
    wild = b"".join(b"*%d?\n" % number for number in range(1000))
    rules = IgnoreRules(wild + b"!*7?\n" + wild.replace(b"*", b"z*"))
    assert rules.excludes(b"a996x", b"a996x", False)
    assert not rules.excludes(b"a997x", b"a997x", False)
    assert rules.excludes(b"za997x", b"za997x", False)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (b"*a" * 60 + b"b", b"a" * 255),
        (b"*[ab]" * 60 + b"c", b"a" * 255),
        (b"*?" * 100 + b"b", b"a" * 255),
        (b"**/a/" * 60 + b"b", b"a/" * 2000 + b"c"),
        (b"**/*a*/" * 60 + b"b", b"aa/" * 1300 + b"c"),
    ],
)
def test_hostile_pattern_does_not_take_exponential_time(pattern: bytes, path: bytes) -> None:
    assert not IgnoreRules(pattern).excludes(path.rpartition(b"/")[2], path, False)

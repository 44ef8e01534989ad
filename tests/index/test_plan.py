from __future__ import annotations

import os
from pathlib import Path

import pytest

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.errors import PathError
from flyweight.index.plan import PlannedFile, plan
from flyweight.index.walk import Skipped


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the git configuration of whoever runs the tests stays out."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def entries(root: Path) -> dict[str, str]:
    return {
        entry.path: entry.language if isinstance(entry, PlannedFile) else f"skipped: {entry.reason}"
        for entry in plan(str(root))
    }


def test_files_are_judged_by_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main\n")
    (tmp_path / "script").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "blob.c").write_bytes(b"\0\1\2" * 100)
    (tmp_path / "blank.py").write_text("  \n\n")
    (tmp_path / "app.min.js").write_text("x")
    (tmp_path / "link.py").symlink_to("main.go")
    assert entries(tmp_path) == {
        "app.min.js": "skipped: minified",
        "blank.py": "skipped: empty",
        "blob.c": "skipped: binary",
        "link.py": "skipped: symlink",
        "main.go": "go",
        "script": "bash",
    }


def test_the_plan_is_what_indexing_then_does(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    for path, data in {
        "a.py": b"def a():\n    return 1\n",
        "b/c.rs": b"fn c() {}\n",
        "b/latin.txt": "caf\xe9\n".encode("latin-1"),
        "b/utf16.txt": "text".encode("utf-16"),
        "deep/x/y/z.h": b"#pragma once\n",
        "empty.md": b"",
        "ignored.log": b"x",
        "large.py": b"x = 1\n" * 200_000,
        "noise.c": bytes(range(256)) * 40,
        ".flyweightignore": b"*.log\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    planned = list(plan(str(root)))
    skipped: dict[str, int] = {}
    for entry in planned:
        if isinstance(entry, Skipped):
            skipped[entry.reason] = skipped.get(entry.reason, 0) + 1
    with SemanticSearchEngine(SearchConfig(index_path=tmp_path / "index")) as engine:
        stats = engine.index(root)
        languages = {hit.path: hit.language for hit in engine.search("a c fn def text", limit=100)}
    assert stats.files == len(planned) - sum(skipped.values())
    assert stats.skipped == skipped
    assert len(skipped) == 5
    assert languages.items() <= {e.path: e.language for e in planned if isinstance(e, PlannedFile)}.items()


def test_files_are_read_one_after_the_other_as_the_plan_is_taken(tmp_path: Path) -> None:
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).write_text("x = 1\n")
    taken = plan(str(tmp_path))
    assert next(taken).path == "a.py"
    (tmp_path / "b.py").unlink()
    left = [(entry.path, getattr(entry, "reason", None)) for entry in taken]
    assert ("c.py", None) in left
    assert ("b.py", None) not in left


def test_a_file_replaced_by_a_fifo_or_a_link_after_the_walk_is_not_opened(tmp_path: Path) -> None:
    # The walk has made its listing when the first entry comes; the others are exchanged after that.
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).write_text("x = 1\n")
    taken = plan(str(tmp_path))
    next(taken)
    (tmp_path / "b.py").unlink()
    os.mkfifo(tmp_path / "b.py")
    (tmp_path / "c.py").unlink()
    (tmp_path / "c.py").symlink_to("/etc/passwd")
    assert [getattr(entry, "reason", None) for entry in taken] == ["special file", "symlink"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text("x = 1\n")
    (tmp_path / "secret.py").chmod(0)
    assert entries(tmp_path) == {"secret.py": "skipped: unreadable"}


def test_a_single_file_is_planned_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main\n")
    assert entries(tmp_path / "main.go") == {"main.go": "go"}


def test_a_root_that_is_not_there_is_said_before_anything_is_yielded(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="does not exist"):
        plan(str(tmp_path / "nowhere"))

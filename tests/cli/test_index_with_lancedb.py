"""`flyweight index --store lancedb:...`: where the index is, is remembered beside the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lancedb")

from command_process import Run

from flyweight.store.pointer import read_pointer


def test_later_runs_follow_the_pointer_until_segments_are_asked_for(project: Path, run: Run) -> None:
    place = f"lancedb:{project / 'db'}"  # in the tree: it is not taken for source
    first = run("index", "--store", "lancedb:db", cwd=project)
    assert first.returncode == 0, first.stderr
    assert f"  index: {place}, which {project / '.flyweight'} points to, " in first.stdout
    assert " in the store's own" in first.stdout
    assert not (project / ".flyweight/manifest").exists()
    assert read_pointer(str(project / ".flyweight")) == (place, {})
    (project / "new.py").write_text("def newcomer():\n    return 1\n")
    assert "  1 added, 4 unchanged" in run("index", cwd=project).stdout
    assert not (project / ".flyweight/manifest").exists()
    assert "  5 added, 0 unchanged" in run("index", "--store", "segments", cwd=project).stdout
    assert read_pointer(str(project / ".flyweight")) is None
    assert (project / ".flyweight/manifest").exists()


def test_a_table_of_nothing_binds_nobody(project: Path, run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    store = f"lancedb:{tmp_path / 'db'}"
    assert run("index", str(empty), "--store", store, "--dimensions", "128", cwd=project).returncode == 0
    taken = run("index", "--store", store, cwd=project)
    assert taken.returncode == 0, taken.stderr
    assert "  5 added, 0 unchanged" in taken.stdout or "  4 added, 0 unchanged" in taken.stdout

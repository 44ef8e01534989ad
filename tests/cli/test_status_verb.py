from __future__ import annotations

import json
import os
from pathlib import Path

from command_process import Run

from flyweight.index.lock import WriterLock
from flyweight.index.manifest import read_manifest, write_manifest


def test_status_says_what_the_index_holds(shared_project: Path, run: Run) -> None:
    outcome = run("status", cwd=shared_project / "bank")
    assert outcome.returncode == 0
    rows = dict(line.split(maxsplit=1) for line in outcome.stdout.splitlines())
    assert rows["tree"] == str(shared_project)
    assert rows["holds"].startswith("4 files (")
    assert "1 python" in rows["languages"] and "1 rust" in rows["languages"]
    assert rows["embedder"].endswith(", 256 dimensions")
    assert rows["state"] == "complete"


def test_json_has_the_same_in_numbers(shared_project: Path, run: Run) -> None:
    status = json.loads(run("status", "--json", cwd=shared_project).stdout)
    manifest = read_manifest(str(shared_project / ".flyweight"))
    assert status["root"] == str(shared_project)
    assert status["files"] == 4
    assert status["chunks"] == manifest.live_chunks > 0
    assert (status["languages"]["python"], status["languages"]["rust"]) == (1, 1)
    assert status["generation"] == manifest.generation
    assert (status["complete"], status["writer"], status["dead_share"]) == (True, None, 0)


def test_files_that_died_are_not_counted(indexed_project: Path, run: Run) -> None:
    (indexed_project / "net/retry.rs").unlink()
    assert run("index", cwd=indexed_project).returncode == 0
    status = json.loads(run("status", "--json", cwd=indexed_project).stdout)
    assert status["files"] == 3
    assert "rust" not in status["languages"]


def test_a_live_writer_is_named(indexed_project: Path, run: Run) -> None:
    lock = WriterLock(str(indexed_project / ".flyweight"))
    try:
        assert f"being written by process {os.getpid()}" in run("status", cwd=indexed_project).stdout
    finally:
        lock.release()
    assert json.loads(run("status", "--json", cwd=indexed_project).stdout)["writer"] is None


def test_an_interrupted_index_says_how_to_go_on(indexed_project: Path, run: Run) -> None:
    index = str(indexed_project / ".flyweight")
    manifest = read_manifest(index)
    manifest.complete = False
    write_manifest(index, manifest)
    assert "incomplete: 'flyweight index' goes on" in run("status", cwd=indexed_project).stdout


def test_without_an_index_status_says_how_to_make_one(tmp_path: Path, run: Run) -> None:
    outcome = run("status", cwd=tmp_path)
    assert outcome.returncode == 2
    assert "run 'flyweight index'" in outcome.stderr

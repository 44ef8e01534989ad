from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from command_process import COMMAND, Run, environment
from sample_project import LEDGER

from flyweight import cli
from flyweight.index.lock import WriterLock


def test_a_first_run_says_what_was_indexed_and_what_was_not(project: Path, run: Run) -> None:
    outcome = run("index", cwd=project)
    assert outcome.returncode == 0
    assert outcome.stderr == ""
    summary = outcome.stdout.splitlines()
    assert summary[0].startswith(f"{project}: 4 files, ")
    assert "  4 added, 0 unchanged" in summary
    assert "  skipped: 1 binary extension, 1 ignored, 1 index directory" in summary
    assert summary[-1].startswith(f"  index: {project / '.flyweight'}, ")


def test_a_second_run_says_that_nothing_has_changed(indexed_project: Path, run: Run) -> None:
    assert "  nothing has changed" in run("index", cwd=indexed_project).stdout


def test_changes_are_counted(indexed_project: Path, run: Run) -> None:
    (indexed_project / "README.md").unlink()
    (indexed_project / "bank/ledger.py").write_text(LEDGER + "\nAUDITED = True\n")
    (indexed_project / "bank/audit.py").write_text("def audit(ledger):\n    return ledger.balances\n")
    assert "  1 added, 1 changed, 1 removed, 2 unchanged" in run("index", cwd=indexed_project).stdout


def test_json_is_one_object_with_the_statistics(project: Path, run: Run) -> None:
    stats = json.loads(run("index", "--json", cwd=project).stdout)
    assert (stats["root"], stats["index"], stats["store"]) == (str(project), str(project / ".flyweight"), "segments")
    assert (stats["files"], stats["added"], stats["interrupted"]) == (4, 4, False)
    assert stats["skipped"] == {"binary extension": 1, "ignored": 1, "index directory": 1}
    assert stats["size_bytes"] == sum(file.stat().st_size for file in (project / ".flyweight").iterdir())


def test_quiet_prints_nothing(project: Path, run: Run) -> None:
    outcome = run("index", "--quiet", cwd=project)
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")
    assert (project / ".flyweight/manifest").exists()


def test_the_index_may_lie_elsewhere(project: Path, tmp_path: Path, run: Run) -> None:
    assert run("index", str(project), "--index", "idx", cwd=tmp_path).returncode == 0
    assert (tmp_path / "idx/manifest").exists()
    assert not (project / ".flyweight").exists()
    assert run("search", "ledger", "--index", "idx", cwd=tmp_path).returncode == 0


def test_a_tree_reached_through_a_link_is_the_same_tree(indexed_project: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "link").symlink_to(indexed_project)
    assert "nothing has changed" in run("index", "link", cwd=tmp_path).stdout


def test_dimensions_are_remembered(project: Path, run: Run) -> None:
    assert run("index", "--dimensions", "64", cwd=project).returncode == 0
    assert "nothing has changed" in run("index", cwd=project).stdout
    assert json.loads(run("status", "--json", cwd=project).stdout)["dimensions"] == 64


def test_other_dimensions_need_a_rebuild(indexed_project: Path, run: Run) -> None:
    refused = run("index", "--dimensions", "128", cwd=indexed_project)
    assert refused.returncode == 2
    assert "--rebuild" in refused.stderr
    assert run("index", "--dimensions", "128", "--rebuild", cwd=indexed_project).returncode == 0


def test_a_rebuild_reads_every_file_again(indexed_project: Path, run: Run) -> None:
    assert "  4 added, 0 unchanged" in run("index", "--rebuild", cwd=indexed_project).stdout


def test_an_empty_tree_says_how_to_find_out_why(tmp_path: Path, run: Run) -> None:
    outcome = run("index", cwd=tmp_path)
    assert outcome.returncode == 0
    assert f"{tmp_path}: 0 files, 0 chunks" in outcome.stdout
    assert "'flyweight index --dry-run' says why" in outcome.stdout


def test_a_nested_run_points_out_the_enclosing_index(indexed_project: Path, run: Run) -> None:
    outcome = run("index", cwd=indexed_project / "bank")
    assert outcome.returncode == 0
    assert outcome.stderr.startswith(f"note: {indexed_project} has an index already")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "does not exist"),
        (["README.md"], "it is a file; name the directory it is in"),
        (["--memory-budget", "lots"], "'lots' is not a size: write a number with K, M or G, such as 64M"),
        (["--memory-budget", "1M"], "--memory-budget must be 48M or more"),
        (["--dimensions", "100"], "makes 256 or 128 or 64 dimensions, not 100"),
        (["--dimensions", "0"], "0 is not in the range"),
        (["--embedder", "tytan"], "unknown embedder 'tytan'"),
        (["--embedder", "titan", "--dimensions", "100"], "makes 1024 or 512 or 256 dimensions, not 100"),
        (["--embedder", "titan", "--embedder-option", "colour=red"], "unknown option 'colour'"),
        (["--embedder", "titan", "--embedder-option", "proxy"], "--embedder-option is NAME=VALUE, not 'proxy'"),
        (["--region", "us-east-1"], "unknown option 'region' of the static embedder"),
        (["--store", "sqlite"], "not 'sqlite'"),
        (["--store", "segments", "--store-option", "table=x"], "leave out table"),
        (["--max-requests", "0"], "0 is not in the range"),
        (["--workers", "0"], "0 is not in the range"),
        (["--index", "README.md"], "README.md"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_reason(
    arguments: list[str], complaint: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    outcome = CliRunner().invoke(cli._verbs, ["index", *arguments])
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert complaint in outcome.stderr


def test_a_second_writer_is_told_who_is_first(indexed_project: Path, run: Run) -> None:
    lock = WriterLock(str(indexed_project / ".flyweight"))
    try:
        outcome = run("index", cwd=indexed_project)
    finally:
        lock.release()
    assert outcome.returncode == 2
    assert f"is being written by process {os.getpid()}" in outcome.stderr


def test_a_dry_run_lists_every_entry_and_leaves_no_trace(project: Path, run: Run) -> None:
    outcome = run("index", "--dry-run", cwd=project)
    listed = [line.split(maxsplit=2) for line in outcome.stdout.partition("\n\n")[0].splitlines()]
    assert ["index", "python", "bank/ledger.py"] in listed
    assert ["index", "rust", "net/retry.rs"] in listed
    assert ["skip", "ignored", "target/"] in listed
    assert f"{project}: 4 files to index" in outcome.stdout
    assert not (project / ".flyweight").exists()


def test_a_dry_run_as_json_is_one_object_a_line(project: Path, run: Run) -> None:
    *entries, last = map(json.loads, run("index", "--dry-run", "--json", cwd=project).stdout.splitlines())
    assert {"path": "bank/ledger.py", "language": "python", "size_bytes": len(LEDGER)} in entries
    assert {"path": "target/", "skipped": "ignored"} in entries
    assert last["totals"]["files"] == sum("language" in entry for entry in entries) == 4
    assert last["totals"]["skipped"] == {"binary extension": 1, "ignored": 1}


@pytest.fixture
def large_project(tmp_path: Path) -> Path:
    """Enough work for a signal to arrive in the middle of it."""
    root = tmp_path / "large"
    root.mkdir()
    for number in range(1500):
        functions = (f"def step_{number}_{i}(value):\n    return value * {number} + {i}\n\n\n" for i in range(60))
        (root / f"module_{number}.py").write_text("".join(functions))
    return root


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_what_is_indexed_usable(
    number: signal.Signals, status: int, large_project: Path, run: Run
) -> None:
    index = large_project / ".flyweight"
    process = subprocess.Popen(
        [*COMMAND, "index"],
        cwd=large_project,
        env=environment(large_project),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not list(index.glob("*.segment*")) and not list(index.glob("spill-*")):
        time.sleep(0.01)  # until a worker has begun to write
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == status
    assert "Traceback" not in errors
    if number == signal.SIGINT:
        assert "chunks can be searched already; 'flyweight index' goes on from there" in errors
    found = run("search", "step value", "--no-text", cwd=large_project)
    assert found.returncode == 0
    assert "note: this index is incomplete" in found.stderr
    stats = json.loads(run("index", "--json", cwd=large_project).stdout)
    assert stats["files"] == 1500
    assert 0 < stats["unchanged"] < 1500, "the second run begins where the first one ended"


def test_where_the_index_cannot_be_written_another_place_is_named(project: Path, tmp_path: Path, run: Run) -> None:
    (project / ".flyweight").write_text("somebody's notes")
    outcome = run("index", cwd=project)
    assert outcome.returncode == 2
    assert outcome.stderr == (
        f"flyweight: cannot write to {project}/.flyweight: File exists; --index DIR keeps the index elsewhere\n"
    )
    assert run("index", "--index", str(tmp_path / "elsewhere"), cwd=project).returncode == 0

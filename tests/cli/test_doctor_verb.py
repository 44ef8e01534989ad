from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from command_process import Run


def segment_of(index: Path) -> Path:
    (segment,) = index.glob("*.segment")
    return segment


def remedies(report: str) -> list[str]:
    return re.findall(r"-> run: (flyweight index.*)", report)


def test_a_sound_index_is_called_so(shared_project: Path, run: Run) -> None:
    outcome = run("doctor", cwd=shared_project)
    assert outcome.returncode == 0
    assert outcome.stdout.endswith("The index is sound.\n")
    assert "->" not in outcome.stdout


def truncate(index: Path) -> None:
    segment = segment_of(index)
    segment.write_bytes(segment.read_bytes()[:-100])


def damage_code(index: Path) -> None:
    segment = segment_of(index)
    segment.write_bytes(segment.read_bytes().replace(b'("overdrawn")', b'("overdrown")'))


def damage_manifest(index: Path) -> None:
    manifest = index / "manifest"
    manifest.write_bytes(manifest.read_bytes().replace(b"complete 1", b"complete 0"))


def age_manifest(index: Path) -> None:
    manifest = index / "manifest"
    manifest.write_bytes(manifest.read_bytes().replace(b"flyweight-manifest 1", b"flyweight-manifest 99"))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda index: segment_of(index).unlink(), "is missing"),
        (truncate, ".segment"),
        (lambda index: segment_of(index).write_bytes(b""), ".segment"),
        (damage_code, "has damaged text"),
        (damage_manifest, "is damaged"),
        (age_manifest, "format 99"),
        (lambda index: (index / "manifest").unlink(), "no index at"),
    ],
    ids=[
        "missing segment",
        "cut segment",
        "empty segment",
        "altered code",
        "altered manifest",
        "format",
        "no manifest",
    ],
)
def test_each_damage_is_found_and_its_remedy_mends_it(
    damage: object, complaint: str, indexed_project: Path, run: Run
) -> None:
    assert callable(damage)
    damage(indexed_project / ".flyweight")
    outcome = run("doctor", cwd=indexed_project)
    assert outcome.returncode == 1
    assert complaint in outcome.stdout
    assert "The index is not sound: 1 thing is wrong." in outcome.stdout
    (remedy,) = remedies(outcome.stdout)
    assert run(*shlex.split(remedy)[1:], cwd=indexed_project).returncode == 0
    assert run("doctor", cwd=indexed_project).returncode == 0
    assert run("search", "overdrawn", "-k", "1", "--no-text", cwd=indexed_project).stdout.startswith("bank/ledger.py:")


@pytest.mark.parametrize("verb", ["status", "search"])
def test_other_verbs_send_a_damaged_index_to_the_doctor(verb: str, indexed_project: Path, run: Run) -> None:
    truncate(indexed_project / ".flyweight")
    outcome = run(verb, *(["ledger"] if verb == "search" else []), cwd=indexed_project)
    assert outcome.returncode == 2
    assert outcome.stderr.endswith("run 'flyweight doctor'\n")


def test_a_remedy_names_tree_and_index_where_they_are_not_obvious(project: Path, tmp_path: Path, run: Run) -> None:
    assert run("index", str(project), "--index", "my index", cwd=tmp_path).returncode == 0
    segment_of(tmp_path / "my index").unlink()
    outcome = run("doctor", "--index", "my index", cwd=tmp_path)
    (remedy,) = remedies(outcome.stdout)
    assert shlex.split(remedy) == ["flyweight", "index", str(project), "--index", str(tmp_path / "my index")]
    assert run(*shlex.split(remedy)[1:], cwd=tmp_path).returncode == 0
    assert run("doctor", "--index", "my index", cwd=tmp_path).returncode == 0


def test_notes_alone_leave_an_index_sound(indexed_project: Path, run: Run) -> None:
    (indexed_project / ".flyweight/0123-1.segment").write_bytes(b"half")
    (indexed_project / ".flyweight/shopping.txt").write_text("milk")
    outcome = run("doctor", cwd=indexed_project)
    assert outcome.returncode == 0
    assert "left by a run that was killed" in outcome.stdout
    assert "'shopping.txt' in the index directory" in outcome.stdout
    assert run("index", cwd=indexed_project).returncode == 0
    assert "killed" not in run("doctor", cwd=indexed_project).stdout
    assert (indexed_project / ".flyweight/shopping.txt").exists()


def test_json_has_the_findings(indexed_project: Path, run: Run) -> None:
    damage_code(indexed_project / ".flyweight")
    outcome = run("doctor", "--json", cwd=indexed_project)
    report = json.loads(outcome.stdout)
    assert (outcome.returncode, report["sound"]) == (1, False)
    assert (report["index"], report["store"]) == (str(indexed_project / ".flyweight"), "segments")
    (problem,) = [finding for finding in report["findings"] if finding["status"] == "problem"]
    assert problem["check"] == "segment"
    assert problem["remedy"] == "run: flyweight index --rebuild"


def test_where_there_is_no_index_at_all_the_doctor_says_so(tmp_path: Path, run: Run) -> None:
    outcome = run("doctor", cwd=tmp_path)
    assert outcome.returncode == 2
    assert "there is no index" in outcome.stderr

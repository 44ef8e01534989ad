from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks import evaluation_set
from benchmarks.evaluation_set import Unavailable
from benchmarks.ranking_metrics import Target


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.invalid")
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("x = 1\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


@pytest.fixture
def location(tmp_path: Path, origin: Path) -> Path:
    base = tmp_path / "eval" / "code-search-dev"
    (base / "annotations").mkdir(parents=True)
    listed = [
        {
            "name": "tiny",
            "language": "python",
            "url": str(origin),
            "revision": git(origin, "rev-parse", "HEAD"),
            "benchmark_root": "src",
        }
    ]
    (base / "repos.json").write_text(json.dumps(listed))
    questions = [
        {
            "query": "what is x",
            "relevant": ["src/a.py", {"path": "src/b.py", "start_line": 3, "end_line": 9}],
            "secondary": ["src/c.py", "src/a.py"],
            "category": "semantic",
        }
    ]
    (base / "annotations" / "tiny.json").write_text(json.dumps(questions))
    return tmp_path / "eval"


def test_targets_are_the_union_of_relevant_and_secondary_each_once(location: Path) -> None:
    (repository,) = evaluation_set.load_repositories(location)
    assert repository.questions[0].targets == (
        Target("src/a.py"),
        Target("src/b.py", 3, 9),
        Target("src/c.py"),
    )


def test_a_path_in_the_index_is_told_relative_to_the_checkout(location: Path) -> None:
    (repository,) = evaluation_set.load_repositories(location)
    assert repository.path_in_checkout("deep/a.py") == "src/deep/a.py"


def test_a_repository_without_a_clone_is_cloned_at_its_revision(location: Path, tmp_path: Path) -> None:
    (repository,) = evaluation_set.load_repositories(location)
    root = evaluation_set.checkout(repository, None, tmp_path / "work")
    assert (root / "a.py").read_text() == "x = 1\n"


def test_a_clone_at_another_revision_is_refused(location: Path, tmp_path: Path, origin: Path) -> None:
    (repository,) = evaluation_set.load_repositories(location)
    clone = tmp_path / "clones" / "tiny"
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    git(clone, "commit", "--quiet", "--allow-empty", "-m", "second")
    with pytest.raises(Unavailable, match="not at the pinned"):
        evaluation_set.checkout(repository, tmp_path / "clones", tmp_path / "work")


def test_a_clone_that_cannot_be_made_is_told_with_the_way_out(location: Path, tmp_path: Path) -> None:
    listed = json.loads((location / "code-search-dev" / "repos.json").read_text())
    listed[0]["url"] = str(tmp_path / "nowhere")
    (location / "code-search-dev" / "repos.json").write_text(json.dumps(listed))
    (repository,) = evaluation_set.load_repositories(location)
    with pytest.raises(Unavailable, match="pass --repos DIR"):
        evaluation_set.checkout(repository, None, tmp_path / "work")


def test_a_missing_evaluation_set_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="pass --eval DIR"):
        evaluation_set.load_repositories(tmp_path)

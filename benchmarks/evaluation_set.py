"""Queries with known answers: the nine repositories of code-search-dev, and the functions of cosqa-dev.

The sets live outside this repository, in ``../shared/eval`` unless ``--eval DIR`` says otherwise; their own
README defines the scores.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ranking_metrics import Target

DEFAULT_LOCATION = Path(__file__).resolve().parents[2] / "shared" / "eval"
_CLONE_TIMEOUT_S = 300


class Unavailable(Exception):
    """Something a benchmark needs is not on this machine; the message says what and how to supply it."""


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    category: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the evaluation set; ``subfolder`` ('' for all of it) is what gets indexed."""

    name: str
    language: str
    url: str
    revision: str
    subfolder: str
    questions: tuple[Question, ...]

    def path_in_checkout(self, path_in_index: str) -> str:
        return f"{self.subfolder}/{path_in_index}" if self.subfolder else path_in_index


def load_repositories(location: Path) -> list[Repository]:
    """The repositories of ``location``/code-search-dev and their questions.  Raises Unavailable without."""
    base = location / "code-search-dev"
    try:
        listed = json.loads((base / "repos.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise Unavailable(f"no evaluation set at {base} ({error.strerror}): pass --eval DIR") from error
    repositories = []
    for entry in listed:
        annotations = json.loads((base / "annotations" / f"{entry['name']}.json").read_text(encoding="utf-8"))
        repositories.append(
            Repository(
                name=entry["name"],
                language=entry["language"],
                url=entry["url"],
                revision=entry["revision"],
                subfolder=entry.get("benchmark_root", ""),
                questions=tuple(_question(annotation) for annotation in annotations),
            )
        )
    return repositories


def _question(annotation: dict[str, Any]) -> Question:
    answers = [*annotation["relevant"], *annotation.get("secondary", [])]
    targets = dict.fromkeys(_target(answer) for answer in answers)
    return Question(annotation["query"], annotation.get("category", ""), tuple(targets))


def _target(answer: str | dict[str, Any]) -> Target:
    if isinstance(answer, str):
        return Target(answer)
    return Target(answer["path"], answer.get("start_line"), answer.get("end_line"))


def checkout(repository: Repository, clones: Path | None, work: Path) -> Path:
    """The folder to index: from ``clones`` if it holds the repository, else freshly cloned below ``work``.

    Raises Unavailable when there is no clone, when a clone is not at the pinned revision, or when cloning
    fails.
    """
    if clones is not None and (clones / repository.name).is_dir():
        location = clones / repository.name
        found = _git(location, "rev-parse", "HEAD")
        if found is not None and found != repository.revision:
            raise Unavailable(
                f"{location} is at {found[:12]}, not at the pinned {repository.revision[:12]}: check it out"
            )
    else:
        location = work / "repositories" / repository.name
        if _git(location, "rev-parse", "HEAD") != repository.revision:
            _clone(repository, location)
    root = location / repository.subfolder
    if not root.is_dir():
        raise Unavailable(f"{root} does not exist: is {location} a full checkout?")
    return root


def _clone(repository: Repository, location: Path) -> None:
    location.mkdir(parents=True, exist_ok=True)
    commands = (
        ["init", "--quiet"],
        ["fetch", "--quiet", "--depth", "1", repository.url, repository.revision],
        ["-c", "advice.detachedHead=false", "checkout", "--quiet", "FETCH_HEAD"],
    )
    for command in commands:
        try:
            done = subprocess.run(
                ["git", "-C", str(location), *command],
                capture_output=True,
                text=True,
                timeout=_CLONE_TIMEOUT_S,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"cannot clone {repository.url}: {error}; pass --repos DIR") from error
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Unavailable(f"cannot clone {repository.url}: {reason}; pass --repos DIR")


def _git(location: Path, *arguments: str) -> str | None:
    if not (location / ".git").exists():
        return None
    done = subprocess.run(["git", "-C", str(location), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


@dataclass(frozen=True, slots=True)
class FunctionQueries:
    """cosqa-dev: each query has one right function, an index into ``functions``."""

    functions: list[str]
    queries: list[tuple[str, int]]


def load_functions(location: Path) -> FunctionQueries:
    """The functions and queries of ``location``/cosqa-dev.  Raises Unavailable without the set."""
    base = location / "cosqa-dev"
    try:
        functions = json.loads((base / "codes.json").read_text(encoding="utf-8"))
        queries = json.loads((base / "queries.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise Unavailable(f"no evaluation set at {base} ({error.strerror}): pass --eval DIR") from error
    return FunctionQueries(functions, [(entry["query"], entry["retrieval_idx"]) for entry in queries])

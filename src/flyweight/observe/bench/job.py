"""The job that is measured: some files of one language, and queries."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from flyweight.errors import ConfigError, PathError
from flyweight.index.language_names import canonical, suggestions
from flyweight.index.plan import PlannedFile, plan

# Those of the report this project starts from.
QUERIES = ("async function", "error handling", "memory allocation", "vector search", "database connection")
DEFAULT_FILES = 10
DEFAULT_LANGUAGE = "rust"


@dataclass(frozen=True, slots=True)
class Job:
    """Files (relative path and size, largest first) below `root`, all of one language, and what is asked."""

    root: str
    language: str
    files: tuple[tuple[str, int], ...]
    queries: tuple[str, ...]

    @property
    def source_bytes(self) -> int:
        return sum(size for _, size in self.files)

    def copy_to(self, directory: Path) -> Path:
        """A tree of only these files. Raises PathError when one has gone meanwhile."""
        for name, _ in self.files:
            place = directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(os.path.join(self.root, name), place)
            except OSError as error:
                raise PathError(f"cannot read {os.path.join(self.root, name)}: {error.strerror}") from None
        return directory

    def to_dict(self) -> dict[str, object]:
        return {
            "root": self.root,
            "language": self.language,
            "files": [{"path": name, "size_bytes": size} for name, size in self.files],
            "source_bytes": self.source_bytes,
            "queries": list(self.queries),
        }


def job_of(
    path: str, files: int = DEFAULT_FILES, language: str = DEFAULT_LANGUAGE, queries: tuple[str, ...] = QUERIES
) -> Job:
    """The `files` largest files of `language` below `path`, chosen among those that would be indexed.

    Raises PathError when there is no such directory or it holds fewer such files, ConfigError for an unknown language.
    """
    name = canonical(language)
    if name is None:
        meant = suggestions(language)
        hint = f"did you mean {' or '.join(meant)}?" if meant else "'flyweight index --dry-run' names those of a tree"
        raise ConfigError(f"unknown language {language!r}: {hint}")
    root = os.path.abspath(path)
    if not os.path.isdir(root):
        raise PathError(f"{path} is not a directory: name one that holds {files} or more {name} files")
    held: dict[str, int] = {}
    found: list[tuple[int, str]] = []
    for entry in plan(root):
        if isinstance(entry, PlannedFile):
            held[entry.language] = held.get(entry.language, 0) + 1
            if entry.language == name:
                found.append((entry.size_bytes, entry.path))
    if len(found) < files:
        raise PathError(f"{root} holds {len(found)} {name} files, {files} are needed: {_way_out(found, held)}")
    found.sort(key=lambda entry: (-entry[0], entry[1]))
    return Job(root, name, tuple((path, size) for size, path in found[:files]), queries)


def _way_out(found: list[tuple[int, str]], held: dict[str, int]) -> str:
    if found:
        return f"name another PATH, or say --files {len(found)}"
    if not held:
        return "name a PATH with source code"
    most = max(held, key=lambda language: held[language])
    return f"name another PATH, or say --language {most} ({held[most]} files)"

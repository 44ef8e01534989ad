"""What a benchmark run was asked to do, and where it may keep what it builds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.corpus import default_roots
from benchmarks.evaluation_set import DEFAULT_LOCATION

REPOSITORY_ROOT = Path(__file__).resolve().parents[1]
# Outside the repository: an ignore rule of ours must not decide what is found in a measured tree.
DEFAULT_WORK = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flyweight-benchmarks"
DEFAULT_PEERS_PYTHON = REPOSITORY_ROOT / ".venv-peers" / "bin" / "python"


@dataclass(slots=True)
class Settings:
    """``work`` keeps trees, indexes and clones between runs; ``clones`` are checkouts the user has."""

    work: Path
    console: Console
    clones: Path | None = None
    evaluation_data: Path = DEFAULT_LOCATION
    peers_python: Path | None = None
    peer_model: Path | None = None
    corpora: tuple[Path, ...] = ()
    rust_files: Path | None = None
    quick: bool = False

    def folder(self, name: str) -> Path:
        """A folder below ``work``, created if need be."""
        path = self.work / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def code_roots(self) -> list[Path]:
        """Where code for a tree is taken from: what the user named, then what every machine has some of."""
        named = list(self.corpora)
        if self.clones is not None:
            named += sorted(path for path in self.clones.iterdir() if path.is_dir())
        return [*named, *default_roots()]

    def say(self, message: str) -> None:
        self.console.print(f"[dim]{message}[/]")

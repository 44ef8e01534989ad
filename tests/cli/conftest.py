from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from command_process import Run, run_flyweight
from sample_project import plant


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs `flyweight` in a process of its own, with a home that holds nothing."""
    home = tmp_path_factory.mktemp("home")

    def run(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_flyweight(*arguments, cwd=cwd, home=home, **variables)

    return run


@pytest.fixture(scope="session")
def shared_project(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """An indexed project that no test may change."""
    root = plant(tmp_path_factory.mktemp("shared") / "bank")
    assert run("index", cwd=root).returncode == 0
    return root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of the test's own, not indexed."""
    return plant(tmp_path / "bank")


@pytest.fixture
def indexed_project(project: Path, run: Run) -> Path:
    """A project of the test's own, indexed."""
    assert run("index", cwd=project).returncode == 0
    return project

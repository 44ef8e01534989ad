"""Fixtures shared by the tests: a private environment, source trees, and one index built for all who only read."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from source_tree import SourceTree

from flyweight import IndexStats, SearchConfig, SemanticSearchEngine
from flyweight.embed.static import StaticEmbedder
from flyweight.index.build import build
from flyweight.index.request import BuildRequest

# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

# Removing and syncing files takes milliseconds on some disks; where there is a file system in memory, it is used.
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def pytest_configure(config: pytest.Config) -> None:
    # From Python 3.12 on; it counts the kernel's threads, and one that was joined may be among them a moment longer.
    config.addinivalue_line("filterwarnings", "ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(autouse=True, scope="session")
def plain_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests may have ignore rules of their own; they stay out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for name in ("XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def interrupts() -> None:
    """What a shell runs in the background ignores interrupts, under nohup hang-ups too; so would all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A directory as `tmp_path`, in memory where possible."""
    directory = tempfile.mkdtemp(dir=_MEMORY, prefix="flyweight-test-")
    yield Path(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def scratch_path() -> Iterator[Path]:
    """A directory in memory for tests that draw many examples: what one leaves, the next overwrites."""
    directory = tempfile.mkdtemp(dir=_MEMORY, prefix="flyweight-test-")
    yield Path(directory)
    shutil.rmtree(directory)


@pytest.fixture
def tree(memory_path: Path) -> SourceTree:
    """An empty source tree."""
    return SourceTree(memory_path / "code")


@pytest.fixture
def index_path(memory_path: Path) -> Path:
    return memory_path / "index"


@pytest.fixture
def build_index(index_path: Path) -> Callable[..., IndexStats]:
    """Builds an index of a tree from this process: no interpreter to start, otherwise as `engine.index` does."""

    def run(tree: SourceTree, *, dimensions: int = 64, rebuild: bool = False) -> IndexStats:
        request = BuildRequest(
            str(tree.root), str(index_path), batch_size=32, memory_budget=1 << 30, rebuild=rebuild, workers=2
        )
        return build(request, StaticEmbedder(dimensions), lambda progress: None)

    return run


@pytest.fixture
def indexed(tree: SourceTree, build_index: Callable[..., IndexStats]) -> SourceTree:
    """A tree of 40 files that has been indexed."""
    tree.grow(40)
    build_index(tree)
    return tree


@pytest.fixture(scope="session")
def shared_tree() -> Iterator[SourceTree]:
    """A tree of 150 files in five languages, and a few files with names and contents to look for. Not to be changed."""
    directory = tempfile.mkdtemp(dir=_MEMORY, prefix="flyweight-test-")
    tree = SourceTree(Path(directory) / "code", seed=11)
    tree.grow(150)
    tree.write("net/backoff.py", "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)\n")
    tree.write("net/backoff.rs", "pub fn wait_with_backoff(attempt: u32) -> u64 {\n    2u64.pow(attempt)\n}\n")
    tree.write("web/backoff.ts", "export function waitWithBackoff(attempt: number) {\n  return 2 ** attempt;\n}\n")
    tree.write(
        "db/pool.go", "package db\n\n// Acquire hands out a database connection.\nfunc Acquire() int { return 1 }\n"
    )
    yield tree
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def shared_index(shared_tree: SourceTree) -> str:
    """The path of an index of `shared_tree`, built by `engine.index`. Not to be changed."""
    path = str(shared_tree.root.parent / "index")
    with SemanticSearchEngine(SearchConfig(index_path=path)) as engine:
        stats = engine.index(shared_tree.root)
    assert stats.files == len(shared_tree.files)
    return path


@pytest.fixture
def engine(shared_index: str) -> Iterator[SemanticSearchEngine]:
    """An engine over `shared_index`, its cache empty."""
    with SemanticSearchEngine(SearchConfig(index_path=shared_index)) as engine:
        yield engine

"""Kill -9 of the builder at many moments. FLYWEIGHT_KILLS sets how many (default 200)."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from types import FrameType

import pytest
from index_contents import expected_chunks, live_files, served_chunks
from small_segments import SmallSegmentsWorker
from source_tree import SourceTree

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.embed.static import StaticEmbedder
from flyweight.errors import IndexLockedError, IndexMissingError
from flyweight.index import build as building
from flyweight.index import team
from flyweight.index.__main__ import main
from flyweight.index.manifest import MANIFEST_NAME
from flyweight.index.request import BuildRequest
from flyweight.index.stats import IndexStats

KILLS = int(os.environ.get("FLYWEIGHT_KILLS", "200"))
FILES = 120
MEMORY_BUDGET = 1 << 30  # these builders are forked from a test run, which is larger than they should be
# The steps of the coordinator, by function, and how often a run may begin each. Half of the kills follow one of them,
# the other half the clock.
STEPS = {
    "_previous_manifest": 1,
    "_remove_strays": 2,
    "_scan": 1,
    "_index": 1,
    "publish": 6,
    "write_manifest": 6,
    "_merge": 1,
}


class Moment:
    """When a builder dies: after a share of a usual run's time, or some calls after it has begun a step."""

    def __init__(self, draw: random.Random, step: str) -> None:
        self.step = step
        self.share = 1.1 * draw.random()
        self.beginning = draw.randint(1, STEPS.get(step, 1))
        # Much of what matters happens within the first few calls of a step, some of it hundreds of calls on.
        self.call = draw.choice((int(10 ** (3 * draw.random())), draw.randrange(250)))

    def arm(self) -> None:
        """Has this process kill its group at the moment, where that is a call."""
        if not self.step:
            return
        os.register_at_fork(after_in_child=lambda: sys.setprofile(None))
        sys.setprofile(self._count)

    def _count(self, frame: FrameType, event: str, argument: object) -> None:
        if self.beginning > 0:
            self.beginning -= event == "call" and frame.f_code.co_name == self.step
            return
        self.call -= 1
        if self.call < 0:
            os.killpg(0, signal.SIGKILL)


class Builds:
    """Builder processes over one tree and one index, forked from here so that none has to start an interpreter."""

    def __init__(self, tree: SourceTree, index_path: Path) -> None:
        self._tree = tree
        self._index_path = index_path

    def start(self, moment: Moment | None = None, *, rebuild: bool = False) -> int:
        """Returns the process id; the builder and its workers are a process group."""
        pid = os.fork()
        if pid:
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.setpgid(pid, pid)  # both do it, so that it is done before either goes on
            return pid
        status = 1
        try:
            os.setpgid(0, 0)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            building._PUBLISH_EVERY_S = 0.0  # with many segments, so that kills fall between many states
            team.Worker = SmallSegmentsWorker  # type: ignore[misc]
            if moment is not None:
                moment.arm()
            settings: dict[str, object] = {
                "root": str(self._tree.root),
                "index_path": str(self._index_path),
                "embedder": {"spec": "static", "dimensions": "64"},
                "store": "segments",
                "store_options": {},
                "batch_size": 32,
                "memory_budget": MEMORY_BUDGET,
                "rebuild": rebuild,
                "workers": 2,
            }
            status = main(settings)
        finally:
            os._exit(status)

    def complete(self) -> IndexStats:
        """A run to the end, once the killed one's workers are gone."""
        request = BuildRequest(
            str(self._tree.root), str(self._index_path), batch_size=32, memory_budget=MEMORY_BUDGET, workers=2
        )
        for _ in range(200):
            try:
                return building.build(request, StaticEmbedder(64), lambda progress: None)
            except IndexLockedError:
                time.sleep(0.01)
        raise AssertionError("the lock of a killed builder is still held")


def check_index(index_path: Path, tree: SourceTree, *, was_there: bool) -> None:
    """The index is whole, can be searched, and serves no file as it never was."""
    engine = SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=64, cache_size=0))
    try:
        files = live_files(index_path)
    except IndexMissingError:
        assert not was_there, "the kill took the index away"
        with pytest.raises(IndexMissingError):
            engine.search("record")
        return
    versions = {(path, blake2b(data, digest_size=16).digest()): data for path, data in tree.versions}
    for path, entry in files.items():
        data = versions.get((path, entry.content_hash))
        assert data is not None, f"{path} is served as it never was"
        assert Counter(entry.texts) == Counter(text for _, text in expected_chunks({path: data}).elements())
    for hit in engine.search("record writer journal", limit=5):
        assert hit.text.encode() in files[hit.path].texts
    engine.close()


@pytest.fixture
def builds(tree: SourceTree, index_path: Path) -> Builds:
    return Builds(tree, index_path)


def test_a_builder_killed_at_any_moment_leaves_a_valid_index(
    tree: SourceTree, index_path: Path, builds: Builds
) -> None:
    draw = random.Random(2)
    tree.grow(FILES)
    duration = 0.1
    killed = 0
    for tries in range(100 * KILLS):
        moment = Moment(draw, draw.choice(list(STEPS)) if tries % 2 else "")
        # A quarter are first builds, an eighth rebuilds; the others find an index and a changed tree.
        first = draw.random() < 0.25
        if first:
            shutil.rmtree(index_path, ignore_errors=True)
        tree.change(draw.randrange(1, 25))
        was_there = (index_path / MANIFEST_NAME).exists()
        started = time.monotonic()
        pid = builds.start(moment, rebuild=draw.random() < 0.125)
        if not moment.step:
            time.sleep(moment.share * duration)
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            assert os.waitstatus_to_exitcode(status) == 0
            duration = 0.7 * duration + 0.3 * (time.monotonic() - started)
        else:
            killed += 1
        check_index(index_path, tree, was_there=was_there)
        if draw.random() < 0.7:  # at other times the next kill meets what this one left
            stats = builds.complete()
            assert served_chunks(index_path) == expected_chunks(tree.files)
            assert stats.chunks == expected_chunks(tree.files).total()
        if killed == KILLS:
            break
    assert killed == KILLS
    builds.complete()
    assert served_chunks(index_path) == expected_chunks(tree.files)
    names = {name for name in os.listdir(index_path) if name.endswith(".segment")}
    assert len(names) <= 6, "leftovers of killed builds were not removed"


def alive_in_group(group: int) -> list[int]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            if int(fields[2]) == group and fields[0] != b"Z":
                found.append(int(pid))
    return found


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_workers_of_a_killed_coordinator_end_and_lock_nobody_out(
    tree: SourceTree, index_path: Path, builds: Builds, share: float
) -> None:
    """What the kernel does when memory runs out: it kills one process, not a group."""
    tree.grow(FILES)
    pid = builds.start()
    while 0 < len(alive_in_group(pid)) < 3:
        time.sleep(0.001)
    time.sleep(share * 0.1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    check_index(index_path, tree, was_there=False)
    deadline = time.monotonic() + 120
    while alive_in_group(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert alive_in_group(pid) == []
    builds.complete()
    assert served_chunks(index_path) == expected_chunks(tree.files)

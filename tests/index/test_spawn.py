from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bare_process import run_script
from hypothesis import given
from hypothesis import strategies as st
from index_contents import expected_chunks, served_chunks
from source_tree import SourceTree

from flyweight import IndexProgress, SearchConfig, SemanticSearchEngine
from flyweight.errors import BuildError, ConfigError, PathError
from flyweight.index.manifest import read_manifest
from flyweight.index.spawn import escape, run_builder, unescape


def engine_for(index_path: Path) -> SemanticSearchEngine:
    return SemanticSearchEngine(SearchConfig(index_path=index_path))


def children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as listing:
        return [int(pid) for pid in listing.read().split()]


@given(st.text("\\\t\n\rtn ab\udcff", max_size=12))
def test_a_field_survives_the_way_through_a_line(text: str) -> None:
    assert unescape(escape(text)) == text
    assert not set("\t\n\r") & set(escape(text))


def test_indexing_happens_in_a_child_that_is_gone_afterwards(tree: SourceTree, index_path: Path) -> None:
    tree.grow(30)
    seen: list[IndexProgress] = []
    builders: set[int] = set()

    def note(progress: IndexProgress) -> None:
        seen.append(progress)
        builders.update(children())

    stats = engine_for(index_path).index(tree.root, progress=note)
    assert (stats.files, stats.added, stats.interrupted) == (30, 30, False)
    assert len(builders) == 1
    assert children() == []
    assert {progress.phase for progress in seen} >= {"index"}
    assert all(isinstance(progress.seconds, float) for progress in seen)
    assert served_chunks(index_path) == expected_chunks(tree.files)


def test_statistics_arrive_whole(tree: SourceTree, index_path: Path) -> None:
    tree.grow(10)
    tree.write("x.dat", b"\0" * 30)
    with engine_for(index_path) as engine:
        first = engine.index(tree.root)
        tree.remove(sorted(tree.files)[0])
        second = engine.index(tree.root)
    assert first.skipped == {"binary": 1}
    assert (second.removed, second.unchanged, second.skipped) == (1, 9, {"binary": 1})
    assert second.generation > first.generation
    assert set(second.as_dict()) >= {"files", "chunks", "skipped", "seconds"}
    assert "files=9" in repr(second)


def test_paths_with_any_characters_reach_the_builder(memory_path: Path) -> None:
    tree = SourceTree(memory_path / "root=a b\n\té\udcff\\n")
    tree.write("dir\nwith\ttab/na=me \udcfe.py", "def strange_place():\n    return 1\n")
    with engine_for(memory_path / "index=1 \n\udcfd") as engine:
        assert engine.index(tree.root).files == 1
        hit = engine.search("strange place")[0]
        assert hit.path == "dir\nwith\ttab/na=me \udcfe.py"
        assert engine.index(tree.root).unchanged == 1


def test_settings_that_no_pipe_holds_are_refused(tree: SourceTree, index_path: Path) -> None:
    gc.collect()  # what others left is not let go of meanwhile
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConfigError, match="more than a pipe holds"):
        run_builder(
            root=str(tree.root),
            index_path=str(index_path),
            embedder={"spec": "static", "dimensions": "64", "option.note": "x" * (1 << 20)},
            batch_size=32,
            memory_budget=64 << 20,
            rebuild=False,
            workers=1,
            progress=None,
        )
    assert os.listdir("/proc/self/fd") == before
    assert children() == []


def test_errors_arrive_with_their_class_and_message(tree: SourceTree, index_path: Path) -> None:
    missing = str(tree.root) + "/not\there\n"
    with pytest.raises(PathError) as caught:
        engine_for(index_path).index(missing)
    assert repr(missing) in str(caught.value)


def test_an_error_in_the_callback_stops_the_builder_and_is_raised(tree: SourceTree, index_path: Path) -> None:
    tree.grow(100)

    def fail(progress: IndexProgress) -> None:
        raise ZeroDivisionError("in the callback")

    with engine_for(index_path) as engine:
        with pytest.raises(ZeroDivisionError, match="in the callback"):
            engine.index(tree.root, progress=fail)
        assert children() == []
        assert engine.index(tree.root).files == 100


def test_a_killed_builder_is_reported_and_the_next_run_goes_on(tree: SourceTree, index_path: Path) -> None:
    tree.grow(200)

    def kill(progress: IndexProgress) -> None:
        for pid in children():
            os.kill(pid, signal.SIGKILL)

    with engine_for(index_path) as engine:
        with pytest.raises(BuildError, match=r"signal 9.*run again"):
            engine.index(tree.root, progress=kill)
        assert engine.index(tree.root).files == 200
    assert served_chunks(index_path) == expected_chunks(tree.files)


INTERRUPTED = """
import os, signal, sys
from flyweight import SearchConfig, SemanticSearchEngine

def interrupt(progress):
    if progress.phase == "index" and not sent:
        sent.append(True)
        os.kill(os.getpid(), signal.SIGINT)

sent = []
with SemanticSearchEngine(SearchConfig(index_path=sys.argv[2])) as engine:
    try:
        engine.index(sys.argv[1], progress=interrupt)
    except KeyboardInterrupt:
        print("interrupted")
    print(len(engine.search("record")) > 0 or "nothing yet")
"""


def test_an_interrupt_leaves_a_usable_index(tree: SourceTree, index_path: Path) -> None:
    tree.grow(150)
    with engine_for(index_path) as engine:
        engine.index(tree.root)
        for path in list(tree.files)[:60]:
            tree.write(path, tree.code(path.rsplit(".", 1)[1]))
        assert run_script(INTERRUPTED, tree.root, index_path).split("\n")[:2] == ["interrupted", "True"]
        assert engine.search("record")
        engine.index(tree.root)
    assert served_chunks(index_path) == expected_chunks(tree.files)
    assert read_manifest(str(index_path)).complete


EARLY = """
import sys, time
from flyweight import SearchConfig, SemanticSearchEngine
with SemanticSearchEngine(SearchConfig(index_path=sys.argv[2])) as engine:
    try:
        print("ready", flush=True)
        engine.index(sys.argv[1])
        while True:  # the interrupt comes after the build
            time.sleep(0.05)
    except KeyboardInterrupt:
        pass
"""


def test_an_interrupt_at_any_moment_ends_the_builder_without_a_word(tree: SourceTree, index_path: Path) -> None:
    """While its interpreter starts, while it imports, while it works."""
    tree.grow(150)
    for number in range(12):
        command = [sys.executable, "-c", EARLY, str(tree.root), str(index_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(number * 0.03)
        process.send_signal(signal.SIGINT)
        try:
            _, error = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            # Python drops an interrupt that arrives in a callback of its import system's weak references, and says so.
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=300)
        assert error == b"" or error.startswith(b"Exception ignored in: <function _WeakValueDictionary"), error.decode()
        assert process.returncode == 0
    engine_for(index_path).index(tree.root)
    assert served_chunks(index_path) == expected_chunks(tree.files)


STUCK = """
import os, signal, sys, threading, time
from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.index import spawn

workers, passed_on = [], []
pass_on = spawn._signal
spawn._signal = lambda pid: (pass_on(pid), passed_on.append(pid))

def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as listing:
        return [int(child) for child in listing.read().split()]

def has_heard(pid):
    # Of two signals that wait, a process sees one. It waits for its workers again, and no signal waits for it.
    with open(f"/proc/{pid}/status") as status:
        fields = {name: value.strip() for name, _, value in (line.partition(":") for line in status)}
    waiting = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
    return fields["State"].startswith("S") and not waiting >> signal.SIGINT - 1 & 1

def end_workers():
    for worker in workers:
        try:
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:
            pass

def interrupt():
    while not (builders := children(os.getpid())) or len(children(builders[0])) < 2:
        time.sleep(0.001)
    workers.extend(children(builders[0]))
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGINT)
    while not passed_on or not has_heard(builders[0]):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(100)
    print("still waiting", flush=True)
    end_workers()

threading.Thread(target=interrupt, daemon=True).start()
try:
    with SemanticSearchEngine(SearchConfig(index_path=sys.argv[2])) as engine:
        engine.index(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
finally:
    end_workers()
"""


def test_a_second_interrupt_does_not_wait_for_workers_that_are_stuck(tree: SourceTree, index_path: Path) -> None:
    tree.grow(2000)
    assert run_script(STUCK, tree.root, index_path) == "interrupted\n"


def test_ctrl_c_from_a_terminal_reaches_builder_and_workers_and_all_end(tree: SourceTree, index_path: Path) -> None:
    """A terminal signals the whole foreground group; the builder runs in a group of its own."""
    tree.grow(400)
    script = (
        "import sys\nfrom flyweight import SearchConfig, SemanticSearchEngine\n"
        "SemanticSearchEngine(SearchConfig(index_path=sys.argv[2])).index("
        "sys.argv[1], progress=lambda progress: print(progress.phase, flush=True))"
    )
    command = [sys.executable, "-c", script, str(tree.root), str(index_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0)
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode in (0, -signal.SIGINT, 1)
    assert b"flyweight/index/build.py" not in error, "a traceback from inside the builder"
    engine_for(index_path).index(tree.root)
    assert served_chunks(index_path) == expected_chunks(tree.files)


def test_a_parent_that_dies_takes_no_index_with_it(tree: SourceTree, index_path: Path) -> None:
    tree.grow(200)
    script = (
        "import os, sys\nfrom flyweight import SearchConfig, SemanticSearchEngine\n"
        "SemanticSearchEngine(SearchConfig(index_path=sys.argv[2])).index("
        "sys.argv[1], progress=lambda progress: os.kill(os.getpid(), 9))"
    )
    command = [sys.executable, "-c", script, str(tree.root), str(index_path)]
    outcome = subprocess.run(command, stderr=subprocess.PIPE)  # until the orphan, too, has closed its end
    assert outcome.returncode == -signal.SIGKILL
    assert outcome.stderr == b""
    for _ in range(100):  # the orphaned builder may still be at work
        try:
            engine_for(index_path).index(tree.root)
            break
        except Exception as error:
            assert "being written by process" in str(error)
    assert served_chunks(index_path) == expected_chunks(tree.files)


def test_modules_in_the_current_directory_are_not_taken_for_ours(
    tree: SourceTree, index_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.grow(3)
    for name in ("flyweight", "tempfile", "signal", "tree_sitter"):
        (tree.root / f"{name}.py").write_text("raise SystemExit('a stranger was imported')\n")
    monkeypatch.chdir(tree.root)
    assert engine_for(index_path).index(".").files == 7


def test_a_relative_path_means_the_same_after_a_change_of_directory(
    tree: SourceTree, memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.grow(3)
    monkeypatch.chdir(memory_path)
    with SemanticSearchEngine(SearchConfig(index_path="index")) as engine:
        engine.index("code")
        monkeypatch.chdir(tree.root)
        assert engine.index(tree.root).unchanged == 3
        assert engine.search("record") is not None
    assert (memory_path / "index" / "manifest").exists()


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_can_be_set(tree: SourceTree, index_path: Path, workers: int) -> None:
    tree.grow(20)
    assert engine_for(index_path).index(tree.root, workers=workers).files == 20


@pytest.mark.parametrize("workers", [-1, 1.5, "two", 10**9, True, None])
def test_a_senseless_number_of_workers_is_refused(
    tree: SourceTree, index_path: Path, workers: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.grow(2)
    monkeypatch.setattr(os, "posix_spawn", lambda *arguments, **settings: pytest.fail("a builder was started"))
    with pytest.raises(ConfigError, match="workers"):
        engine_for(index_path).index(tree.root, workers=workers)  # type: ignore[arg-type]

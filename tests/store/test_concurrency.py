"""LanceDB tables under several readers, a dying writer and a second one."""

from __future__ import annotations

import os
import random
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from source_tree import SourceTree
from store.lance_index import LanceIndex
from store.table_peek import TablePeek

from flyweight.errors import StoreError
from flyweight.store.lancedb import writer
from flyweight.store.lancedb.writer import LanceStore

pytestmark = pytest.mark.skipif(find_spec("lancedb") is None, reason="lancedb is not installed")

KILLS = int(os.environ.get("FLYWEIGHT_KILLS", "200")) // 60


@pytest.fixture
def index(tree: SourceTree, memory_path: Path, peek: TablePeek) -> LanceIndex:
    tree.grow(30)
    return LanceIndex(tree, memory_path, peek)


def change(index: LanceIndex, draw: random.Random) -> None:
    for path in draw.sample(sorted(index.tree.files), 6):
        index.tree.remove(path) if draw.random() < 0.3 else index.tree.write(path, index.tree.code("py"))
    index.tree.grow(4)


def test_readers_see_whole_states_only_while_a_writer_goes_on(index: LanceIndex) -> None:
    index.build()
    index.watch()
    draw = random.Random(3)
    for number in range(3):
        change(index, draw)
        index.build(rebuild=number == 1)
    seen = index.unwatch()
    assert seen["broken"] == []
    assert seen["states"] >= 1
    index.check()


def test_a_killed_build_leaves_a_whole_table_and_the_next_one_completes_it(index: LanceIndex) -> None:
    index.build()
    started = time.monotonic()
    draw = random.Random(7)
    change(index, draw)
    index.build()
    usual_s = time.monotonic() - started
    index.watch()
    for _ in range(KILLS):
        change(index, draw)
        builder = os.fork()
        if builder == 0:
            try:
                index.build()
            finally:
                os._exit(0)
        time.sleep(draw.random() * usual_s)
        os.kill(builder, signal.SIGKILL)
        os.waitpid(builder, 0)
    assert index.unwatch()["broken"] == []
    index.build()
    index.check()
    assert not [name for name in os.listdir(index.index_path) if name.startswith("pieces-")]


def test_a_store_process_that_dies_is_an_error_that_says_how_to_go_on(
    index: LanceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.build()
    take = LanceStore.take

    def killed_first(store: LanceStore, *piece: object) -> None:
        assert store._process is not None
        os.kill(store._process.pid, signal.SIGKILL)
        take(store, *piece)  # type: ignore[arg-type]
        store._settle(0)

    monkeypatch.setattr(LanceStore, "take", killed_first)
    change(index, random.Random(1))
    with pytest.raises(StoreError, match="was ended by signal 9: what it had committed stands; run again"):
        index.build()
    monkeypatch.undo()
    index.build()
    index.check()


def test_settings_reach_the_store_process_on_no_command_line(
    index: LanceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage options hold keys; a command line is for everybody to read."""
    commands = []
    spawn = os.posix_spawn

    def noted(path: str, command: list[str], environment: dict[str, str], **more: object) -> int:
        commands.append((command, environment))
        return spawn(path, command, environment, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(writer.os, "posix_spawn", noted)
    index.options = {"aws_secret_access_key": "very-secret"}
    index.build()
    assert commands
    assert all("very-secret" not in repr(part) for part in commands)
    assert "very-secret" not in (index.index_path / "store").read_text()

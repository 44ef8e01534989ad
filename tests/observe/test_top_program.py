"""Programs that `flyweight top` starts itself."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyweight.errors import PathError
from flyweight.memory.page_path import DIRECTORY_VARIABLE, page_path
from flyweight.observe.top.processes import Processes
from flyweight.observe.top.program import Program, understood
from flyweight.observe.top.summary import state_remarks
from tests.observe.made_page import wait_until


@pytest.fixture(autouse=True)
def own_directory(memory_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages of these tests only."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(memory_path))
    return memory_path


@pytest.fixture
def script(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "shop.py"
    path.write_text("print('open')\n")
    yield str(path)


def test_a_script_needs_no_interpreter_before_it(script: str) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for words in ([script, "-x"], ["python", script, "-x"], ["python3", script, "-x"], [version, script, "-x"]):
        line = understood(words)
        assert (line.flags, line.kind, line.program) == ((), "script", (script, "-x"))
    assert understood([sys.executable, script]).program == (script,)


def test_a_program_that_ended_at_once_is_named_and_what_it_said_is_pointed_at(script: str) -> None:
    with Program(understood([script])) as program:
        wait_until(lambda: program.exit_status() is not None)
        processes = Processes(program=program)
        processes.take(processes.look())
        (watched,) = processes.all
        assert watched.name == "shop.py"
        (remark,) = state_remarks(watched)
    assert remark.text == ("ended with exit status 0 before its memory could be seen; the key o shows what it printed")


def test_a_program_is_named_as_its_kind_is() -> None:
    assert understood(["python", "-X", "dev", "-m", "http.server", "80"]).name == "http.server"
    assert understood(["-c", "print(1)"]).name == "python -c"


def test_flags_of_the_interpreter_go_to_it(script: str) -> None:
    line = understood(["python", "-X", "dev", "-B", script, "-X", "mine"])
    assert (line.flags, line.program) == (("-X", "dev", "-B"), (script, "-X", "mine"))


def test_modules_and_code_are_known_by_their_flags() -> None:
    assert understood(["python", "-m", "http.server", "-b"]).kind == "module"
    line = understood(["-c", "print(1)", "-m"])
    assert (line.kind, line.program) == ("code", ("print(1)", "-m"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.py"], "there is no nowhere.py; to watch a module say -m"),
        (["python"], "there is no program in 'python'"),
        (["python", "-m"], "there is no program"),
        (["python2.7", "x.py"], "not in python2.7: leave python2.7 out"),
        (["/opt/other/bin/python3", "x.py"], "not in /opt/other/bin/python3"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_way_out(words: list[str], said: str) -> None:
    with pytest.raises(PathError, match=said):
        understood(words)


def test_output_and_exit_status_are_those_of_the_program(tmp_path: Path) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(4)"
    with Program(understood(["-c", code])) as program:
        wait_until(lambda: program.exit_status() is not None)
        assert program.exit_status() == 4
        assert sorted(program.output().split()) == ["err", "out"]
        with open(tmp_path / "copy", "wb") as file:
            program.copy_output(file.fileno())
    assert sorted((tmp_path / "copy").read_text().split()) == ["err", "out"]
    assert program.own_status() == 4


def test_a_program_that_ignores_interrupts_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyweight.observe.top.program._PATIENCE_S", 0.2)
    code = """
import signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: None)
print(1, flush=True)
while True:
    time.sleep(1)
"""
    with Program(understood(["-c", code])) as program:
        wait_until(program.output)
    assert program.exit_status() == 128 + 9
    assert program.own_status() == 0


def test_its_recorded_children_are_watched_and_others_are_not(own_directory: Path) -> None:
    forks = """
import os, time
parent, child = os.getpid(), os.fork()
while True:
    kept = [bytes(1000) for _ in range(1000)]
    time.sleep(0.05)
    if child == 0 and os.getppid() != parent:
        os._exit(0)
"""

    def both() -> bool:
        processes.take(processes.look())
        return len(processes.all) == 2 and all(watched.page is not None for watched in processes.all)

    with Program(understood(["-c", "import time; time.sleep(600)"])) as stranger:
        wait_until(lambda: os.path.exists(page_path(stranger.pid)))
        with Program(understood(["-c", forks])) as program:
            processes = Processes(program=program)
            wait_until(both)
            first, second = processes.all
            os.kill(second.pid, signal.SIGKILL)
            assert first.pid == program.pid
            assert second.pid not in (program.pid, stranger.pid)

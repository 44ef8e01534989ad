"""`flyweight top` as a command: one picture for scripts, refusals, and the dashboard on a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_process import COMMAND, Run, environment

from flyweight.memory.page_path import DIRECTORY_VARIABLE

RECORDED = """
import sys
from flyweight import memory, _memory
memory.start()
def hoard():
    for number in range(500):
        kept[number] = bytes(10_000)
kept = [None] * 500
hoard()
_memory.tick()
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def recorded(directory: Path) -> Iterator[int]:
    """A recorded process that holds 500 blocks of 10,033 bytes."""
    variables = {**os.environ, DIRECTORY_VARIABLE: str(directory)}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", RECORDED], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_once_prints_a_picture(run: Run, tmp_path: Path, directory: Path, recorded: int) -> None:
    shown = run("top", "--once", cwd=tmp_path, FLYWEIGHT_RUNTIME_DIR=str(directory))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"(process {recorded})" in shown.stdout
    assert re.search(r" 5\.0 MB +50\d .*<string>:7 hoard", shown.stdout)
    assert "\x1b" not in shown.stdout


def test_once_json_prints_a_line_for_each_process(run: Run, tmp_path: Path, directory: Path, recorded: int) -> None:
    shown = run("top", "--once", "--json", str(recorded), cwd=tmp_path, FLYWEIGHT_RUNTIME_DIR=str(directory))
    (line,) = shown.stdout.splitlines()
    found = json.loads(line)
    assert found["pid"] == recorded
    assert found["page"]["sites"][0]["live_bytes"] == 500 * 10_033
    assert found["private_bytes"] > 5_000_000


def test_nothing_recorded_is_said_and_is_no_success(run: Run, tmp_path: Path) -> None:
    shown = run("top", "--once", cwd=tmp_path, FLYWEIGHT_RUNTIME_DIR=str(tmp_path))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "flyweight run" in shown.stderr


def test_a_process_that_publishes_nothing_is_told_how_to(run: Run, tmp_path: Path) -> None:
    shown = run("top", "--once", str(os.getpid()), cwd=tmp_path, FLYWEIGHT_RUNTIME_DIR=str(tmp_path))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "publishes no memory figures" in shown.stderr and "flyweight run" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["4194304"], "there is no process 4194304"),
        (["--json"], "--json goes with --once"),
        (["--no-native"], "--no-native is for a program"),
        (["--once", "--", "x.py"], "--once shows what runs already"),
        (["--interval", "0"], "--interval"),
        (["--sort", "size"], "--sort"),
        ([], "needs a terminal"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(run: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    shown = run("top", *arguments, cwd=tmp_path)
    assert shown.returncode == 2 and said in shown.stderr and "Traceback" not in shown.stderr


def test_without_textual_the_dashboard_says_how_to_get_it(run: Run, tmp_path: Path, directory: Path) -> None:
    """-S -I would hide Flyweight too; a finder that knows no textual hides only that."""
    hiding = "import sys; sys.modules['textual'] = None; sys.argv = ['flyweight', *sys.argv[1:]]\n"
    command = [sys.executable, "-c", f"{hiding}from flyweight.cli import main\nmain()", "top"]
    variables = {**environment(tmp_path), DIRECTORY_VARIABLE: str(directory)}
    shown = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
    assert shown.returncode == 2
    assert shown.stderr.count("\n") == 1 and "pip install 'flyweight[top]'" in shown.stderr
    shown = subprocess.run([*command, "--once"], env=variables, capture_output=True, text=True, timeout=300)
    assert "textual" not in shown.stderr


def test_help_names_what_it_does(run: Run, tmp_path: Path) -> None:
    shown = run("top", "--help", cwd=tmp_path)
    for said in ("flyweight top -- python app.py", "--once", "q quits"):
        assert said in shown.stdout


class Terminal:
    """A terminal of 100 by 30 with the command on it."""

    def __init__(self, *arguments: str, home: Path, **variables: str) -> None:
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.settings = termios.tcgetattr(self.theirs)
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**environment(home), **variables},
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
        )
        self.shown = b""

    def until(self, said: str) -> None:
        """Reads until something has been shown."""
        while said.encode() not in self.shown:
            if select.select([self.ours], [], [], 60.0)[0]:
                self.shown += os.read(self.ours, 65536)
            else:
                raise AssertionError(f"{said!r} was not shown: {self.shown[-2000:]!r}")

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def end(self) -> int:
        while self.process.poll() is None:
            if select.select([self.ours], [], [], 0.05)[0]:
                self.shown += os.read(self.ours, 65536)
        while select.select([self.ours], [], [], 0)[0]:
            self.shown += os.read(self.ours, 65536)
        return self.process.returncode

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


def test_the_dashboard_draws_and_leaves_the_terminal_as_it_was(tmp_path: Path, directory: Path, recorded: int) -> None:
    with Terminal("top", str(recorded), home=tmp_path, FLYWEIGHT_RUNTIME_DIR=str(directory)) as terminal:
        terminal.until("hoard")
        assert b"\x1b[?1049h" in terminal.shown, "a screen of its own"
        terminal.type("q")
        assert terminal.end() == 0
        assert terminal.shown.rindex(b"\x1b[?1049l") > terminal.shown.rindex(b"\x1b[?1049h")
        assert b"\x1b[?25h" in terminal.shown, "the cursor is back"
        assert termios.tcgetattr(terminal.theirs) == terminal.settings
    assert os.path.exists(f"/proc/{recorded}")


def test_a_program_is_started_watched_and_ended_and_its_output_shown(tmp_path: Path, directory: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text(
        "import time\nprint('said at ' + 'once', flush=True)\nkept = bytearray(9_000_000)\ntime.sleep(600)\n"
    )
    with Terminal("top", "--", str(script), home=tmp_path, FLYWEIGHT_RUNTIME_DIR=str(directory)) as terminal:
        terminal.until("9.0 MB")
        terminal.type("q")
        terminal.until("leave it running")
        terminal.type("q")
        assert terminal.end() == 0
        assert b"said at once" in terminal.shown.rpartition(b"\x1b[?1049l")[2]


def test_when_it_is_terminated_it_ends_its_program_and_restores_the_terminal(tmp_path: Path, directory: Path) -> None:
    words = ("-c", "import time; kept = bytearray(9_000_000); time.sleep(600)")
    with Terminal("top", "--", *words, home=tmp_path, FLYWEIGHT_RUNTIME_DIR=str(directory)) as terminal:
        terminal.until("9.0 MB")
        children = Path(f"/proc/{terminal.process.pid}/task/{terminal.process.pid}/children").read_text().split()
        terminal.process.terminate()
        terminal.end()
        assert b"\x1b[?1049l" in terminal.shown
        assert termios.tcgetattr(terminal.theirs) == terminal.settings
        assert children and not any(os.path.exists(f"/proc/{child}") for child in children)


def test_a_program_that_ends_gives_its_exit_status(tmp_path: Path, directory: Path) -> None:
    with Terminal(
        "top", "--", "-c", "raise SystemExit(7)", home=tmp_path, FLYWEIGHT_RUNTIME_DIR=str(directory)
    ) as terminal:
        terminal.until("exit status 7")
        terminal.type("q")
        assert terminal.end() == 7

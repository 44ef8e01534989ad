"""A program that `flyweight top` starts itself: recorded, silent on the terminal, and ended when asked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from flyweight.errors import FlyweightError, PathError, TrackingError
from flyweight.memory.interpreter import refusal
from flyweight.memory.run_settings import CODE, MODULE, SCRIPT, RunSettings
from flyweight.observe.top.process_files import short_name

_PYTHON = re.compile(r"python[0-9.]*")
_PATIENCE_S = 3.0
_MOST_SHOWN = 256 * 1024
_FLAGS_WITH_VALUE = ("-X", "-W")


@dataclass(frozen=True)
class ProgramLine:
    """A command line, understood: flags for the interpreter, what kind of program, the program and its arguments."""

    flags: tuple[str, ...]
    kind: str
    program: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the program is called in a list of processes."""
        flag = {MODULE: ["-m"], CODE: ["-c"]}.get(self.kind, [])
        return short_name(["python", *flag, *self.program])


def understood(words: Sequence[str]) -> ProgramLine:
    """A command line as after `flyweight top --`: with the interpreter or without.

    Raises PathError for a script that is not there and for another interpreter than the one Flyweight runs in.
    """
    rest = list(words)
    if rest and _PYTHON.fullmatch(os.path.basename(rest[0])):
        _check_interpreter(rest.pop(0))
    flags: list[str] = []
    kind = SCRIPT
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word in ("-m", "-c"):
            kind = MODULE if word == "-m" else CODE
            break
        flags.append(word)
        if word in _FLAGS_WITH_VALUE and rest:
            flags.append(rest.pop(0))
    if not rest:
        raise PathError(f"there is no program in {' '.join(words)!r}: write a script, or -m and a module")
    if kind == SCRIPT and not os.path.exists(rest[0]):
        raise PathError(f"there is no {rest[0]}; to watch a module say -m before it, to watch a process say its number")
    return ProgramLine(tuple(flags), kind, tuple(rest))


class Program:
    """A Python program under the profiler, as `flyweight run --quiet` has it. What it prints goes to a file.

    A context manager, which ends it unless it has been `left`.
    """

    def __init__(self, line: ProgramLine, native: bool = True) -> None:
        reason = refusal()
        if reason is not None:
            raise TrackingError(reason)
        settings = RunSettings(kind=line.kind, native=native, quiet=True)
        interpreter = [sys.executable, *subprocess._args_from_interpreter_flags(), *line.flags]  # type: ignore[attr-defined]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            # A group of its own: the terminal's interrupts are for the dashboard.
            self._process = subprocess.Popen(
                [*interpreter, *settings.command(list(line.program))],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        except OSError as error:
            raise FlyweightError(f"{sys.executable} cannot be started: {error.strerror}") from None
        self.pid = self._process.pid
        self.name = line.name
        self.left = False  # it shall go on when the dashboard has gone
        self._ended_here = False

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self.left:
            self.end()
        self._output.close()

    def exit_status(self) -> int | None:
        """Its exit status as a shell tells it; None while it runs."""
        status = self._process.poll()
        return status if status is None or status >= 0 else 128 - status

    def own_status(self) -> int:
        """What `flyweight top` ends with: the program's exit status, 0 when it was ended from here or goes on."""
        return 0 if self.left or self._ended_here else self.exit_status() or 0

    def output(self) -> str:
        """The last of what it has printed."""
        size = os.fstat(self._output.fileno()).st_size
        begin = max(0, size - _MOST_SHOWN)
        return os.pread(self._output.fileno(), size - begin, begin).decode("utf-8", "replace")

    def copy_output(self, descriptor: int) -> None:
        """Writes all it has printed to an open file."""
        offset = 0
        while piece := os.pread(self._output.fileno(), 1 << 16, offset):
            offset += len(piece)
            while piece:
                piece = piece[os.write(descriptor, piece) :]

    def end(self) -> None:
        """Interrupts it, as Ctrl-C would; if that does not help within seconds, it is terminated, then killed."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                return
            self._ended_here = True
            self._process.send_signal(number)
            try:
                # Nothing survives the last one; a busy machine may take its time.
                self._process.wait(_PATIENCE_S if number != signal.SIGKILL else None)
            except subprocess.TimeoutExpired:
                continue


def _check_interpreter(word: str) -> None:
    """A bare `python` is the interpreter that Flyweight is installed for; another version or place is refused."""
    if "/" in word:
        same = os.path.dirname(os.path.abspath(word)) == os.path.dirname(os.path.abspath(sys.executable))
    else:
        same = f"{sys.version_info.major}.{sys.version_info.minor}".startswith(word.removeprefix("python"))
    if not same:
        raise PathError(
            f"Flyweight runs in {sys.executable}, not in {word}: leave {word} out to run the program in that, or "
            f"install Flyweight there and type '{word} -m flyweight top -- ...'"
        )

"""A child process that answers each line with a line, so that it can be measured while it waits."""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from flyweight.observe import process_memory
from flyweight.observe.process_memory import Memory

_WAIT = "import sys; print(flush=True); sys.stdin.readline()"
_END_S = 30.0


class ProcessEnded(RuntimeError):
    """A child ended, or fell silent, where an answer was due; says how."""


class LineProcess:
    """A child process with line-wise pipes, ended by closing its standard input.

    keep_errors: hold back what the child writes to standard error and quote its last line when the child fails.
    timeout_s: how long an answer may take; None: for ever.
    """

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str] | None = None,
        *,
        directory: Path | None = None,
        keep_errors: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        self._errors: IO[bytes] | None = tempfile.TemporaryFile() if keep_errors else None  # noqa: SIM115 - closed with us
        self._timeout_s = timeout_s
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=directory,
            env=environment,
            text=True,
            bufsize=1,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def memory(self) -> Memory:
        return process_memory.of_process(self.pid)

    def close(self) -> None:
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass
        try:
            self._process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._errors is not None:
            self._errors.close()

    def tell(self, *fields: object) -> str:
        """Send one command, fields separated by tabs, and return the line that answers it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\t".join(str(field) for field in fields) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: the missing answer says how
        return self.answer()

    def answer(self) -> str:
        """The next line. Raises ProcessEnded when there is none."""
        assert self._process.stdout is not None
        # Each answer is one line and is read whole, so what is not yet in the pipe is not in a buffer either.
        if self._timeout_s is not None and not select.select([self._process.stdout], [], [], self._timeout_s)[0]:
            self._process.kill()
            raise ProcessEnded(f"no answer within {self._timeout_s:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise ProcessEnded(f"the measured process ended with status {self._process.wait()}{self._last_error()}")
        return line.rstrip("\n")

    def _last_error(self) -> str:
        if self._errors is None:
            return "; its error is above"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BareInterpreter(LineProcess):
    """``python -c pass`` that stays: it waits for a line that never comes.

    Memory is charged to a process over a bare interpreter alive at the same time: a page of the interpreter's own text
    is private while one process maps it and shared as soon as two do.
    """

    def __init__(self, python: str = sys.executable) -> None:
        super().__init__([python, "-P", "-c", _WAIT])
        self.answer()  # it has started

"""A child process that answers each line with a line, so that it can be measured while it waits."""

from __future__ import annotations

import subprocess
from types import TracebackType
from typing import Self

from benchmarks import process_memory
from benchmarks.process_memory import Memory


class LineProcess:
    """A child process with line-wise pipes, ended by closing its standard input."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, bufsize=1
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def memory(self) -> Memory:
        return process_memory.of_process(self.pid)

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def tell(self, *fields: object) -> str:
        """Send one command, fields separated by tabs, and return the line that answers it."""
        assert self._process.stdin is not None
        self._process.stdin.write("\t".join(str(field) for field in fields) + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the measured process ended with status {self._process.wait()}; its error is above")
        return line.rstrip("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

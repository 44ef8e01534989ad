"""A process that looks at LanceDB tables for tests: LanceDB's threads would spoil every fork of the test run."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from index_contents import Chunks

_PROGRAM = Path(__file__).with_name("table_peek_program.py")


class TablePeek:
    """Started at the first question."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def describe(self, uri: str | Path, options: dict[str, str] | None = None) -> dict[str, Any]:
        """version, fragments, versions, indexes (name -> rows it lacks), metadata, rows."""
        described: dict[str, Any] = self._ask("describe", str(uri), options)
        return described

    def watch(self, uri: str | Path, options: dict[str, str] | None = None) -> None:
        """Begins to read the table, in two threads, until `unwatch`."""
        self._ask("watch", str(uri), options)

    def unwatch(self) -> dict[str, Any]:
        """states: how many were seen. broken: those that were not whole, and how."""
        seen: dict[str, Any] = self._ask("unwatch")
        return seen

    def make_foreign(self, uri: str | Path) -> None:
        """A table of our name that is not ours."""
        self._ask("foreign", str(uri))

    def end(self) -> None:
        if self._process is not None:
            self._process.communicate(marshal.dumps(("end",)))

    def _ask(self, *message: Any) -> Any:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "LANCEDB_LOG": "off"},
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(marshal.dumps(message))
        self._process.stdin.flush()
        return marshal.load(self._process.stdout)


def path_of(row: dict[str, Any]) -> str:
    return os.fsdecode(row["raw_path"]) if row["raw_path"] is not None else str(row["path"])


def table_chunks(rows: list[dict[str, Any]]) -> Chunks:
    """(path, text) of every chunk row."""
    return Counter((path_of(row), row["text"]) for row in rows if row["ordinal"] >= 0)

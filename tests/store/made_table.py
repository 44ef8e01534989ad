"""LanceDB tables for the tests of the reading side, written by a process of their own: a test that imported LanceDB
would take its 120 MB and its warnings along to the end of the run."""

from __future__ import annotations

import marshal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

DIMENSIONS = 64

needs_lancedb = pytest.mark.skipif(find_spec("lancedb") is None, reason="lancedb is not installed")

_PROGRAM = Path(__file__).with_name("table_program.py")

# path, language, [(text, symbol, scope), ...]
File = tuple[bytes, str, list[tuple[bytes, str, str]]]


# Name, files, changes to the metadata of its schema; None instead of these: it has none.
Table = tuple[str, list[File], dict[str, str] | None]


class TableProgram:
    """The process that writes, for several tables one after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", str(_PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def write(self, uri: Path, *tables: Table) -> None:
        """Makes the tables, or adds the files to those there are."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(marshal.dumps((str(uri), DIMENSIONS, tables)))
        self._process.stdin.flush()
        assert marshal.load(self._process.stdout) is True

    def __enter__(self) -> TableProgram:
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.communicate()


def write_tables(uri: Path, *tables: Table) -> None:
    with TableProgram() as program:
        program.write(uri, *tables)


def write_table(uri: Path, files: list[File]) -> None:
    write_tables(uri, ("flyweight", files, {}))

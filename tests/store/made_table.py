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


def write_tables(uri: Path, *tables: Table) -> None:
    """Makes the tables, or adds the files to those there are."""
    outcome = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", str(_PROGRAM)],
        input=marshal.dumps((str(uri), DIMENSIONS, tables)),
        capture_output=True,
        timeout=120,
    )
    assert outcome.returncode == 0, outcome.stderr.decode()


def write_table(uri: Path, files: list[File]) -> None:
    write_tables(uri, ("flyweight", files, {}))

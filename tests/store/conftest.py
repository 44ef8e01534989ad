"""Fixtures of the tests of stores."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from store.odd_paths import write_odd_tables
from store.table_peek import TablePeek

from flyweight.store.lancedb.client import StoreClient


@pytest.fixture(scope="session")
def peek() -> Iterator[TablePeek]:
    """One process for all who look at tables."""
    if find_spec("lancedb") is None:
        pytest.skip("lancedb is not installed")
    process = TablePeek()
    yield process
    process.end()


@pytest.fixture(scope="session")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tables of `odd_paths` are. Not to be changed."""
    path = tmp_path_factory.mktemp("odd") / "db"
    write_odd_tables(path)
    return path


@pytest.fixture(scope="module")
def client(uri: Path) -> Iterator[StoreClient]:
    client = StoreClient(f"lancedb:{uri}", idle_s=600.0)
    yield client
    client.close()

"""Fixtures of the tests of stores."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from store.table_peek import TablePeek


@pytest.fixture(scope="session")
def peek() -> Iterator[TablePeek]:
    """One process for all who look at tables."""
    if find_spec("lancedb") is None:
        pytest.skip("lancedb is not installed")
    process = TablePeek()
    yield process
    process.end()

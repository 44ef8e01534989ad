"""A table whose paths hold all that paths may hold, and how the tests ask it."""

from __future__ import annotations

import time
from pathlib import Path

from store.made_table import DIMENSIONS, File, write_tables

from flyweight import SearchFilters
from flyweight._search import StaticModel
from flyweight.embed.static import model_path
from flyweight.store.lancedb.client import StoreClient
from flyweight.store.lancedb.hit import StoredHit

NO_FILTERS = SearchFilters()
PATHS = [
    b"src/net/backoff.rs",
    b"src/net/retry.rs",
    b"src/lib.rs",
    b"tests/backoff_test.rs",
    b"x' OR '1'='1",
    b"dir/x'; DROP TABLE flyweight; --.py",
    b"100%_done/a_b.py",
    b"100xydone/aXb.py",
    b"back\\slash/a.py",
    b"new\nline/a.py",
    "größe/日本.py".encode(),
    b"latin-\xe9/caf\xe9.py",
    b"[set]/a{b}.py",
    b"sp ace/$x^.py",
]


def file_at(path: bytes, number: int) -> File:
    language = "rust" if path.endswith(b".rs") else "python"
    symbol = "wait_with_backoff" if path == b"src/net/backoff.rs" else f"Symbol{number}"
    return (
        path,
        language,
        [
            (f"fn {symbol} waits for marker with growing delays {number}".encode(), symbol, "net"),
            (b"// a second piece, about parsers\n// of two lines", "", ""),
        ],
    )


FILES = [file_at(path, number) for number, path in enumerate(PATHS)]


def write_odd_tables(uri: Path) -> None:
    """The table, and beside it two that are not ours, or not any more."""
    write_tables(
        uri,
        ("flyweight", FILES, {}),
        ("foreign", FILES[:1], None),
        ("newer", FILES[:1], {"flyweight.format": "99"}),
    )


MODEL = StaticModel(model_path())


def ask(
    client: StoreClient, query: str, limit: int = 10, filters: SearchFilters = NO_FILTERS, min_score: float = 0.0
) -> list[StoredHit]:
    return client.search(query, MODEL.embed(query, DIMENSIONS), limit, min_score, filters)


def store_pid(client: StoreClient) -> int:
    return int(client._store._pid)


def has_ended(pid: int) -> bool:
    """Gone, or waiting for whoever started it to notice."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for_end(pid: int) -> None:
    while not has_ended(pid):
        time.sleep(0.01)

"""What the resident pays for a LanceDB store: little memory, and nothing that stays when the store process goes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from bare_process import run_script
from store.made_table import DIMENSIONS, File, needs_lancedb, write_table

from flyweight import SearchFilters
from flyweight.observe.bench.line_process import LineProcess
from flyweight.observe.process_memory import of_process
from flyweight.store.lancedb.client import StoreClient

pytestmark = needs_lancedb

PRIVATE_OVER_BARE_BYTES = 4_000_000
BACK_WITHIN_BYTES = 500_000

HEAVY = {
    "asyncio",
    "collections",
    "contextlib",
    "ctypes",
    "dataclasses",
    "enum",
    "functools",
    "json",
    "lancedb",
    "logging",
    "numpy",
    "pathlib",
    "pyarrow",
    "re",
    "select",
    "selectors",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "typing",
}

RESIDENT = f"""
import sys
from flyweight import SearchFilters
from flyweight._search import StaticModel
from flyweight.embed.static import model_path
from flyweight.store.lancedb.client import StoreClient
client = StoreClient(sys.argv[1], idle_s=600.0, cache_entries=50)
model = StaticModel(model_path())
filters = SearchFilters(language="py", paths=["**/*.py"], exclude="x*")
def ask(query):
    return client.search(query, model.embed(query, {DIMENSIONS}), 10, 0.0, filters)
"""
SERVE = """
print("open", flush=True)
for line in sys.stdin:
    if line == "close\\n":
        client.close()
    else:
        for query in line.split("\\t"):
            assert ask(query)[0].text
    print(flush=True)
"""
WAITING = "import sys\nprint('open', flush=True)\nfor line in sys.stdin: print(flush=True)"
QUERIES = ("async function", "error handling", "memory allocation", "vector search", "database connection")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "db"
    files: list[File] = [
        (
            b"src/module_%d.py" % number,
            "python",
            [
                (
                    b"def handler_%d():\n    # error handling of an async function\n" % number + b"    pass\n" * 100,
                    "",
                    "",
                )
            ],
        )
        for number in range(200)
    ]
    write_table(path, files)
    return path


def test_asking_imports_nothing_heavy_into_the_resident(uri: Path) -> None:
    found = set(
        run_script(
            RESIDENT + "ask('handler')\nclient.private_bytes(), client.close()\nprint(*sys.modules)", uri
        ).split()
    )
    assert found & HEAVY == set()


def test_a_store_that_waits_gives_back_what_its_last_question_took(uri: Path) -> None:
    client = StoreClient(str(uri), idle_s=600.0)

    def resident_bytes() -> int:
        assert client._store is not None
        return of_process(client._store._pid).rss_bytes

    given_back = False
    for _ in range(5):  # on a busy machine it may have waited long enough before it is looked at for the first time
        assert client.search("handler", bytes(4 * DIMENSIONS), 10, 0.0, SearchFilters(), keep=False)
        at_work, deadline = resident_bytes(), time.monotonic() + 10
        while not given_back and time.monotonic() < deadline:
            time.sleep(0.05)
            given_back = resident_bytes() < at_work * 0.7
        if given_back:
            break
    assert given_back
    assert client.search("handler", bytes(4 * DIMENSIONS), 10, 0.0, SearchFilters())
    client.close()


def test_a_resident_with_a_store_stays_small_and_gives_back_what_it_took(uri: Path) -> None:
    with (
        LineProcess([sys.executable, "-c", WAITING]) as bare,
        LineProcess([sys.executable, "-c", RESIDENT + SERVE, str(uri)]) as resident,
    ):
        bare.answer()
        resident.answer()
        for _ in range(3):
            resident.tell(*QUERIES)
        resident.tell("close")
        closed = resident.memory().private_bytes
        for _ in range(3):
            resident.tell(*QUERIES)
        over = resident.memory().private_bytes - bare.memory().private_bytes
        resident.tell("close")
        grown = resident.memory().private_bytes - closed
    assert over <= PRIVATE_OVER_BARE_BYTES, f"{over / 1e6:.2f} MB over a bare interpreter"
    assert grown <= BACK_WITHIN_BYTES, f"{grown} bytes"

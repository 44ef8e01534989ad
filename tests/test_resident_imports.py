"""What the resident role promises: little imported, little memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bare_process import run_script
from source_tree import SourceTree

from flyweight.observe.bench.line_process import LineProcess

HEAVY = {
    "typing",
    "dataclasses",
    "json",
    "re",
    "threading",
    "collections",
    "enum",
    "pathlib",
    "subprocess",
    "numpy",
    "click",
    "rich",
    "tree_sitter",
    "tree_sitter_language_pack",
    "pathspec",
    "argparse",
    "logging",
    "inspect",
    "functools",
    "contextlib",
    "tempfile",
    "hashlib",
    "ctypes",
    "mmap",
    "flyweight._build",
    "flyweight.index.build",
    "flyweight.index.walk",
}
LIGHT = {"__future__", "atexit"}
# What signing a request and a TLS connection take.
SIGNED_TLS = {
    "_blake2",
    "_hashlib",
    "_json",
    "_socket",
    "_ssl",
    "_struct",
    "_weakref",
    "hashlib",
    "hmac",
    "math",
    "struct",
    "warnings",
}
PRIVATE_OVER_BARE_BYTES = 3_000_000

BARE = "import sys; print(*sys.modules)"
USE = """
import sys
import flyweight
from flyweight import SearchConfig, SearchFilters, SemanticSearchEngine
from flyweight.errors import FlyweightError
{use}
print(*sys.modules)
"""


def imported(use: str, *arguments: str | Path) -> set[str]:
    """The modules that a script has brought in beyond those of a bare interpreter."""
    return set(run_script(USE.format(use=use), *arguments).split()) - set(run_script(BARE).split())


def test_importing_the_package_loads_nothing_but_itself() -> None:
    assert {name for name in imported("") if not name.startswith("flyweight")} <= LIGHT


def test_searching_imports_nothing_heavy(shared_index: str) -> None:
    use = """
with SemanticSearchEngine(SearchConfig(index_path=sys.argv[1])) as engine:
    filters = SearchFilters(language="py", paths=["**/*.py"], exclude="test_*", min_score=0.01)
    for hit in engine.search("record", 5, filters):
        hit.as_dict(), repr(hit)
    list(engine.stream("record"))
    engine.cache_stats(), engine.manifest
    for wrong in (lambda: engine.search("x", 0), lambda: SearchFilters(paths="["), lambda: engine.search("x", -1)):
        try:
            wrong()
        except FlyweightError:
            pass
"""
    found = imported(use, shared_index)
    assert found & HEAVY == set()
    assert {name for name in found if not name.startswith("flyweight")} <= LIGHT


def test_indexing_imports_nothing_heavy_into_the_resident(tree: SourceTree, index_path: Path) -> None:
    tree.grow(5)
    use = """
seen = []
with SemanticSearchEngine(SearchConfig(index_path=sys.argv[2])) as engine:
    engine.index(sys.argv[1], progress=seen.append)
    engine.search("record")
assert seen
"""
    found = imported(use, tree.root, index_path)
    assert found & HEAVY == set()


ASK_TITAN = """
with SemanticSearchEngine(SearchConfig(index_path=sys.argv[1], embedder="titan", query_timeout_s=60)) as engine:
    for query in ("record", "record", "buffer"):
        found = engine.search(query)
        assert found and not found.degraded, found.reason
"""


def test_searching_with_titan_imports_what_signing_and_tls_take(
    tree: SourceTree, index_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("botocore")
    pytest.importorskip("trustme")
    from flyweight import SearchConfig, SemanticSearchEngine
    from tests.standins.bedrock import BedrockStandIn

    tree.grow(3)
    with BedrockStandIn(tls=True) as service:
        service.set_environment(monkeypatch)
        monkeypatch.setenv("XDG_CACHE_HOME", str(index_path) + "-cache")
        SemanticSearchEngine(SearchConfig(index_path=index_path, embedder="titan")).index(tree.root)
        found = imported(ASK_TITAN, index_path)
    assert {name for name in found if not name.startswith("flyweight")} <= LIGHT | SIGNED_TLS
    assert not {"flyweight.store", "flyweight.embed.openai", "flyweight.embed.gateway", "flyweight._build"} & found


def test_an_embedder_that_is_named_but_not_asked_costs_no_connection(index_path: Path) -> None:
    use = 'SemanticSearchEngine(SearchConfig(index_path=sys.argv[1], embedder="titan")).close()'
    assert {name for name in imported(use, index_path) if not name.startswith("flyweight")} <= LIGHT


def test_the_static_embedder_and_segments_load_nothing_of_services_and_stores(shared_index: str) -> None:
    use = """
with SemanticSearchEngine(SearchConfig(index_path=sys.argv[1])) as engine:
    assert engine.search("record"), engine.stream("record")
    engine.manifest, engine.cache_stats()
"""
    found = imported(use, shared_index)
    parts = {"aws", "store"}
    assert not [name for name in found if name.startswith("flyweight.") and name.split(".")[1] in parts]
    assert {name for name in found if name.startswith("flyweight.embed")} <= {
        "flyweight.embed",
        "flyweight.embed.static",
    }


def test_the_list_of_heavy_modules_is_not_idle() -> None:
    """A bare interpreter has none of them, so finding one means that we brought it."""
    assert set(run_script(BARE).split()) & HEAVY == set()


RESIDENT = """
import sys
from flyweight import SearchConfig, SemanticSearchEngine
engine = SemanticSearchEngine(SearchConfig(index_path=sys.argv[1]))
print("open", flush=True)
for line in sys.stdin:
    for query in line.rstrip("\\n").split("\\t"):
        hits = engine.search(query)
        texts = sum(len(hit.text) for hit in hits)
    print(len(hits), texts, flush=True)
"""
WAITING = "import sys\nprint('open', flush=True)\nfor line in sys.stdin: print(flush=True)"
QUERIES = ("async function", "error handling", "memory allocation", "vector search", "database connection")


@pytest.fixture
def disk_index(tmp_path: Path) -> str:
    """On disk, as indexes are: pages of a file system in memory are counted otherwise."""
    from flyweight import SearchConfig, SemanticSearchEngine

    tree = SourceTree(tmp_path / "code", seed=5)
    tree.grow(200)
    SemanticSearchEngine(SearchConfig(index_path=tmp_path / "index")).index(tree.root)
    return str(tmp_path / "index")


@pytest.fixture
def bare() -> Iterator[LineProcess]:
    with LineProcess([sys.executable, "-c", WAITING]) as process:
        process.answer()
        yield process


def test_a_resident_costs_three_megabytes_over_a_bare_interpreter(disk_index: str, bare: LineProcess) -> None:
    with LineProcess([sys.executable, "-c", RESIDENT, disk_index]) as resident:
        resident.answer()
        for _ in range(3):
            assert resident.tell(*QUERIES) != "0 0"
        over = resident.memory().private_bytes - bare.memory().private_bytes
    assert over <= PRIVATE_OVER_BARE_BYTES, f"{over / 1e6:.2f} MB over a bare interpreter"


def test_ten_thousand_different_questions_leave_no_growth(disk_index: str) -> None:
    with LineProcess([sys.executable, "-c", RESIDENT, disk_index]) as resident:
        resident.answer()

        def ask(batch: int) -> None:
            resident.tell(*(f"record {batch} {number} {QUERIES[number % 5]}" for number in range(500)))

        for batch in range(4):
            ask(batch)
        before = resident.memory().private_bytes
        for batch in range(4, 24):
            ask(batch)
        grown = resident.memory().private_bytes - before
    assert grown <= 100_000, f"{grown} bytes"


def test_memory_does_not_grow_with_the_index(tmp_path: Path, bare: LineProcess, disk_index: str) -> None:
    """Ten times the files, the same resident to within a few pages per thousand chunks."""
    from flyweight import SearchConfig, SemanticSearchEngine

    tree = SourceTree(tmp_path / "more", seed=6)
    tree.grow(2000)
    SemanticSearchEngine(SearchConfig(index_path=tmp_path / "larger")).index(tree.root)
    costs = []
    for index in (disk_index, str(tmp_path / "larger")):
        with LineProcess([sys.executable, "-c", RESIDENT, index]) as resident:
            resident.answer()
            for _ in range(3):
                resident.tell(*QUERIES)
            costs.append(resident.memory().private_bytes)
    assert costs[1] - costs[0] <= 200_000

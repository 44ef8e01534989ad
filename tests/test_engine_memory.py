"""An engine that accounts for the memory of its process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bare_process import run_script
from source_tree import SourceTree

from benchmarks.line_process import LineProcess
from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.errors import ConfigError, TrackingError

PRIVATE_OVER_BARE_BYTES = 3_000_000
QUERIES = ("async function", "error handling", "memory allocation", "vector search", "database connection")

SETUP = """
import sys
from flyweight import SearchConfig, SemanticSearchEngine, memory
config = SearchConfig(index_path=sys.argv[1], track_memory=True)
"""


def test_recording_lasts_from_opening_to_closing(shared_index: str) -> None:
    shown = run_script(
        SETUP
        + """
with SemanticSearchEngine(config) as engine:
    print(memory.is_active(), bool(engine.search("record")))
    during = engine.get_memory_report()
print(memory.is_active(), engine.get_memory_report().recording)
with SemanticSearchEngine(config) as engine:
    print(memory.is_active())
""",
        shared_index,
    )
    assert shown == "True True\nFalse False\nTrue\n"


def test_the_last_engine_to_close_ends_the_recording(shared_index: str) -> None:
    shown = run_script(
        SETUP
        + """
first, second = SemanticSearchEngine(config), SemanticSearchEngine(config)
first.close()
first.close()
print(memory.is_active())
second.close()
print(memory.is_active())
""",
        shared_index,
    )
    assert shown == "True\nFalse\n"


def test_a_recording_that_was_on_is_left_on(shared_index: str) -> None:
    shown = run_script(
        SETUP
        + """
memory.start()
SemanticSearchEngine(config).close()
print(memory.is_active())
memory.stop()
engine = SemanticSearchEngine(config)
memory.stop()
engine.close()
print(memory.is_active())
""",
        shared_index,
    )
    assert shown == "True\nFalse\n"


def test_the_engine_answers_with_what_the_profiler_knows(shared_index: str) -> None:
    shown = run_script(
        SETUP
        + """
with SemanticSearchEngine(config) as engine:
    for number in range(50):
        engine.search(f"record {number}")
    report = engine.get_memory_report()
    print(report.allocation_count > 50, report.python.current_bytes > 0, report.native.allocation_count > 0)
    print(len(engine.get_hot_paths(3)), engine.get_hot_paths(1)[0].total_bytes > 0)
    print(engine.detect_memory_leaks(), engine.detect_memory_leaks(0, 1))
    verdict = engine.is_steady_state(limit_bytes=10**9, window_s=60)
    print(bool(verdict), verdict.reason != "")
    engine.print_memory_dashboard(top_n=2)
""",
        shared_index,
    )
    lines = shown.splitlines()
    assert lines[:4] == ["True True True", "3 True", "[] []", "False True"]
    assert lines[4].startswith("Memory over ")
    assert sum(" B  " in line and " python " in line and ":" in line for line in lines) <= 4


@pytest.mark.parametrize(
    "ask", ["get_memory_report", "detect_memory_leaks", "get_hot_paths", "print_memory_dashboard", "is_steady_state"]
)
def test_without_recording_every_question_says_how_to_begin(shared_index: str, ask: str) -> None:
    with SemanticSearchEngine(SearchConfig(index_path=shared_index)) as engine:
        with pytest.raises(TrackingError, match=r"SearchConfig\(track_memory=True\)"):
            getattr(engine, ask)()
        assert engine.search("record")


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_track_memory_is_true_or_false(value: object) -> None:
    with pytest.raises(ConfigError, match="track_memory"):
        SearchConfig(track_memory=value)  # type: ignore[arg-type]
    assert "track_memory=False" in repr(SearchConfig())


RESIDENT = """
import sys
from flyweight import SearchConfig, SemanticSearchEngine
engine = SemanticSearchEngine(SearchConfig(index_path=sys.argv[1], track_memory=True))
print("open", flush=True)
for line in sys.stdin:
    for query in line.rstrip("\\n").split("\\t"):
        hits = engine.search(query)
        texts = sum(len(hit.text) for hit in hits)
    print(len(hits), texts, engine.get_memory_report().live_count, len(engine.get_hot_paths()), flush=True)
"""
WAITING = "import sys\nprint('open', flush=True)\nfor line in sys.stdin: print(flush=True)"


def test_an_engine_and_its_profiler_cost_three_megabytes_together(tmp_path: Path) -> None:
    tree = SourceTree(tmp_path / "code", seed=5)
    tree.grow(200)
    index = str(tmp_path / "index")
    SemanticSearchEngine(SearchConfig(index_path=index)).index(tree.root)
    with (
        LineProcess([sys.executable, "-c", WAITING]) as bare,
        LineProcess([sys.executable, "-c", RESIDENT, index]) as resident,
    ):
        bare.answer()
        resident.answer()
        for _ in range(3):
            assert not resident.tell(*QUERIES).startswith("0 0 ")
        over = resident.memory().private_bytes - bare.memory().private_bytes
    assert over <= PRIVATE_OVER_BARE_BYTES, f"{over / 1e6:.2f} MB over a bare interpreter"

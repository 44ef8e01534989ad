"""An engine that accounts for the memory of its process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bare_process import run_script
from source_tree import SourceTree

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.errors import ConfigError, TrackingError
from flyweight.observe.bench.line_process import LineProcess

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


def test_an_engine_takes_its_own_phases(tmp_path: Path) -> None:
    tree = SourceTree(tmp_path / "code", seed=5)
    tree.grow(5)
    shown = run_script(
        SETUP
        + """
with SemanticSearchEngine(config) as engine:
    stats = engine.index(sys.argv[2])
    for query in ("record", "buffer", "record"):
        engine.search(query)
    engine.index(sys.argv[2])
    engine.search("record")
    print(*(phase.name for phase in engine.get_memory_phases()), sep=", ")
table = memory.phase_table()
print(*(phase.name for phase in table[6:]), sep=", ")
builders = [phase.builder_peak_bytes for phase in table]
print(builders[2] == stats.peak_private_bytes > 5_000_000, sum(map(bool, builders)))
print(all("cache" in phase.components for phase in table if phase.name == "After Queries"))
print(table[0].components.get("cache"))
""",
        tmp_path / "index",
        tree.root,
    )
    assert shown.splitlines() == [
        "Initial, After Init, After Index, After Queries, After Index, After Queries",
        "Final",
        "True 2",
        "True",
        "None",
    ]


def test_questions_that_follow_one_another_make_one_phase(shared_index: str) -> None:
    shown = run_script(
        SETUP
        + """
with SemanticSearchEngine(config) as engine:
    for number in range(5):
        engine.search(f"record {number}")
        engine.get_memory_report(), engine.get_hot_paths(), engine.is_steady_state()
        engine.get_memory_phases()
print(*(phase.name for phase in memory.phase_table()), sep=", ")
""",
        shared_index,
    )
    assert shown == "Initial, After Init, After Queries, Final\n"


def test_an_engine_that_is_not_to_account_loads_nothing_of_the_profiler(shared_index: str) -> None:
    shown = run_script(
        """
import sys
from flyweight import SearchConfig, SemanticSearchEngine
with SemanticSearchEngine(SearchConfig(index_path=sys.argv[1])) as engine:
    engine.search("record"), engine.manifest
    print([name for name in sys.modules if name.startswith("flyweight.memory") or name == "flyweight._memory"])
    engine.trim()
print("flyweight._memory" in sys.modules)
""",
        shared_index,
    )
    assert shown == "[]\nFalse\n"


def test_the_query_cache_has_a_name_in_the_account(shared_index: str) -> None:
    shown = run_script(
        """
import sys
from flyweight import SearchConfig, SemanticSearchEngine
with SemanticSearchEngine(SearchConfig(index_path=sys.argv[1], cache_size=1000)) as engine:
    engine.search("record")
    before = engine.get_memory_attribution().components()
    for number in range(1000):
        engine.search(f"record {number}")
    account = engine.get_memory_attribution()
    cache = account.components()["cache"].rss_bytes
    engine.trim()
    after = engine.get_memory_attribution().components()
print(0 < before["cache"].rss_bytes < 20_000, cache > 1_000_000)
print("cache" not in after or after["cache"].rss_bytes < 10_000)
print(account.rss_bytes == sum(row.rss_bytes for row in account.rows))
""",
        shared_index,
    )
    assert shown == "True True\nTrue\nTrue\n"


OPENED = """
import sys
from flyweight import SearchConfig, SemanticSearchEngine
engine = SemanticSearchEngine(SearchConfig(index_path=sys.argv[1]))
engine.manifest
print("open", flush=True)
sys.stdin.read()
"""
INDEXED = """
import sys
from flyweight import SearchConfig, SemanticSearchEngine
engine = SemanticSearchEngine(SearchConfig(index_path=sys.argv[1], cache_size=2000))
engine.index(sys.argv[2])
for number in range(2000):
    engine.search(f"record {number}")
print(engine.trim(), flush=True)
sys.stdin.read()
"""


def test_a_process_that_has_worked_trims_to_the_size_of_one_that_only_opened_the_index(tmp_path: Path) -> None:
    tree = SourceTree(tmp_path / "code", seed=5)
    tree.grow(50)
    index = str(tmp_path / "index")
    with LineProcess([sys.executable, "-c", INDEXED, index, str(tree.root)]) as worked:
        fell = int(worked.answer())
        with LineProcess([sys.executable, "-c", OPENED, index]) as fresh:
            fresh.answer()
            over = worked.memory().rss_bytes - fresh.memory().rss_bytes
    assert fell > 4_000_000
    assert over <= 1_000_000, f"{over} bytes over a fresh resident"


def test_trimming_leaves_answers_as_they_are(shared_index: str) -> None:
    with SemanticSearchEngine(SearchConfig(index_path=shared_index)) as engine:
        before = [hit.as_dict() for hit in engine.search("record")]
        assert engine.trim() >= 0
        assert engine.cache_stats()["entries"] == 0
        assert [hit.as_dict() for hit in engine.search("record")] == before
        assert engine.cache_stats()["entries"] == 1


def test_the_dashboard_says_whose_the_memory_is(shared_index: str) -> None:
    shown = run_script(
        SETUP
        + """
with SemanticSearchEngine(config) as engine:
    engine.search("record")
    engine.print_memory_dashboard(top_n=2)
""",
        shared_index,
    )
    lines = shown.splitlines()
    place = lines.index("Whose the resident memory is")
    assert any(line.startswith("engine ") for line in lines[place:])
    assert any(line.startswith("After Queries ") for line in lines)


def test_the_engine_has_a_budget_of_its_own_while_it_is_open(shared_index: str) -> None:
    shown = run_script(
        SETUP
        + """
from flyweight.memory.budget import budgets
config.memory_budget = 1000  # less than a config may have, so that an engine comes over it
import warnings
with warnings.catch_warnings(record=True) as caught, SemanticSearchEngine(config) as engine:
    warnings.simplefilter("always")
    engine.search("record")
    from flyweight import _memory
    _memory.tick()
    print([(budget.component, budget.limit_bytes, budget.used_bytes > 1000) for budget in budgets()])
print(budgets(), "engine" in str(caught[0].message), caught[0].category.__name__)
""",
        shared_index,
    )
    assert shown == "[('engine', 1000, True)]\n[] True BudgetWarning\n"

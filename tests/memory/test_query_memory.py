"""What single queries cost."""

from __future__ import annotations

import json

from bare_process import run_script

SETUP = """
import json, sys
from flyweight import SearchConfig, SemanticSearchEngine, memory
from flyweight.memory.query_memory import measure, measured_queries
"""


def test_what_a_query_allocates_and_retains_is_told_apart() -> None:
    figures = json.loads(
        run_script(
            f"""{SETUP}
memory.start(native=False, publish=False)
kept = []
def ask():
    kept.append(bytes(50_000))
    hits = [bytes(100_000) for _ in range(3)]
    return hits, False
print(json.dumps(measure("planted", ask).to_dict()))
"""
        )
    )
    assert (figures["query"], figures["hits"], figures["cached"], figures["recorded"]) == ("planted", 3, False, True)
    assert 350_000 <= figures["allocated_bytes"] <= 353_000
    assert 350_000 <= figures["peak_bytes"] <= 353_000
    assert 50_000 <= figures["retained_bytes"] <= 52_000
    assert figures["elapsed_ms"] > 0


def test_growth_of_the_process_is_told_without_recording() -> None:
    figures = json.loads(
        run_script(
            f"""{SETUP}
kept = []
def ask():
    kept.append(bytearray(b"x") * 20_000_000)
    return [], False
print(json.dumps(measure("planted", ask).to_dict()))
"""
        )
    )
    assert (figures["recorded"], figures["allocated_bytes"], figures["retained_bytes"]) == (False, 0, 0)
    assert 19_000_000 < figures["private_delta_bytes"] < 21_000_000
    assert 19_000_000 < figures["rss_delta_bytes"] < 21_000_000


def test_an_engine_tells_first_answers_from_cached_ones(shared_index: str) -> None:
    first, second, found = json.loads(
        run_script(
            f"""{SETUP}
with SemanticSearchEngine(SearchConfig(index_path=sys.argv[1], track_memory=True)) as engine:
    engine.search("something else")
    measured = [engine.measure_query("record", 5) for _ in range(2)]
    print(json.dumps([*(one.to_dict() for one in measured), len(engine.search("record", 5))]))
    assert measured_queries() == measured
""",
            shared_index,
        )
    )
    assert (first["cached"], second["cached"]) == (False, True)
    assert first["hits"] == second["hits"] == found > 0
    assert first["allocated_bytes"] > 0
    assert abs(second["retained_bytes"]) < 1_000


def test_the_oldest_measurements_make_room() -> None:
    shown = run_script(
        f"""{SETUP}
module = sys.modules["flyweight.memory.query_memory"]
module.MOST_KEPT = 3
for number in range(5):
    measure(str(number), lambda: ([], False))
print(*(found.query for found in measured_queries()))
"""
    )
    assert shown == "2 3 4\n"

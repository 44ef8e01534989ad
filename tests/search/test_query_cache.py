from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from bare_process import run_script
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from source_tree import SourceTree

from flyweight import SearchConfig, SearchFilters, SemanticSearchEngine

QUERIES = [f"{word} of the record" for word in ("cache", "ledger", "journal", "token", "packet", "writer", "zone")]


def engine_over(index: str | Path, **settings: object) -> SemanticSearchEngine:
    return SemanticSearchEngine(SearchConfig(index_path=index, **settings))  # type: ignore[arg-type]


def counts(engine: SemanticSearchEngine) -> tuple[int, int]:
    stats = engine.cache_stats()
    return stats["hits"], stats["misses"]


def test_a_repeated_question_is_a_hit_with_the_same_answer(engine: SemanticSearchEngine) -> None:
    first = [hit.as_dict() for hit in engine.search("record writer")]
    assert counts(engine) == (0, 1)
    assert [hit.as_dict() for hit in engine.search("record writer")] == first
    assert counts(engine) == (1, 1)
    assert [hit.as_dict() for hit in engine.stream("record writer")] == first
    assert counts(engine) == (2, 1)
    assert engine.cache_stats()["entries"] == 1


def test_answers_are_the_same_with_and_without_a_cache(shared_index: str) -> None:
    with engine_over(shared_index) as cached, engine_over(shared_index, cache_size=0) as plain:
        for _ in range(2):
            for query in [*QUERIES, "", "backoff", "rec\0ord", "\udcff"]:
                for limit in (1, 10):
                    ours = [hit.as_dict() for hit in cached.search(query, limit)]
                    assert ours == [hit.as_dict() for hit in plain.search(query, limit)]
        assert cached.cache_stats()["hits"] >= 22
        assert plain.cache_stats()["hits"] == plain.cache_stats()["capacity"] == 0


@pytest.mark.parametrize(
    "other",
    [
        {"limit": 5},
        {"filters": SearchFilters(language="rust")},
        {"filters": SearchFilters(language=["rust", "go"])},
        {"filters": SearchFilters(paths="net/**")},
        {"filters": SearchFilters(exclude="net/**")},
        {"filters": SearchFilters(min_score=0.01)},
        {"query": "record  writer"},
        {"query": "record writer\0"},
    ],
)
def test_everything_that_shapes_an_answer_is_part_of_the_key(
    engine: SemanticSearchEngine, other: dict[str, object]
) -> None:
    plain = {"query": "record writer"}
    for _ in range(2):
        engine.search(**plain)  # type: ignore[arg-type]
        engine.search(**(plain | other))  # type: ignore[arg-type]
    assert counts(engine) == (2, 2)


def test_fields_of_a_key_do_not_run_into_each_other(engine: SemanticSearchEngine) -> None:
    for filters in (
        SearchFilters(paths=["a", "b"]),
        SearchFilters(paths=["ab"]),
        SearchFilters(paths=["a"], exclude=["b"]),
        SearchFilters(paths=["b", "a"]),
        SearchFilters(exclude=["a", "b"]),
    ):
        engine.search("record", filters=filters)
    assert counts(engine) == (0, 5)


def test_an_entry_is_not_served_beyond_its_time(shared_index: str) -> None:
    for ttl_s in (0.15, 1.5, 15.0):  # on a busy machine one question may come that long after the other
        with engine_over(shared_index, cache_ttl=ttl_s) as engine:
            begun = time.monotonic()
            engine.search("record")
            engine.search("record")
            if time.monotonic() - begun >= ttl_s:
                continue
            assert counts(engine) == (1, 1)
            time.sleep(1.3 * ttl_s)
            begun = time.monotonic()
            engine.search("record")
            assert counts(engine) == (1, 2)
            assert engine.cache_stats()["expired"] == 1
            engine.search("record")
            if time.monotonic() - begun >= ttl_s:
                continue
            assert counts(engine) == (2, 2)
            return
    pytest.fail("two questions were never within 15 s")


def test_using_an_entry_does_not_prolong_its_time(shared_index: str) -> None:
    with engine_over(shared_index, cache_ttl=0.3) as engine:
        engine.search("record")
        deadline = time.monotonic() + 60
        while not engine.cache_stats()["expired"]:
            engine.search("record")
            assert time.monotonic() < deadline, "it is served for ever"


def test_a_time_to_live_of_zero_keeps_nothing(shared_index: str) -> None:
    with engine_over(shared_index, cache_ttl=0) as engine:
        engine.search("record")
        engine.search("record")
        assert counts(engine)[0] == 0
        assert engine.cache_stats()["entries"] == 0


def test_the_least_recently_used_entry_goes_first(shared_index: str) -> None:
    with engine_over(shared_index, cache_size=3) as engine:
        a, b, c, d = QUERIES[:4]
        for query in (a, b, c, a, d):  # d takes the place of b
            engine.search(query)
        assert engine.cache_stats()["evictions"] == 1
        hits = engine.cache_stats()["hits"]
        for query in (a, c, d):
            engine.search(query)
        assert engine.cache_stats()["hits"] == hits + 3
        engine.search(b)
        assert engine.cache_stats()["hits"] == hits + 3


def test_the_pool_never_grows(shared_index: str) -> None:
    with engine_over(shared_index, cache_size=4) as engine:
        engine.search("record")
        before = engine.cache_stats()
        for number in range(100):
            engine.search(f"record {number}")
        after = engine.cache_stats()
        assert after["entries"] == after["capacity"] == 4
        assert after["pool_bytes"] == before["pool_bytes"] > 0
        assert after["evictions"] == 97


def test_a_question_too_long_for_the_pool_is_answered_each_time(engine: SemanticSearchEngine) -> None:
    query = "record " + "x" * 5000
    answers = [[hit.as_dict() for hit in engine.search(query)] for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert counts(engine)[0] == 0


def test_more_hits_than_a_slot_holds_are_answered_each_time(shared_index: str) -> None:
    with engine_over(shared_index, max_results=1) as engine:
        answers = [[hit.as_dict() for hit in engine.search("record", limit=150)] for _ in range(3)]
        assert len(answers[0]) == 150
        assert answers[0] == answers[1] == answers[2]


def test_clearing_forgets_entries(engine: SemanticSearchEngine) -> None:
    engine.search("record")
    engine.clear_cache()
    assert engine.cache_stats()["entries"] == 0
    engine.search("record")
    assert counts(engine) == (0, 2)


def test_a_change_of_the_index_outdates_every_entry(tree: SourceTree, index_path: Path) -> None:
    tree.write("one.py", "def first_thing():\n    return 1\n")
    with engine_over(index_path) as engine:
        engine.index(tree.root)
        assert [hit.path for hit in engine.search("thing")] == ["one.py"]
        tree.write("one.py", "def other_thing():\n    return 2\n")
        engine.index(tree.root)
        assert "other_thing" in engine.search("thing")[0].text
        tree.write("two.py", "def second_thing():\n    return 2\n")
        engine.index(tree.root)
        assert {hit.path for hit in engine.search("thing")} == {"one.py", "two.py"}


def test_an_index_made_anew_from_nothing_is_not_taken_for_the_old_one(tree: SourceTree, index_path: Path) -> None:
    """Its generations start over, so they do not tell the two apart."""
    with engine_over(index_path) as engine:
        for number in range(4):
            shutil.rmtree(index_path, ignore_errors=True)
            for path in list(tree.files):
                tree.remove(path)
            for name in ("pear", "plum", "fig")[number % 3 :]:
                tree.write(f"{name}{number}.py", f"def {name}_{number}():\n    return 'fruit'\n")
            engine.index(tree.root)
            found = {hit.path: hit.text.encode() for hit in engine.search("fruit")}
            assert found.keys() == tree.files.keys()
            assert all(tree.files[path].startswith(text) for path, text in found.items())


GROWTH = """
import sys
from flyweight import SearchConfig, SemanticSearchEngine

def private():
    with open("/proc/self/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))

with SemanticSearchEngine(SearchConfig(index_path=sys.argv[1], cache_size=20, cache_ttl=1e6)) as engine:
    queries = [f"record {number}" for number in range(20)]
    for _ in range(3):
        for query in queries:
            engine.search(query)
    private()
    before = private()
    for _ in range(5000):
        for query in queries:
            engine.search(query)
    after = private()
    stats = engine.cache_stats()
    assert stats["hits"] >= 100_000 and stats["misses"] == 20, stats
    print(after - before)
"""


def test_a_hundred_thousand_hits_leave_no_growth(shared_index: str) -> None:
    assert int(run_script(GROWTH, shared_index)) <= 8  # KiB


class Cache(RuleBasedStateMachine):
    """Against a dictionary that keeps the three most recently used."""

    index: str
    capacity = 3

    @initialize()
    def open(self) -> None:
        self.engine = engine_over(self.index, cache_size=self.capacity, cache_ttl=1e6)
        self.kept: dict[tuple[str, int], list[dict[str, object]]] = {}
        self.hits = self.misses = self.evictions = 0

    @rule(query=st.sampled_from(QUERIES[:5]), limit=st.integers(1, 2))
    def search(self, query: str, limit: int) -> None:
        answer = [hit.as_dict() for hit in self.engine.search(query, limit)]
        known = self.kept.pop((query, limit), None)
        if known is None:
            self.misses += 1
            if len(self.kept) == self.capacity:
                self.evictions += 1
                del self.kept[next(iter(self.kept))]
        else:
            self.hits += 1
            assert answer == known
        self.kept[query, limit] = answer

    @rule()
    def clear(self) -> None:
        self.engine.clear_cache()
        self.kept.clear()

    @invariant()
    def counters_agree(self) -> None:
        if not hasattr(self, "engine"):
            return
        stats = self.engine.cache_stats()
        assert (stats["hits"], stats["misses"], stats["evictions"]) == (self.hits, self.misses, self.evictions)
        assert stats["entries"] == len(self.kept)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.close()


def test_the_cache_behaves_as_its_model(shared_index: str) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    machine = type("CacheOverIndex", (Cache,), {"index": shared_index})
    run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=40, deadline=None))

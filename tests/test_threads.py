from __future__ import annotations

import itertools
import random
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bare_process import run_script
from source_tree import WORDS, SourceTree

from flyweight import FlyweightError, SearchConfig, SearchFilters, SemanticSearchEngine

THREADS = 8
Answer = list[dict[str, object]]


@pytest.fixture
def many_switches() -> Iterator[None]:
    """Threads take turns five hundred times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], object]) -> list[object]:
    """Runs work(0) to work(7) in threads started together; returns what they returned, raises what one raised."""
    results: list[object] = [None] * THREADS
    errors: list[BaseException] = []
    barrier = threading.Barrier(THREADS)

    def run(number: int) -> None:
        try:
            barrier.wait()
            results[number] = work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def questions(seed: int, count: int) -> list[tuple[str, int, SearchFilters | None]]:
    draw = random.Random(seed)
    filters = [None, None, SearchFilters(language="rust"), SearchFilters(paths="a*/**"), SearchFilters(exclude="*.md")]
    return [
        (" ".join(draw.choices(WORDS, k=draw.randrange(1, 6))), draw.randrange(1, 20), draw.choice(filters))
        for _ in range(count)
    ]


@pytest.mark.usefixtures("many_switches")
@pytest.mark.parametrize("cache_size", [0, 5, 200])
def test_threads_get_the_answers_that_one_alone_would(shared_index: str, cache_size: int) -> None:
    asked = questions(1, 120)
    with SemanticSearchEngine(SearchConfig(index_path=shared_index, cache_size=0)) as engine:
        expected = [[hit.as_dict() for hit in engine.search(*question)] for question in asked]
    with SemanticSearchEngine(SearchConfig(index_path=shared_index, cache_size=cache_size)) as engine:

        def work(number: int) -> None:
            order = list(range(len(asked)))
            random.Random(number).shuffle(order)
            for position in order:
                answer: Answer = [hit.as_dict() for hit in engine.search(*asked[position])]
                assert answer == expected[position], asked[position]

        in_threads(work)


@pytest.mark.usefixtures("many_switches")
def test_first_questions_asked_together_are_all_answered(shared_index: str) -> None:
    """Nothing is open yet: every thread finds it so."""
    for _ in range(40):
        with SemanticSearchEngine(SearchConfig(index_path=shared_index)) as engine:
            answers = in_threads(lambda number, engine=engine: len(engine.search("record")))  # type: ignore[misc]
            assert answers == [10] * THREADS
            assert len(engine.search("record writer")) == 10


@pytest.mark.usefixtures("many_switches")
def test_one_hit_may_be_read_by_many_threads(shared_index: str) -> None:
    with SemanticSearchEngine(SearchConfig(index_path=shared_index)) as engine:
        hits = engine.search("record", limit=50)
        expected = [hit.as_dict() for hit in hits]
        in_threads(lambda number: [[hit.as_dict() for hit in hits] == expected or pytest.fail() for _ in range(20)])


@pytest.mark.usefixtures("many_switches")
def test_closing_amid_the_searches_of_others_ends_them_in_good_order(shared_index: str) -> None:
    for _ in range(20):
        engine = SemanticSearchEngine(SearchConfig(index_path=shared_index, cache_size=3))

        def work(number: int, engine: SemanticSearchEngine = engine) -> int:
            for count in itertools.count():
                if number == 0 and count == 5:
                    engine.close()
                try:
                    assert len(engine.search(f"record {count}")) == 10
                except FlyweightError as error:
                    assert "closed" in str(error)
                    return count
            raise AssertionError

        in_threads(work)


@pytest.mark.usefixtures("many_switches")
def test_threads_follow_an_index_that_changes(tree: SourceTree, index_path: Path) -> None:
    """A version once seen is never followed by an older one, and the last is seen by all."""
    tree.grow(20)
    last = 6

    def write(version: int) -> None:
        tree.write("marker.py", f"def marker_version_{version}():\n    return {version}\n")

    with SemanticSearchEngine(SearchConfig(index_path=index_path, cache_size=4)) as engine:
        write(0)
        engine.index(tree.root)

        def work(number: int) -> int:
            if number == 0:
                for version in range(1, last + 1):
                    write(version)
                    engine.index(tree.root, rebuild=version % 3 == 0)
                return last
            newest = 0
            while newest < last:
                texts = [hit.text for hit in engine.search("marker_version") if hit.path == "marker.py"]
                assert len(texts) == 1
                seen = int(texts[0].partition("version_")[2].partition("(")[0])
                assert seen >= newest, "an older version came back"
                newest = seen
            return newest

        assert in_threads(work) == [last] * THREADS


def test_two_threads_may_index_at_once(tree: SourceTree, index_path: Path) -> None:
    tree.grow(40)

    def work(number: int) -> object:
        with SemanticSearchEngine(SearchConfig(index_path=index_path)) as engine:
            try:
                return engine.index(tree.root).files
            except FlyweightError as error:
                return type(error).__name__

    outcomes = set(in_threads(work))
    assert 40 in outcomes
    assert outcomes <= {40, "IndexLockedError"}


def test_a_query_runs_without_the_interpreter_lock(shared_index: str) -> None:
    """With a switch interval of minutes, another thread gets a turn only because the query gives up the lock."""
    script = """
import sys, threading
from flyweight import SearchConfig, SemanticSearchEngine
engine = SemanticSearchEngine(SearchConfig(index_path=sys.argv[1], cache_size=0))
engine.search("record")
sys.setswitchinterval(600)
turns = []
lock = threading.Lock()
lock.acquire()
waiting = threading.Thread(target=lambda: (lock.acquire(), turns.append(True)))
waiting.start()
lock.release()
for count in range(2000):
    if turns:
        break
    engine.search("record writer journal")
print("yes" if turns else "no")
"""
    assert run_script(script, shared_index).strip() == "yes"

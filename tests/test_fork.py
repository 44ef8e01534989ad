from __future__ import annotations

from pathlib import Path

import pytest
from bare_process import run_script
from source_tree import SourceTree

OPEN = """
import os, sys, threading
from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.errors import FlyweightError

engine = SemanticSearchEngine(SearchConfig(index_path=sys.argv[1], cache_size=8))
QUERIES = [f"{word} of the record" for word in "cache ledger journal token packet writer zone node".split()]

def answers(limit=10):
    return [[hit.as_dict() for hit in engine.search(query, limit)] for query in QUERIES]

def in_child(work):
    # Runs work() in a forked child and fails when it fails or hangs.
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid

def check(pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0, pid
"""


def test_a_child_searches_while_its_parent_does(shared_index: str) -> None:
    script = """
expected = answers()

def compare():
    for _ in range(30):
        assert answers() == expected
        engine.clear_cache()

pids = [in_child(compare) for _ in range(4)]
compare()
check(pids)
print("done")
"""
    assert run_script(OPEN + script, shared_index) == "done\n"


def test_a_child_opens_an_engine_its_parent_has_not_used(shared_index: str) -> None:
    script = """
def compare():
    assert all(len(answer) == 10 for answer in answers())

check([in_child(compare) for _ in range(3)])
compare()
print("done")
"""
    assert run_script(OPEN + script, shared_index) == "done\n"


def test_a_fork_amid_the_queries_of_other_threads_leaves_the_child_whole(shared_index: str) -> None:
    """Sixty forks while four threads search: a lock that one of them holds then is held for good in the child."""
    script = """
expected = answers()
stop = threading.Event()

def search(number):
    count = 0
    while not stop.is_set():
        engine.search(f"record {number} {count % 20}", 3 + count % 5)
        count += 1

sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=search, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()

def compare():
    for _ in range(3):
        assert answers() == expected
        engine.clear_cache()
        engine.cache_stats()
        for hit in engine.stream("writer", 20):
            assert hit.text

for _ in range(60):
    check([in_child(compare)])
stop.set()
for thread in threads:
    thread.join()
assert answers() == expected
print("done")
"""
    assert run_script(OPEN + script, shared_index) == "done\n"


def test_hits_of_the_parent_are_read_in_the_child(shared_index: str) -> None:
    script = """
hits = engine.search("record", 50)
expected = [hit.as_dict() for hit in hits]

def compare():
    assert [hit.as_dict() for hit in hits] == expected
    engine.close()
    assert [hit.as_dict() for hit in hits] == expected

check([in_child(compare)])
assert [hit.as_dict() for hit in engine.search("record", 50)] == expected
print("done")
"""
    assert run_script(OPEN + script, shared_index) == "done\n"


def test_closing_in_a_child_leaves_the_parent_s_engine_open(shared_index: str) -> None:
    script = """
expected = answers()
check([in_child(engine.close) for _ in range(3)])
engine.clear_cache()
assert answers() == expected
print("done")
"""
    assert run_script(OPEN + script, shared_index) == "done\n"


@pytest.mark.parametrize("who", ["parent", "child"])
def test_both_sides_of_a_fork_follow_the_index(tree: SourceTree, index_path: Path, who: str) -> None:
    """Whoever of the two indexes, both see it."""
    tree.write("one.py", "def first_thing():\n    return 1\n")
    script = """
from pathlib import Path
root, who = Path(sys.argv[2]), sys.argv[3]
engine.index(root)
assert [hit.path for hit in engine.search("thing")] == ["one.py"]
read_fd, write_fd = os.pipe()

def index():
    (root / "two.py").write_text("def second_thing():\\n    return 2\\n")
    engine.index(root)
    os.write(write_fd, b"!")

def see():
    os.read(read_fd, 1)
    assert {hit.path for hit in engine.search("thing")} == {"one.py", "two.py"}

pid = in_child(index if who == "child" else see)
(see if who == "child" else index)()
check([pid])
print("done")
"""
    assert run_script(OPEN + script, index_path, tree.root, who) == "done\n"


def test_pools_of_processes_share_one_engine(shared_index: str) -> None:
    """What a server with worker processes does."""
    script = """
import multiprocessing
expected = answers()

def ask(query):
    return [hit.as_dict() for hit in engine.search(query)]

with multiprocessing.get_context("fork").Pool(3) as pool:
    assert pool.map(ask, QUERIES * 5) == expected * 5
print("done")
"""
    assert run_script(OPEN + script, shared_index) == "done\n"

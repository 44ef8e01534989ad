"""Subinterpreters: made, used and ended, meanwhile in threads, with a GIL of their own where there is one."""

from __future__ import annotations

import sys
import threading

import books

if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters

KEPT: list[object] = []
# Two threads with a GIL of their own, each in one call, which may be a realloc and count at two sites.
HALVES = 4

WORK = """
import sys
kept = []
def work():
    for n in range(300):
        kept.append(bytes(100 + n))
        code = compile(f"def f{n}(): return [0] * {n}", f"<made {n}>", "exec")
        names = {}
        exec(code, names)
        names[f"f{n}"]()
work()
del kept[::2]
"""


def run(interpreter: object, source: str) -> None:
    failure = interpreters.run_string(interpreter, source)
    assert failure is None, failure


def keep(count: int) -> None:
    for _ in range(count):
        KEPT.append(bytes(100))


def one() -> None:
    made = interpreters.create()
    run(made, WORK)
    keep(100)
    run(made, WORK)
    books.check_records()
    interpreters.destroy(made)
    books.check_records()


def one_made_before() -> None:
    """What its code carried in the earlier recording is still right in this one."""
    made = interpreters.create()
    run(made, WORK)
    for _ in range(3):
        books.end()
        books.begin()
        run(made, WORK)
        books.check_records()
    interpreters.destroy(made)


def outlives_the_recording() -> None:
    made = interpreters.create()
    run(made, WORK)
    books.end()
    run(made, WORK)
    interpreters.destroy(made)
    books.begin()


def never_destroyed() -> None:
    run(interpreters.create(), WORK)


def many() -> None:
    for _ in range(70):  # more than there is room for
        made = interpreters.create()
        run(made, "[bytes(n) for n in range(100)]")
        interpreters.destroy(made)
    books.check_records()


def many_at_once() -> None:
    made = [interpreters.create() for _ in range(10)]
    for interpreter in made:
        run(interpreter, WORK)
    books.check_records()
    for interpreter in made:
        interpreters.destroy(interpreter)
    books.check_records()


def concurrently() -> None:
    if sys.version_info < (3, 12):
        return  # ending interpreters in several threads hangs that Python by itself
    failures: list[BaseException] = []

    def in_thread(number: int) -> None:
        try:
            for _ in range(3):
                made = interpreters.create()
                run(made, WORK)
                interpreters.destroy(made)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=in_thread, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        keep(1000)
        KEPT.clear()
    for thread in threads:
        thread.join()
    assert not failures, failures
    del threads
    books.check_records()


def start_and_stop_meanwhile() -> None:
    failures: list[BaseException] = []
    ended = threading.Event()

    def in_thread() -> None:
        try:
            while not ended.is_set():
                made = interpreters.create()
                run(made, WORK)
                interpreters.destroy(made)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=in_thread) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(40):
            keep(100)
            books.end(None, HALVES)
            books.begin()
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


def own_threads() -> None:
    """A subinterpreter with threads of its own."""
    if sys.version_info < (3, 12):
        return  # refused there
    made = interpreters.create()
    run(
        made,
        WORK
        + """
import threading, zlib
threads = [threading.Thread(target=lambda: (work(), zlib.compress(bytes(100000)))) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
""",
    )
    books.check_records()
    interpreters.destroy(made)


def asks_the_profiler() -> None:
    """The native module may be refused there, or answer; it must not fail the process."""
    made = interpreters.create()
    run(
        made,
        f"""
import sys
sys.path[:] = {sys.path!r}
try:
    from flyweight import _memory
except ImportError:
    pass
else:
    _memory.counters(), _memory.sites(), _memory.status(), _memory.ages(0, 0)
    try:
        _memory.start(sampled=False, native=False, full_stacks=False, native_stacks=False, sample_interval_bytes=0,
                      own_limit_bytes=0, limit_bytes=0, seed=1, page="")
    except RuntimeError:
        pass
    else:
        raise AssertionError
""",
    )
    interpreters.destroy(made)


if __name__ == "__main__":
    books.begin()
    globals()[sys.argv[2]]()
    # While CPython makes an interpreter it puts its own raw allocator in for a moment (_PyInterpreterState_Enable);
    # what other interpreters return just then passes our hook by.
    shared = sys.argv[2] in ("start_and_stop_meanwhile", "concurrently")
    books.end(None if shared else 0, HALVES if sys.argv[2] == "start_and_stop_meanwhile" else 0)
    print("survived")

"""Not enough: of memory, of stack, of what the profiler may use itself."""

from __future__ import annotations

import gc
import sys

import books

from flyweight import memory

KEPT: list[object] = []


def keep(count: int) -> None:
    for _ in range(count):
        KEPT.append(bytes(1000))


def fill(until: int = 10**9) -> int:
    """Allocates until there is no more, in many ways; returns how many MemoryErrors there were."""
    refused = 0
    for attempt in (
        lambda: KEPT.append(bytearray(10**7)),
        lambda: KEPT.append([None] * 10**5),
        lambda: KEPT.append({n: n for n in range(1000)}),
        lambda: KEPT.append("x" * 10**6 + str(len(KEPT))),
        lambda: KEPT.extend(bytes(500) for _ in range(100)),
    ):
        for _ in range(until):
            try:
                attempt()
            except MemoryError:
                refused += 1
                break
        KEPT.clear()
    KEPT.clear()
    gc.collect()
    return refused


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * 4096


def address_space_runs_out() -> None:
    import resource

    used = _address_space()
    for room in (50, 100, 200):
        resource.setrlimit(resource.RLIMIT_AS, (used + room * 2**20, resource.RLIM_INFINITY))
        assert fill() == 5
        if books.MODE != "plain" and not books.ESTIMATED:
            books.check_records()
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    keep(1000)


def address_space_runs_out_before_the_start() -> None:
    """A recording that cannot begin says so, and the program goes on."""
    import resource

    books.end()
    used = _address_space()
    resource.setrlimit(resource.RLIMIT_AS, (used + 5 * 2**20, resource.RLIM_INFINITY))
    keep(100)
    try:
        books.begin()
    except MemoryError:
        pass
    keep(100)
    memory.stop()
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    books.begin()


def single_failures() -> None:
    """The allocations of CPython's own test of its memory errors, each failing once."""
    try:
        import _testcapi
    except ImportError:
        return
    # Its hooks stand before ours; what they refuse we do not see.
    for first in range(1, 200):
        _testcapi.set_nomemory(first, first + 1)
        try:
            KEPT.append([bytes(600), {first: "x" * 50}])
        except MemoryError:
            pass
        finally:
            _testcapi.remove_mem_hooks()
    KEPT.clear()
    books.check_records()


def limit() -> None:
    books.end()
    books.begin(memory_limit=20_000_000)
    for _ in range(3):
        assert fill() == 5
        if not books.ESTIMATED:
            books.check_records()
    report = memory.report()
    # What it takes to unwind is granted beyond the limit: 128 small blocks after each refusal.
    assert report.limit_hits >= 5 and (books.ESTIMATED or report.peak_bytes <= 20_000_000 + 128 * 512), report
    keep(1000)


def limit_in_threads() -> None:
    import threading

    def refused_often() -> None:
        mine: list[bytes] = []
        for _ in range(300):
            try:
                mine.append(bytes(200_000))
            except MemoryError:
                mine.clear()

    books.end()
    books.begin(memory_limit=10_000_000)
    threads = [threading.Thread(target=refused_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del threads, thread
    if not books.ESTIMATED:
        books.check_records()


def huge_requests() -> None:
    for size in (2**62, 2**63 - 100, 2**47, 2**40):
        for ask in (bytes, bytearray, lambda n: [None] * (n // 8), lambda n: "x" * n):
            try:
                ask(size)
            except (MemoryError, OverflowError):
                pass
    array = bytearray(100)
    for _ in range(10):
        try:
            array *= 2**55
        except (MemoryError, OverflowError):
            pass
    assert len(array) == 100
    del array
    books.check_records()


def deep() -> None:
    def down(depth: int) -> list[bytes]:
        return [bytes(100), *([] if depth == 0 else down(depth - 1))]

    sys.setrecursionlimit(20000)
    assert len(down(10000)) == 10001
    nested: list[object] = []
    for _ in range(200_000):
        nested = [nested]
    del nested
    books.check_records()


def too_deep() -> None:
    class Bad:
        def __repr__(self) -> str:
            return repr([self, bytes(10)])

        def __eq__(self, other: object) -> bool:
            return sorted([self, Bad()], key=lambda each: each == self)[0] is self

    for attempt in (lambda: repr(Bad()), lambda: Bad() == Bad(), _endless):
        for _ in range(5):
            try:
                attempt()
            except RecursionError:
                pass
    gc.collect()
    books.check_records()


def _endless() -> list[object]:
    def generator() -> object:
        yield bytes(10)
        yield from generator()  # type: ignore[misc]

    return list(generator())  # type: ignore[call-overload]


def own_limit() -> None:
    """The profiler's own memory reaches its limit in the middle of things."""
    books.end()
    books.begin(own_memory_limit=1 << 20)
    for turn in range(20):
        keep(20_000)
        del KEPT[::2]
        if turn % 5 == 4:
            KEPT.clear()
            if books.MODE != "sampled":
                import time

                time.sleep(0.3)
    report = memory.report()
    assert books.MODE == "sampled" or report.degraded, report


def many_sites() -> None:
    """More places than any table has room for at first."""
    for number in range(200):
        names: dict[str, object] = {}
        lines = "\n".join(f"k.append(bytes({n}))" for n in range(300))
        exec(compile(lines, f"<lines {number}>", "exec"), {"k": KEPT} | names)
    KEPT.clear()
    books.check_records()


if __name__ == "__main__":
    books.begin()
    globals()[sys.argv[2]]()
    books.end(None if sys.argv[2] == "single_failures" else 0)
    print("survived")

"""Interpreters that end while much is going on. The recording is never stopped; the exit status is all that counts."""

from __future__ import annotations

import atexit
import sys
import threading
import time
import weakref

import books

KEPT: list[object] = []


class Last:
    """Allocates when it dies, at whatever moment that is."""

    def __init__(self) -> None:
        self.cycle = self

    def __del__(self, bytes: type = bytes, range: type = range) -> None:
        things = [bytes(n) for n in range(50)]
        KEPT.append(things) if KEPT is not None else None


def objects_die_last() -> None:
    sys.modules["flyweight.last"] = Last()  # type: ignore[assignment]
    KEPT.extend(Last() for _ in range(100))
    globals()["__builtins__"].__dict__["last"] = Last()
    sys.last_thing = Last()  # type: ignore[attr-defined]
    weakref.finalize(Last(), lambda: KEPT.append(bytes(100)))


def handlers_at_exit() -> None:
    atexit.register(lambda: [KEPT.append(bytes(n)) for n in range(1000)])
    atexit.register(books.end)
    atexit.register(lambda: [KEPT.append(bytes(n)) for n in range(1000)])


def restarted_at_exit() -> None:
    def again() -> None:
        books.end()
        books.begin()

    atexit.register(again)


def daemon_threads_in_python() -> None:
    def forever() -> None:
        while True:
            [bytes(n) for n in range(100)]

    for _ in range(4):
        threading.Thread(target=forever, daemon=True).start()


def daemon_threads_in_native_code() -> None:
    import zlib

    def forever() -> None:
        data = b"x" * 200000
        while True:
            zlib.compress(data)

    for _ in range(6):
        threading.Thread(target=forever, daemon=True).start()
    time.sleep(0.05)


def daemon_threads_in_a_database() -> None:
    import sqlite3

    def forever() -> None:
        while True:
            database = sqlite3.connect(":memory:")
            database.execute("create table t (a text)")
            database.executemany("insert into t values (?)", [("y" * n,) for n in range(50)])
            database.execute("select a from t order by a desc").fetchall()
            database.close()

    for _ in range(4):
        threading.Thread(target=forever, daemon=True).start()
    time.sleep(0.05)


def waiting_threads() -> None:
    lock = threading.Lock()
    lock.acquire()
    for _ in range(4):
        threading.Thread(target=lock.acquire, daemon=True).start()


def thread_that_python_waits_for() -> None:
    def work() -> None:
        time.sleep(0.2)
        KEPT.extend(bytes(n) for n in range(1000))

    threading.Thread(target=work).start()


def generators_in_the_middle() -> None:
    import asyncio

    def generator() -> object:
        try:
            while True:
                yield bytes(100)
        finally:
            KEPT.append([bytes(n) for n in range(50)])

    async def coroutine() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            KEPT.append([bytes(n) for n in range(50)])

    async def asynchronous() -> object:
        try:
            while True:
                yield bytes(100)
        finally:
            KEPT.append([bytes(n) for n in range(50)])

    async def main() -> None:
        started = [asyncio.create_task(coroutine()) for _ in range(20)]
        agen = asynchronous()
        await anext(agen)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        sys.tasks = started, agen  # type: ignore[attr-defined]

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    sys.loop = loop  # type: ignore[attr-defined]
    sys.generators = [generator() for _ in range(50)]  # type: ignore[attr-defined]
    for started in sys.generators:  # type: ignore[attr-defined]
        next(started)


def system_exit_in_a_phase() -> None:
    from flyweight import memory

    phase = memory.track("left open")
    phase.__enter__()
    KEPT.append(phase)


def left_by_exit() -> None:
    import os

    daemon_threads_in_native_code()
    sys.stdout.write("survived\n")
    sys.stdout.flush()
    os._exit(0)


def interpreter_left_over() -> None:
    if sys.version_info >= (3, 13):
        import _interpreters as interpreters
    else:
        import _xxsubinterpreters as interpreters
    interpreters.run_string(interpreters.create(), "kept = [bytes(n) for n in range(1000)]")


if __name__ == "__main__":
    books.begin(publish=True)
    globals()[sys.argv[2]]()
    print("survived")

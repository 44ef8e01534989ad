"""Threads that allocate in Python and natively while recording starts, stops, and is over."""

from __future__ import annotations

import sqlite3
import sys
import threading
import zlib

import books

FAILURES: list[BaseException] = []
HANDED_ON: list[object] = []


def work(stop: threading.Event, number: int) -> None:
    try:
        step = 0
        while not stop.is_set():
            step += 1
            things: list[object] = [bytearray(size) for size in range(0, 2000, 50)]
            HANDED_ON.append(things.pop(number % 10))  # another thread will free it
            del HANDED_ON[:-30]
            assert zlib.decompress(zlib.compress(b"x" * 20000)) == b"x" * 20000
            if step % 20 == number % 20:
                database = sqlite3.connect(":memory:")
                database.execute("create table t (a text)")
                database.executemany("insert into t values (?)", [("y" * n,) for n in range(50)])
                assert database.execute("select sum(length(a)) from t").fetchone() == (1225,)
                database.close()
    except BaseException as error:
        FAILURES.append(error)
        raise


class Workers:
    def __init__(self, count: int) -> None:
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=work, args=(self.stop, number)) for number in range(count)]

    def __enter__(self) -> None:
        for thread in self.threads:
            thread.start()

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert not FAILURES, FAILURES


def rounds(count: int) -> int:
    return count * int(sys.argv[3]) if len(sys.argv) > 3 else count


def outlive_the_recording() -> None:
    import time

    with Workers(50):
        time.sleep(0.3)
        books.end(None)
        time.sleep(0.2)
    books.begin()


def see_many_recordings() -> None:
    with Workers(4):
        for _ in range(rounds(60)):
            books.end(None)
            books.begin()


def see_recordings_of_all_kinds() -> None:
    mode = books.MODE
    with Workers(4):
        for number in range(rounds(30)):
            books.end(None)
            books.MODE = list(books.MODES)[number % len(books.MODES)]
            books.begin()
        books.end(None)
    books.MODE = mode
    books.begin()


def see_reports() -> None:
    """Everything that can be asked, while they allocate."""
    from flyweight import _memory, memory

    with Workers(4):
        for _ in range(rounds(10)):
            memory.report(), memory.hot_paths(5), memory.leaks(min_age_s=0, min_size=0), memory.is_steady_state()
            memory.snapshot(), memory.sampled_stacks(), memory.collapsed_stacks()
            _memory.ages(0, 0), _memory.histories(), _memory.series(), _memory.own_memory(), _memory.samples()
            _memory.tick(), _memory.probe()
            for site in range(1, books.status()["site_count"]):
                _memory.blocks(site, 5)


def come_and_go() -> None:
    for _ in range(rounds(10)):
        threads = [threading.Thread(target=bytes, args=(1000,)) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    del threads, thread
    books.check_records()


def have_phases() -> None:
    from flyweight import memory

    def phase() -> None:
        try:
            for _ in range(20):
                with memory.track("outer"), memory.track("inner"):
                    zlib.compress(bytes(10000))
                    [bytes(n) for n in range(100)]
        except BaseException as error:
            FAILURES.append(error)

    with Workers(2):
        threads = [threading.Thread(target=phase) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def free_each_others() -> None:
    """What one thread allocated another frees: the books of both must meet."""
    import queue

    boxes: list[queue.SimpleQueue[object]] = [queue.SimpleQueue() for _ in range(20)]

    def pass_on(number: int) -> None:
        for step in range(200):
            boxes[(number + 1) % 20].put([bytearray(step), zlib.compressobj()])
            if step > 5:
                boxes[number].get()

    threads = [threading.Thread(target=pass_on, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for box in boxes:
        while not box.empty():
            box.get()
    boxes.clear()
    del threads, thread, box
    books.check_records()


if __name__ == "__main__":
    books.begin()
    globals()[sys.argv[2]]()
    alone = sys.argv[2] in ("come_and_go", "have_phases", "free_each_others", "see_reports", "outlive_the_recording")
    books.end(0 if alone else None)
    print("survived")

"""Forks: plain, from threads, while threads allocate, many in a row, grandchildren, through multiprocessing."""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings

import books

KEPT: list[bytes] = []


def keep(count: int) -> None:
    for _ in range(count):
        KEPT.append(bytes(100))


def check_kept(blocks: int) -> None:
    if not books.ESTIMATED:
        count, size = books.live_at(__file__, "keep")
        list_bytes = size - 133 * blocks
        assert count - 1 == blocks and 0 < list_bytes < 16 * blocks + 200, (count, size, blocks)


def child_goes_on(check: bool) -> None:
    """A child frees what its parent allocated, allocates itself, and its books still balance."""
    before = len(KEPT)
    del KEPT[before // 2 :]
    keep(500)
    if check:
        books.check_records()
    books.end()
    check_kept(before // 2 + 500)


def in_child(work: object, *arguments: object) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(*arguments)  # type: ignore[operator]
            status = 0
        finally:
            if status:
                sys.excepthook(*sys.exc_info())
            os._exit(status)
    return pid


def plain() -> None:
    keep(1000)
    books.check_in_child(in_child(child_goes_on, True))
    keep(10)
    books.check_records()
    check_kept(1010)


def without_a_warning() -> None:
    """Python 3.12 warns of forks in processes with threads; the profiler's own must not be the reason."""
    for _ in range(30):
        books.check_in_child(in_child(keep, 10))
        time.sleep(0.02)  # the ticker may be back at any of these forks


def many_in_a_row() -> None:
    started = time.monotonic()
    for number in range(200):
        keep(3)
        pid = in_child(keep, number)
        books.check_in_child(pid)
        if time.monotonic() - started > 3:
            break
    books.check_in_child(in_child(child_goes_on, True))


def down_five_generations() -> None:
    def generation(left: int) -> None:
        keep(100)
        if left:
            books.check_in_child(in_child(generation, left - 1))
        child_goes_on(True)

    books.check_in_child(in_child(generation, 4))


def child_records_anew() -> None:
    def anew() -> None:
        books.end()
        KEPT.clear()
        books.begin()
        keep(50)
        books.check_records()
        books.end()
        check_kept(50)

    keep(100)
    books.check_in_child(in_child(anew))


def ticker_comes_back_in_child() -> None:
    def look() -> None:
        deadline = time.monotonic() + 60
        while not books.status()["ticker_running"]:
            keep(1)
            time.sleep(0.01)
            assert time.monotonic() < deadline, "no ticker"
        time.sleep(0.3)
        child_goes_on(True)

    keep(100)
    books.check_in_child(in_child(look))


def threads_allocating(work: object) -> None:
    stop = threading.Event()
    kept_by_thread: list[object] = []

    def allocate() -> None:
        import zlib

        while not stop.is_set():
            things = [bytearray(n) for n in range(0, 3000, 100)]
            kept_by_thread.append(zlib.compress(b"x" * 5000))
            del things, kept_by_thread[:-20]

    threads = [threading.Thread(target=allocate) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        work()  # type: ignore[operator]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def while_threads_allocate() -> None:
    def fork_often() -> None:
        for _ in range(20):
            books.check_in_child(in_child(child_goes_on, False))

    keep(100)
    threads_allocating(fork_often)


def from_threads() -> None:
    def fork_some() -> None:
        try:
            for _ in range(8):
                books.check_in_child(in_child(child_goes_on, False))
        except BaseException:
            failed.append(1)
            raise

    failed: list[int] = []
    keep(100)
    threads = [threading.Thread(target=fork_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def start_and_stop_around_forks() -> None:
    def alternate() -> None:
        for _ in range(20):
            books.end()
            books.check_in_child(in_child(keep, 10))
            books.begin()
            books.check_in_child(in_child(keep, 10))

    threads_allocating(alternate)


def double(number: int) -> int:
    keep(number)
    return number * 2


def multiprocess() -> None:
    import multiprocessing

    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(double, range(50)) == [n * 2 for n in range(50)]


def process_pool() -> None:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        assert list(pool.map(double, range(50))) == [n * 2 for n in range(50)]


def through_subprocess() -> None:
    import subprocess

    for _ in range(20):
        assert subprocess.run([sys.executable, "-S", "-c", "print(7)"], capture_output=True).stdout == b"7\n"
    for _ in range(5):
        command = [sys.executable, "-S", "-c", "print(7)"]
        assert subprocess.run(command, capture_output=True, preexec_fn=lambda: keep(10)).stdout == b"7\n"
    assert os.waitstatus_to_exitcode(os.system("exit 3")) == 3
    assert os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1] == 0


def pseudo_terminal() -> None:
    import pty

    pid, file = pty.fork()
    if pid == 0:
        child_goes_on(True)
        os._exit(0)
    try:
        while os.read(file, 1000):
            pass
    except OSError:
        pass
    books.check_in_child(pid)


def exits_normally() -> None:
    """A child that leaves through the interpreter's own ending."""
    keep(100)
    pid = os.fork()
    if pid == 0:
        keep(100)
        sys.exit(0)
    books.check_in_child(pid)


def executes() -> None:
    pid = os.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-S", "-c", "pass"])
    books.check_in_child(pid)


if __name__ == "__main__":
    threaded = sys.argv[2] in ("while_threads_allocate", "from_threads", "start_and_stop_around_forks", "process_pool")
    threaded = threaded or sys.argv[2] == "multiprocess"  # its pools have threads of their own
    warnings.simplefilter("ignore" if threaded else "error", DeprecationWarning)
    books.begin(publish=True)
    globals()[sys.argv[2]]()
    books.end()
    print("survived")

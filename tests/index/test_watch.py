from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flyweight.index.watch import FileAtHand, Watch

HALF_A_TICK_S = 0.5 / os.sysconf("SC_CLK_TCK")


@contextmanager
def child(*, spinning: bool) -> Iterator[int]:
    ready, says = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(says, b"!")
        while spinning:
            pass
        signal.pause()
        os._exit(0)
    try:
        os.read(ready, 1)
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(says)


def wait_until_stuck(watch: Watch, limit_s: float) -> str:
    while not (path := watch.stuck_at(limit_s)):
        time.sleep(0.005)
    return path


def test_what_one_process_notes_the_other_reads() -> None:
    at_hand = FileAtHand()
    assert (at_hand.path, at_hand.place) == ("", "between files")
    for path in ("a/long/path.py", "b.py", "caf\udce9\n.py", "x" * 4096, "y"):
        pid = os.fork()
        if pid == 0:
            at_hand.note(path)
            os._exit(0)
        os.waitpid(pid, 0)
        assert (at_hand.path, at_hand.place) == (path, f"at {path}")
    at_hand.note("")
    assert at_hand.place == "between files"


def test_a_process_that_computes_at_one_file_is_stuck_at_it() -> None:
    at_hand = FileAtHand()
    with child(spinning=True) as pid:
        watch = Watch(pid, at_hand)
        at_hand.note("a.py")
        assert wait_until_stuck(watch, 0.05) == "a.py"
        assert watch.stuck_at(1e6) == ""


def test_every_file_has_time_of_its_own() -> None:
    at_hand = FileAtHand()
    with child(spinning=True) as pid:
        watch = Watch(pid, at_hand)
        at_hand.note("a.py")
        wait_until_stuck(watch, 0.05)
        at_hand.note("b.py")
        assert watch.stuck_at(0.0) == ""
        assert wait_until_stuck(watch, 0.05) == "b.py"


def test_a_process_between_files_is_stuck_at_nothing() -> None:
    at_hand = FileAtHand()
    with child(spinning=True) as pid:
        watch = Watch(pid, at_hand)
        at_hand.note("a.py")
        wait_until_stuck(watch, 0.05)
        at_hand.note("")
        assert watch.stuck_at(0.0) == ""
        at_hand.note("a.py")
        assert watch.stuck_at(0.0) == "", "the time before it began again counts"


def test_a_process_that_waits_or_is_suspended_is_not_stuck_however_long_it_takes() -> None:
    at_hand = FileAtHand()
    at_hand.note("a.py")
    for spinning in (False, True):
        with child(spinning=spinning) as pid:
            os.kill(pid, signal.SIGSTOP)
            os.waitid(os.P_PID, pid, os.WSTOPPED)
            watch = Watch(pid, at_hand)
            watch.stuck_at(0.0)
            time.sleep(0.05)
            assert watch.stuck_at(HALF_A_TICK_S) == ""


def test_a_process_that_is_gone_is_not_stuck() -> None:
    at_hand = FileAtHand()
    at_hand.note("a.py")
    with child(spinning=True) as pid:
        watch = Watch(pid, at_hand)
        wait_until_stuck(watch, 0.02)
    assert watch.stuck_at(0.0) == ""

"""Recording on and off, each time in an interpreter of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bare_process import run_script

from flyweight import memory
from flyweight.errors import ConfigError, FlyweightError, TrackingError
from flyweight.memory.interpreter import refusal
from flyweight.memory.page_path import DIRECTORY_VARIABLE

HEAVY = (
    "typing dataclasses json re threading collections enum contextlib functools statistics ctypes pathlib struct mmap "
    "inspect ast runpy flyweight._search flyweight.engine flyweight.config"
)


def test_importing_the_package_loads_nothing_but_itself() -> None:
    shown = run_script("import sys; a = set(sys.modules)\nfrom flyweight import memory\nprint(*set(sys.modules) - a)")
    assert set(shown.split()) == {"flyweight", "flyweight.memory", "__future__"}


def test_using_the_profiler_imports_nothing_heavy_and_nothing_of_the_search_half() -> None:
    shown = run_script(
        """
import sys
from flyweight import memory
memory.start()
with memory.track("build"):
    kept = [str(number) for number in range(1000)]
str(memory.report()), memory.hot_paths(3), memory.snapshot().compare(memory.snapshot()), memory.phases()
memory.leaks(), memory.is_steady_state(), memory.sampled_stacks(), memory.dashboard()
memory.stop()
print(*sys.modules)
"""
    )
    assert set(shown.split()) & set(HEAVY.split()) == set()


def test_every_public_name_is_there_and_documented() -> None:
    for name in memory.__all__:
        assert getattr(memory, name).__doc__, name
        assert name in dir(memory)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = memory.nonsense


def test_a_function_keeps_its_name_when_the_module_of_that_name_is_imported() -> None:
    shown = run_script(
        """
import flyweight.memory.report, flyweight.memory.snapshot, flyweight.memory.phases, flyweight.memory.leaks
from flyweight import memory
from flyweight.memory.report import Report
memory.start()
print(isinstance(memory.report(), Report), callable(memory.snapshot), callable(memory.phases), callable(memory.leaks))
memory.stop()
"""
    )
    assert shown == "True True True True\n"


def test_recording_begins_and_ends() -> None:
    shown = run_script(
        """
from flyweight import memory
print(memory.is_active())
memory.start()
print(memory.is_active(), memory.report().recording)
memory.stop()
print(memory.is_active(), memory.report().recording)
memory.stop()
memory.start(mode="sampled", native=False)
print(memory.is_active(), memory.report().mode, memory.report().tracks_native)
memory.stop()
"""
    )
    assert shown == "False\nTrue True\nFalse False\nTrue sampled False\n"


def test_a_second_start_is_refused_and_leaves_the_first_alone() -> None:
    shown = run_script(
        """
from flyweight import memory
memory.start()
before = memory.report().started_unix_s
try:
    memory.start()
except memory.TrackingError as error:
    print(error)
print(memory.is_active(), memory.report().started_unix_s == before)
memory.stop()
"""
    )
    assert "already" in shown and "stop()" in shown
    assert shown.endswith("True True\n")


def test_tracking_records_within_a_with_block_even_when_it_fails() -> None:
    shown = run_script(
        """
from flyweight import memory
try:
    with memory.tracking(native=False, publish=False):
        print(memory.is_active())
        raise ValueError
except ValueError:
    print(memory.is_active())
"""
    )
    assert shown == "True\nFalse\n"


def test_reading_before_any_recording_says_how_to_begin() -> None:
    shown = run_script(
        """
from flyweight import memory
for read in (memory.report, memory.hot_paths, memory.snapshot, memory.sampled_stacks, memory.collapsed_stacks):
    try:
        read()
    except memory.TrackingError as error:
        print("start()" in str(error))
"""
    )
    assert shown.split() == ["True"] * 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "fast"}, "'exact' or 'sampled'"),
        ({"stacks": "all"}, "'sampled' or 'full'"),
        ({"mode": "sampled", "stacks": "full"}, "full stacks need every block"),
        ({"sample_interval": 0}, "sample_interval"),
        ({"sample_interval": 1 << 31}, "sample_interval"),
        ({"sample_interval": 1e6}, "sample_interval"),
        ({"memory_limit": 0}, "memory_limit"),
        ({"memory_limit": "500MB"}, "memory_limit"),
        ({"own_memory_limit": -1}, "own_memory_limit"),
        ({"seed": True}, "seed"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        memory.start(**options)  # type: ignore[arg-type]
    assert not memory.is_active()


@pytest.mark.parametrize(
    ("interpreter", "said"),
    [
        ({"platform": "darwin"}, "needs Linux"),
        ({"implementation": "pypy"}, "needs CPython"),
        ({"maxsize": 2**31 - 1}, "64-bit"),
        ({"version": (3, 13), "abiflags": "t"}, "free-threaded"),
        ({"version": (3, 10)}, "3.11 to 3.13"),
        ({"version": (3, 14)}, "3.11 to 3.13"),
    ],
)
def test_an_interpreter_that_cannot_be_tracked_is_told_why(interpreter: dict[str, object], said: str) -> None:
    usual = {"platform": "linux", "implementation": "cpython", "version": (3, 12), "abiflags": "", "maxsize": 2**63 - 1}
    assert refusal(**usual) is None  # type: ignore[arg-type]
    assert said in (refusal(**{**usual, **interpreter}) or "")  # type: ignore[arg-type]


def test_start_refuses_with_that_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyweight.memory.session.refusal", lambda: "this is a free-threaded build")
    with pytest.raises(TrackingError, match="free-threaded"):
        memory.start()
    assert issubclass(TrackingError, FlyweightError)


def test_a_page_that_cannot_be_made_is_no_reason_not_to_record(tmp_path: Path) -> None:
    shown = run_script(
        f"""
import os
os.environ[{DIRECTORY_VARIABLE!r}] = {str(tmp_path / "nowhere")!r}
from flyweight import memory
memory.start()
print(memory.is_active(), memory.report().page_fault)
memory.stop()
"""
    )
    assert shown == "True No such file or directory\n"


def test_pages_of_dead_processes_are_cleared_away_at_start(tmp_path: Path) -> None:
    dead = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(dead, 0)
    prefix = f"flyweight-memory.{os.getuid()}"
    stale, alive = tmp_path / f"{prefix}.{dead}", tmp_path / f"{prefix}.{os.getpid()}"
    others = [tmp_path / f"{prefix}.x1", tmp_path / f"flyweight-memory.{os.getuid()}1.{dead}", tmp_path / "notes"]
    for path in (stale, alive, *others):
        path.write_bytes(b"")
    run_script(
        f"""
import os
os.environ[{DIRECTORY_VARIABLE!r}] = {str(tmp_path)!r}
from flyweight import memory
memory.start()
memory.stop()
"""
    )
    assert not stale.exists()
    assert alive.exists() and all(path.exists() for path in others)


def test_a_forked_child_goes_on_recording_and_may_stop_by_itself() -> None:
    shown = run_script(
        """
import os
from flyweight import memory
memory.start()
kept = [bytes(5000) for _ in range(100)]
pid = os.fork()
if pid == 0:
    status = 1
    try:
        before = memory.report().live_count
        more = [bytes(5000) for _ in range(100)]
        grown = memory.report().live_count - before
        assert 100 <= grown < 300, grown
        with memory.track("child") as phase:
            del more
        assert phase.freed_bytes >= 500_000, phase
        memory.stop()
        assert not memory.is_active()
        status = 0
    finally:
        os._exit(status)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), memory.is_active())
memory.stop()
"""
    )
    assert shown == "0 True\n"


def test_an_interpreter_may_end_while_recording() -> None:
    for stopping in ("", "import atexit; atexit.register(memory.stop)"):
        run_script(
            f"""
from flyweight import memory
import threading, time
memory.start()
{stopping}
kept = {{str(number): [number] for number in range(10_000)}}
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
class Late:
    def __del__(self):
        self.more = [str(number) for number in range(1000)]
late = Late()
late.itself = late
"""
        )


def test_the_profiler_is_at_hand_once_the_package_is_imported() -> None:
    assert run_script("import flyweight\nprint(flyweight.memory.is_active())") == "False\n"

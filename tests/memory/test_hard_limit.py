"""The bound that the system keeps on a program, and what is said when it is reached."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bare_process import run_script
from command_process import COMMAND, environment

from flyweight.memory.hard_limit import hard_limit_bytes, wall_bytes
from flyweight.memory.page_path import page_path
from flyweight.memory.supervisor import Wall
from flyweight.observe.bench.line_process import LineProcess

LIMIT = ["--memory-limit", "40M"]
HARD = hard_limit_bytes(40 << 20)

# What libraries take past Python: blocks from the C library, filled.
TAKE = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.restype, libc.memset.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.calloc.restype, libc.calloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t, ctypes.c_size_t]
MB = 1 << 20
def take(megabytes, pause_s=0.002):
    # Slow enough for a watcher that looks twenty times a second.
    for number in range(megabytes):
        block = libc.malloc(MB)
        if not block:
            return number
        libc.memset(block, 1, MB)
        time.sleep(pause_s)
    return megabytes
"""


# In short pieces: a signal that arrives just before a sleep begins is seen by Python only when the sleep ends.
WAIT = "import time\nfor _ in range(1000): time.sleep(0.05)\n"

# The page shows what was so at a tick; this is one.
WAIT_FOR_PAGE = "from flyweight import _memory; _memory.tick()"


def run(cwd: Path, *arguments: str, limit: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "run", *(LIMIT if limit else ()), *arguments],
        cwd=cwd,
        env=environment(cwd),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def start(cwd: Path, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "run", "--quiet", *LIMIT, "-c", code],
        cwd=cwd,
        env=environment(cwd),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_wall_stands_where_all_is_held_that_may_be() -> None:
    assert wall_bytes(500, 100, 100) == 500
    assert wall_bytes(500, 30, 100) > 500 + 70
    assert hard_limit_bytes(200) > 250


def test_memory_taken_past_python_is_bounded(tmp_path: Path) -> None:
    # --no-native: the profiler's own limit sees nothing of it.
    found = run(tmp_path, "--quiet", "--no-native", "-c", TAKE + "print(take(20_000))")
    assert found.returncode == 0, found.stderr
    # Where the far wall stands, should the watcher be kept from looking at all.
    assert 40 < int(found.stdout) <= wall_bytes(0, 0, HARD) >> 20


def test_the_wall_comes_near_when_all_is_held_that_may_be() -> None:
    code = """
import resource
from flyweight.memory.hard_limit import bound_address_space
bound_address_space(30_000_000)
print("bound", flush=True)
input()
kept = bytearray(b"x") * 50_000_000
print("held", flush=True)
input()
try:
    bytearray(1_000_000)
    print("got more", flush=True)
except MemoryError:
    print("refused", flush=True)
input()
del kept
print("gave back", flush=True)
input()
print(len(bytearray(60_000_000)), flush=True)
"""
    with LineProcess([sys.executable, "-c", code]) as process:
        wall = Wall(process.pid, 30_000_000)
        assert process.answer() == "bound"
        far = resource.prlimit(process.pid, resource.RLIMIT_DATA)[0]
        wall.look()
        assert resource.prlimit(process.pid, resource.RLIMIT_DATA)[0] == pytest.approx(far, abs=64 << 20)
        assert process.tell() == "held"
        wall.look()
        assert process.tell() == "refused"
        assert process.tell() == "gave back"
        wall.look()
        assert process.tell() == "60000000"


def test_the_wall_is_left_alone_once_it_is_lifted() -> None:
    code = """
import resource
from flyweight.memory.hard_limit import bound_address_space, lift_bounds
bound_address_space(1_000_000)
lift_bounds("")
print("lifted", flush=True)
input()
print(len(bytearray(50_000_000)))
"""
    with LineProcess([sys.executable, "-c", code]) as process:
        assert process.answer() == "lifted"
        Wall(process.pid, 1_000_000).look()
        assert process.tell() == "50000000"


def test_what_libraries_take_above_the_limit_is_counted(tmp_path: Path) -> None:
    code = f"""{TAKE}
from flyweight import _memory, memory
memory.report()
lift = _memory.set_limit
try:
    libc.malloc(60 * MB)  # it gets them, and the number that it returns is what is refused
except MemoryError:
    lift(0)
report = memory.report()
print(report.limit_hits, report.native.current_bytes >= 60 * MB)
"""
    found = run(tmp_path, "--quiet", "--soft-only", "-c", code)
    assert found.stdout == "1 True\n", found.stderr


def test_without_a_bound_of_the_systems_it_is_not(tmp_path: Path) -> None:
    found = run(tmp_path, "--quiet", "--no-native", "--soft-only", "-c", TAKE + "print(take(200, 0))")
    assert found.stdout == "200\n", found.stderr


def test_address_space_that_is_never_filled_is_not_memory(tmp_path: Path) -> None:
    """Threads reserve 8 MiB of stack each and touch a few pages of it."""
    code = """
import threading, time
started = threading.Barrier(31)
threads = [threading.Thread(target=started.wait) for _ in range(30)]
for thread in threads:
    thread.start()
    time.sleep(0.005)
started.wait()
print("all there")
"""
    found = run(tmp_path, "--quiet", "-c", code)
    assert (found.returncode, found.stdout) == (0, "all there\n"), found.stderr


def test_python_meets_the_systems_bound_as_a_memory_error(tmp_path: Path) -> None:
    code = TAKE + "take(600)\nkept = []\ndef grow():\n    while True:\n        kept.append(bytearray(MB))\ngrow()\n"
    (tmp_path / "program.py").write_text(code)
    found = run(tmp_path, "--no-native", "program.py")
    assert found.returncode == 1
    assert "MemoryError" in found.stderr
    last = found.stderr.strip().splitlines()[-1]
    assert last.startswith("The system refused memory at program.py:")
    assert "Sites by bytes live now" in found.stderr


def test_a_library_that_does_not_look_leaves_its_account(tmp_path: Path) -> None:
    code = f"""{TAKE}
try:
    take(20_000)
finally:
    libc.memset(libc.malloc(4_000 * MB), 1, 1)
"""
    (tmp_path / "program.py").write_text(code)
    found = run(tmp_path, "--no-native", "program.py")
    assert found.returncode == -signal.SIGSEGV
    assert "SIGSEGV ended the program while it held" in found.stderr
    assert "Sites by bytes live then" in found.stderr
    assert "Sites by bytes live now" not in found.stderr


@pytest.mark.parametrize(
    ("crash", "number"),
    [("ctypes.string_at(0)", signal.SIGSEGV), ("os.abort()", signal.SIGABRT)],
    ids=["fault", "abort"],
)
def test_the_account_is_of_the_moment_of_the_crash(tmp_path: Path, crash: str, number: signal.Signals) -> None:
    (tmp_path / "program.py").write_text(f"{TAKE}\ntake(30, 0)\n{crash}\n")
    found = run(tmp_path, "program.py")
    assert found.returncode == -number
    rows = [line.split() for line in found.stderr.splitlines() if "program.py:" in line]
    assert rows[0][:4] == ["31.5", "MB", "30", "31.5"] and "take" in rows[0]


def test_a_handler_of_the_programs_own_is_left_alone(tmp_path: Path) -> None:
    code = "import faulthandler, os\nfaulthandler.enable()\nos.abort()\n"
    found = run(tmp_path, "--quiet", "-c", code)
    assert found.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in found.stderr and "SIGABRT ended the program" in found.stderr


def test_who_held_what_is_said_of_a_program_that_was_killed(tmp_path: Path) -> None:
    code = f"""{TAKE}
kept = [bytes(1000) for _ in range(5000)]
take(20, 0)
{WAIT_FOR_PAGE}
print(os.getpid(), flush=True)
os.kill(os.getpid(), 9)
"""
    (tmp_path / "program.py").write_text(code)
    found = run(tmp_path, "program.py")
    assert found.returncode == -signal.SIGKILL
    assert "SIGKILL ended the program while it held 2" in found.stderr
    rows = [line.split() for line in found.stderr.splitlines() if "program.py:" in line]
    assert [row[:2] for row in rows[:2]] == [["21.0", "MB"], ["5.2", "MB"]]
    assert "take" in rows[0] and "native" in rows[0] and "python" in rows[1]
    assert any(line.split()[:2] == ["program", "5.2"] for line in found.stderr.splitlines())
    assert not os.path.exists(page_path(int(found.stdout)))


def test_quiet_leaves_one_line(tmp_path: Path) -> None:
    found = run(tmp_path, "--quiet", "-c", "import os; os.abort()")
    assert found.returncode == -signal.SIGABRT
    assert found.stderr.startswith("flyweight: SIGABRT ended the program") and found.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_reaches_the_program_and_ends_it_as_ever(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path, f"print('up', flush=True)\n{WAIT}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
    assert process.returncode == -number
    assert "flyweight:" not in said


def test_a_program_may_handle_what_it_is_sent(tmp_path: Path) -> None:
    code = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("up", flush=True)
"""
    with start(tmp_path, code + WAIT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        process.communicate(timeout=300)
    assert process.returncode == 7


def test_nobody_is_left_behind_when_the_parent_is_killed(tmp_path: Path) -> None:
    with start(tmp_path, f"import os\nprint(os.getpid(), flush=True)\n{WAIT}") as process:
        assert process.stdout is not None
        program = int(process.stdout.readline())
        assert program != process.pid
        process.kill()
        process.communicate(timeout=300)  # its pipes close when the program has ended too
    for _ in range(6000):
        if not os.path.exists(f"/proc/{program}"):
            break
        time.sleep(0.01)
    else:
        pytest.fail("the program outlived its parent")


def test_the_parent_is_lean() -> None:
    shown = run_script("import sys\nimport flyweight.memory.supervisor\nprint(*sys.modules)")
    assert set(shown.split()) & {"click", "rich", "subprocess", "typing", "json", "re", "threading", "struct"} == set()


def test_the_bound_is_lifted_for_the_report() -> None:
    shown = run_script(
        """
import resource
from flyweight.memory.hard_limit import bound_address_space, lift_bounds
before = resource.getrlimit(resource.RLIMIT_DATA)
bound_address_space(50_000_000)
during = resource.getrlimit(resource.RLIMIT_DATA)
try:
    bytearray(4_000_000_000)
    print("not bounded")
except MemoryError:
    print(during[0] != before[0], during[1] == before[1])
lift_bounds("")
print(resource.getrlimit(resource.RLIMIT_DATA) == before)
"""
    )
    assert shown == "True True\nTrue\n"

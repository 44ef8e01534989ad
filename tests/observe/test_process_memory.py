from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from flyweight.observe import process_memory
from flyweight.observe.process_memory import Memory, PeakSampler

ROLLUP = """\
55dcbe8c7000-7ffffe0e2000 ---p 00000000 00:00 0                          [rollup]
Rss:               13524 kB
Pss:               12104 kB
Pss_Dirty:          6872 kB
Shared_Clean:       1652 kB
Private_Clean:      5000 kB
Private_Dirty:      6872 kB
Anonymous:          6870 kB
AnonHugePages:       123 kB
"""

# Says a line, then holds 32 MiB until its input ends.
HOLDER = "import sys; held = bytearray(b'x' * (32 << 20)); print('held', flush=True); sys.stdin.read()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDER!r}])"


@pytest.fixture
def parent_with_child() -> Iterator[subprocess.Popen[str]]:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin is not None and parent.stdout is not None
    assert parent.stdout.readline() == "held\n"
    yield parent
    parent.stdin.close()
    parent.wait(timeout=300)
    parent.stdout.close()


def test_rollup_is_read_in_bytes() -> None:
    memory = process_memory.parse_smaps_rollup(ROLLUP)
    assert memory.rss_bytes == 13524 * 1024
    assert memory.pss_bytes == 12104 * 1024
    assert memory.anonymous_bytes == 6870 * 1024


def test_private_is_clean_and_dirty_together() -> None:
    assert process_memory.parse_smaps_rollup(ROLLUP).private_bytes == (5000 + 6872) * 1024


def test_subtraction_goes_field_by_field() -> None:
    difference = Memory(10, 9, 8, 7, 6) - Memory(1, 2, 3, 4, 5)
    assert difference == Memory(9, 7, 5, 3, 1)


def test_a_child_is_found_below_its_parent(parent_with_child: subprocess.Popen[str]) -> None:
    assert len(process_memory.descendants(parent_with_child.pid)) == 1


def test_a_child_that_holds_memory_is_charged_for_it(parent_with_child: subprocess.Popen[str]) -> None:
    (child,) = process_memory.descendants(parent_with_child.pid)
    assert process_memory.of_process(child).private_bytes > 32 << 20


def test_a_process_that_ended_counts_as_nothing() -> None:
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    assert process_memory.of_processes([ended.pid]) == Memory()


def wait_for_samples(sampler: PeakSampler, count: int) -> None:
    enough = sampler.samples + count
    while sampler.samples < enough:
        time.sleep(0.001)


def test_the_sampler_sees_a_peak_that_is_over_when_it_stops() -> None:
    short = """
import sys
held = bytearray(b'x' * (48 << 20))
print("held", flush=True)
sys.stdin.readline()
del held
print("gone", flush=True)
sys.stdin.readline()
"""
    with (
        subprocess.Popen([sys.executable, "-c", short], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        PeakSampler(process.pid, include_root=True) as sampler,
    ):
        assert process.stdin is not None and process.stdout is not None
        for said in (b"held\n", b"gone\n"):
            assert process.stdout.readline() == said
            wait_for_samples(sampler, 6)  # the first may have begun before
            process.stdin.write(b"\n")
            process.stdin.flush()
        process.wait()
    assert sampler.peak.private_bytes > 48 << 20
    assert sampler.samples > 10


def test_the_sampler_leaves_out_the_root_when_told(parent_with_child: subprocess.Popen[str]) -> None:
    with PeakSampler(parent_with_child.pid, include_root=False) as sampler:
        wait_for_samples(sampler, 2)
    (child,) = process_memory.descendants(parent_with_child.pid)
    child_alone = process_memory.of_process(child).private_bytes
    assert abs(sampler.peak.private_bytes - child_alone) < 1 << 20

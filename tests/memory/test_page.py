"""The shared page: what another process reads of a recorded one."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bare_process import run_script

from flyweight import memory
from flyweight.errors import TrackingError
from flyweight.memory.page import Page, _process_start, _text, read_page
from flyweight.memory.page_path import DIRECTORY_VARIABLE, page_path, page_pids

RECORDED = """
import sys
from flyweight import memory, _memory
memory.start()
def fill():
    for number in range(500):
        kept[number] = bytes(10_000)
kept = [None] * 500
fill()
_memory.tick()
print("ready", flush=True)
sys.stdin.readline()
memory.stop()
print("stopped", flush=True)
sys.stdin.readline()
"""
HEADER = struct.Struct("=8s4I5Q6I")
MORE = struct.Struct("=2Q10I")
COMPONENTS = 4096 + 80 * 256
BUDGETS = COMPONENTS + 33 * 64
MOMENTS = BUDGETS + 32 * 80


@pytest.fixture(autouse=True)
def own_directory(memory_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages of these tests only."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(memory_path))
    return memory_path


@pytest.fixture
def recorded() -> Iterator[subprocess.Popen[str]]:
    """A process that is recorded and holds 500 blocks of 10,033 bytes; a line ends the recording."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", RECORDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        if process.poll() is None:
            process.kill()


def made_page(**changes: int) -> bytes:
    """An empty page of this process."""
    fields = {
        "version": 2, "sequence": 2, "pid": os.getpid(), "flags": 5, "process_start": _process_start(os.getpid()),
        "started": 1000, "updated": 3500, "elapsed": 2500, "own": 99, "sites": 0, "leaks": 0,
        "site_offset": 4096, "leak_offset": 4096 + 64 * 256, "row_bytes": 256, "reserved": 0,
        "rss": 0, "limit": 0, "components": 0, "budgets": 0, "moments": 0, "first_moment": 0,
        "component_offset": COMPONENTS, "budget_offset": BUDGETS, "moment_offset": MOMENTS,
        "component_row_bytes": 64, "budget_row_bytes": 80, "moment_row_bytes": 40,
    } | changes  # fmt: skip
    values = list(fields.values())
    content = HEADER.pack(b"FLYWMEM\0", *values[:15]) + struct.pack("28Q", *range(28)) + MORE.pack(*values[15:])
    return content.ljust(MOMENTS + 256 * 40, b"\0")


def test_another_process_reads_totals_and_sites(recorded: subprocess.Popen[str]) -> None:
    page = read_page(recorded.pid)
    assert (page.pid, page.recording, page.sampled, page.degraded, page.tracks_native) == (
        recorded.pid, True, False, False, True,
    )  # fmt: skip
    largest = page.sites[0]
    assert (largest.file, largest.domain, largest.live_count) == ("<string>", "python", 500)
    assert largest.live_bytes == 500 * 10_033
    assert (largest.function, largest.line) == ("fill", 7)
    assert page.python.current_bytes >= largest.live_bytes
    assert page.all.live_count == page.python.live_count + page.native.live_count + page.mapped.live_count
    assert page.own_bytes > 0
    assert abs(page.updated_unix_s - time.time()) < 60
    sizes = [site.live_bytes for site in page.sites]
    assert sizes == sorted(sizes, reverse=True)
    assert page.to_dict()["sites"][0]["live_count"] == 500  # type: ignore[index]


def test_components_budgets_and_the_last_ticks_are_shown(own_directory: Path) -> None:
    shown = run_script(
        """
import os
from flyweight import memory, _memory
memory.component("hoard", paths=["<string>"])
memory.start(memory_limit=1 << 40)
kept = [bytes(10_000) for _ in range(500)]
silent = memory.budget(1 << 30, print)
memory.budget(1 << 20, lambda crossing: None, component="hoard")
for _ in range(300):
    _memory.tick()
from flyweight.memory.page import read_page
from flyweight.memory.steady import judge
page = read_page(os.getpid())
hoard, *others = page.components
print(hoard.name, hoard.live_bytes > 5_000_000, hoard.live_count > 500, hoard.highest_bytes >= hoard.live_bytes)
sizes = [component.live_bytes for component in others]
print(sizes == sorted(sizes, reverse=True), any(component.name == "python" for component in others))
print(abs(sum(sizes) + hoard.live_bytes - page.all.current_bytes) < 100_000)
for budget in page.budgets:
    print(budget.component, budget.limit_bytes, budget.exceeded, budget.over, budget.used_bytes <= budget.highest_bytes)
print(page.memory_limit == 1 << 40, 1 << 20 < page.rss_bytes < 1 << 33, page.rss_bytes == page.moments[-1][4])
times = [moment[0] for moment in page.moments]
print(len(times), times == sorted(times), page.moments[-1][3] > 5_000_000)
print(judge(page.moments, page.all.current_bytes, 1 << 30, 60.0).covered_s > 0)
memory.stop()
"""
    )
    assert shown.splitlines() == [
        "hoard True True True",
        "True True",
        "True",
        "None 1073741824 0 False True",
        "hoard 1048576 1 True True",
        "True True True",
        "256 True True",
        "True",
    ]


def test_an_independent_reader_finds_every_field_where_the_documents_say(own_directory: Path) -> None:
    content = bytearray(made_page(components=2, budgets=1, moments=3, first_moment=1, rss=77, limit=99))
    struct.pack_into("<3Q40s", content, COMPONENTS, 500, 5, 600, b"engine")
    struct.pack_into("<3Q40s", content, COMPONENTS + 64, 20, 2, 30, b"(other)")
    struct.pack_into("<5Q40s", content, BUDGETS, 1000, 500, 600, 3, 1, b"engine")
    for row, elapsed_ms in enumerate((750, 250, 500)):
        struct.pack_into("<5Q", content, MOMENTS + 40 * row, elapsed_ms, 1, 2, 3, 4)
    Path(page_path(os.getpid())).write_bytes(content)
    page = read_page(os.getpid())
    assert (page.rss_bytes, page.memory_limit) == (77, 99)
    assert [part.to_dict() for part in page.components] == [
        {"name": "engine", "live_bytes": 500, "live_count": 5, "highest_bytes": 600},
        {"name": "(other)", "live_bytes": 20, "live_count": 2, "highest_bytes": 30},
    ]
    assert page.to_dict()["budgets"] == [
        {
            "component": "engine",
            "limit_bytes": 1000,
            "used_bytes": 500,
            "highest_bytes": 600,
            "exceeded": 3,
            "over": True,
        }
    ]
    assert page.moments == [(250, 1, 2, 3, 4), (500, 1, 2, 3, 4), (750, 1, 2, 3, 4)]


def test_the_page_goes_with_the_recording(recorded: subprocess.Popen[str]) -> None:
    assert [page.pid for page in memory.pages()] == [recorded.pid]
    assert recorded.stdin is not None and recorded.stdout is not None
    recorded.stdin.write("\n")
    assert recorded.stdout.readline() == "stopped\n"
    with pytest.raises(TrackingError, match=r"publishes no memory figures .*flyweight run"):
        read_page(recorded.pid)
    assert memory.pages() == []


def test_the_page_of_a_killed_process_is_not_taken_for_a_living_one(recorded: subprocess.Popen[str]) -> None:
    recorded.send_signal(signal.SIGKILL)
    recorded.wait()
    assert os.path.exists(page_path(recorded.pid))
    assert memory.pages() == []
    with pytest.raises(TrackingError, match="there is no process"):
        read_page(recorded.pid)


def test_a_process_that_ends_without_stopping_leaves_no_page(own_directory: Path) -> None:
    run_script(
        """
import os, sys
from flyweight import memory, _memory
memory.start()
if os.fork() == 0:
    for _ in range(100):
        _memory.tick()
    sys.exit()
os.wait()
"""
    )
    assert list(own_directory.iterdir()) == []


def test_only_its_user_can_read_a_page(recorded: subprocess.Popen[str]) -> None:
    assert os.stat(page_path(recorded.pid)).st_mode & 0o777 == 0o600


def test_a_process_that_never_was_is_said_to_be_none() -> None:
    with pytest.raises(TrackingError, match="there is no process 4194304"):
        read_page(4_194_304)  # one above the largest pid_max


def test_a_forked_child_has_a_page_of_its_own(own_directory: Path) -> None:
    shown = run_script(
        """
import os, time
from flyweight import memory, _memory
from flyweight.memory.page import read_page
memory.start()
pid = os.fork()
if pid == 0:
    status = 1
    try:
        kept = [None] * 200
        for number in range(200):
            kept[number] = bytes(50_000)
        deadline = time.monotonic() + 20
        while status and time.monotonic() < deadline:
            _memory.tick()
            try:
                page = read_page(os.getpid())
                status = 0 if page.sites and page.sites[0].live_bytes == 200 * 50_033 else 1
            except memory.TrackingError:
                pass
            time.sleep(0.01)
    finally:
        os._exit(status)
_memory.tick()
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), read_page(os.getpid()).sites[0].live_bytes < 10_000_000)
memory.stop()
"""
    )
    assert shown == "0 True\n"


def test_a_page_is_read_while_it_is_written(recorded: subprocess.Popen[str]) -> None:
    """Copies are whole: a page's totals and the sums of its parts were written together."""
    seen = set()
    for _ in range(300):
        page = read_page(recorded.pid)
        assert page.all.allocated_bytes == sum(part.allocated_bytes for part in (page.python, page.native, page.mapped))
        seen.add(page.updated_unix_s)
    assert seen


def test_a_copy_taken_during_a_write_is_taken_again(own_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyweight.memory.page._PATIENCE_S", 60.0)  # on a busy machine the end may come late
    path = Path(page_path(os.getpid()))
    path.write_bytes(made_page(sequence=3))

    def finish() -> None:
        time.sleep(0.02)
        with open(path, "r+b") as file:
            file.seek(12)
            file.write(struct.pack("I", 4))

    writer = threading.Thread(target=finish)
    writer.start()
    page = read_page(os.getpid())
    writer.join()
    assert (page.started_unix_s, page.updated_unix_s, page.elapsed_s, page.own_bytes) == (1.0, 3.5, 2.5, 99)
    assert (page.python.current_bytes, page.native.current_bytes, page.all.live_count) == (0, 7, 27)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has 0 bytes"),
        (b"FLYWMEM\0", "it has 8 bytes"),
        (b"\0" * 24_576, "does not begin as one"),
        (made_page(version=9), "it has version 9, this build reads 2"),
        (made_page(sequence=3), "written without an end"),
        (made_page(sites=64)[:5000], "no page that this build can read"),
        (made_page(sites=2**32 - 1), "no page that this build can read"),
        (made_page(row_bytes=8, sites=3), "its rows have 8 bytes"),
        (made_page(component_row_bytes=8), "its rows have 8 bytes"),
        (made_page(budgets=4000), "no page that this build can read"),
        (made_page(moment_row_bytes=0), "its rows have 0 bytes"),
        (made_page()[:330], "no page that this build can read"),
        (made_page(process_start=1), "there is no process"),
    ],
    ids=[
        "empty",
        "short",
        "zero",
        "version",
        "odd",
        "cut short",
        "rows",
        "narrow",
        "narrow components",
        "budgets",
        "no moments",
        "half a header",
        "reused pid",
    ],
)
def test_a_file_that_is_no_page_of_the_process_is_refused(
    content: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyweight.memory.page._PATIENCE_S", 0.1)
    Path(page_path(os.getpid())).write_bytes(content)
    with pytest.raises(TrackingError, match=said):
        read_page(os.getpid())
    assert memory.pages() == []


def test_a_link_is_not_followed(own_directory: Path) -> None:
    (own_directory / "elsewhere").write_bytes(made_page())
    os.symlink(own_directory / "elsewhere", page_path(os.getpid()))
    with pytest.raises(TrackingError):
        read_page(os.getpid())


def test_a_domain_that_is_unknown_is_refused() -> None:
    content = bytearray(made_page(sites=1))
    struct.pack_into("=6Qq2I", content, 4096, 1, 1, 1, 1, 1, 1, 0, 10, 3)
    with pytest.raises(IndexError):
        Page(bytes(content))


@pytest.mark.parametrize(
    ("field", "text"),
    [(b"abc\0def", "abc"), ("é".encode()[1:] + b"b\0", "b"), (b"\xff\xfe\0", "��"), (b"\0", ""), (b"a" * 4, "aaaa")],
)
def test_names_end_at_the_zero_byte_and_may_begin_in_the_middle_of_a_character(field: bytes, text: str) -> None:
    assert _text(field) == text


def test_other_files_in_the_directory_are_no_pages(own_directory: Path) -> None:
    uid = os.getuid()
    for name in (f"flyweight-memory.{uid}.", f"flyweight-memory.{uid}.x", f"flyweight-memory.{uid}.١", "other.1"):
        (own_directory / name).write_bytes(b"")
    (own_directory / f"flyweight-memory.{uid}.77").write_bytes(b"")
    assert page_pids() == [77]

"""Captures of programs that allocate a known amount: what is in them, what is not, and the files they become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bare_process import run_script

from flyweight.observe.document import checked, read

PROGRAM = """
import gc, sys
from flyweight import memory
gc.disable()
memory.start({options}, publish=False)
def fill():
    return [bytes(10_000) for _ in range(300)]
kept = fill()
for _ in range(50):
    bytes(100_000)
with memory.track("texts"):
    texts = [str(number) * 50 for number in range(2000)]
"""
SAVE = PROGRAM + "memory.save(sys.argv[1])\n"


def saved(path: Path, script: str = SAVE, options: str = "native=False") -> dict[str, Any]:
    run_script(script.replace("{options}", options), path)
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_sites_add_up_to_the_totals_from_before_the_capture(tmp_path: Path) -> None:
    document = saved(tmp_path / "capture.json")
    sites, report = document["sites"], document["report"]
    assert sum(site["live_bytes"] for site in sites) == report["current_bytes"]
    assert sum(site["live_count"] for site in sites) == report["live_count"]
    assert sum(site["total_bytes"] for site in sites) == report["allocated_bytes"]
    assert sum(site["total_count"] for site in sites) == report["allocation_count"]
    fill = next(site for site in sites if site["function"] == "fill.<locals>.<listcomp>" or site["function"] == "fill")
    assert fill == max(sites, key=lambda site: site["live_bytes"]) and fill["component"]


def test_nothing_of_the_capture_itself_is_in_it(tmp_path: Path) -> None:
    document = saved(tmp_path / "capture.json")
    of_capture = (
        "capture_parts.py",
        "capture_file.py",
        "json_stream.py",
        "attribution.py",
        "holders.py",
        "timeline.py",
    )
    assert not [site for site in document["sites"] if site["file"].endswith(of_capture)]
    # The answers of the native module are the capture's work too.
    assert not [site for site in document["sites"] if site["function"] == "Moment.__init__"]


def test_every_part_is_there_and_reads_as_a_document(tmp_path: Path) -> None:
    script = SAVE.replace("memory.save", "memory.phase('Filled')\nmemory.budget(1 << 40)\nmemory.save")
    document = read_back = saved(tmp_path / "capture.json", script, "stacks='full'")
    assert read(tmp_path / "capture.json") == read_back
    attribution = document["attribution"]
    assert sum(row["rss_bytes"] for row in attribution["rows"]) == attribution["rss_bytes"] > 0
    assert [phase["name"] for phase in document["phases"]] == ["Filled"]
    assert [totals["name"] for totals in document["tracked"]] == ["texts"]
    assert [budget["limit_bytes"] for budget in document["budgets"]] == [1 << 40]
    assert document["leaks"] == [] or isinstance(document["leaks"], list)
    assert document["steady"]["reason"] and document["queries"] == []
    assert document["program"]["arguments"][-1] == str(tmp_path / "capture.json")


def test_full_stacks_add_up_and_lead_to_their_sites(tmp_path: Path) -> None:
    document = saved(tmp_path / "capture.json", options="native=False, stacks='full'")
    frames, sites = document["frames"], document["sites"]
    assert sum(stack["live_bytes"] for stack in document["stacks"]) == document["report"]["current_bytes"]
    for stack in document["stacks"]:
        site = sites[stack["site"]]
        if stack["frames"]:
            assert frames[stack["frames"][-1]] == [site["file"], site["line"], site["function"]]
    chains = [[frames[number][2] for number in stack["frames"]] for stack in document["stacks"]]
    assert any(chain[:2] == ["<module>", "fill"] for chain in chains)


def test_a_capture_after_stop_shows_the_picture_at_stop(tmp_path: Path) -> None:
    document = saved(tmp_path / "capture.json", SAVE.replace("memory.save", "memory.stop()\nmemory.save"))
    assert checked(document)["leaks"] is None and not document["report"]["recording"]
    assert document["report"]["current_bytes"] > 3_000_000
    assert sum(site["live_bytes"] for site in document["sites"]) == document["report"]["current_bytes"]


def test_more_sites_than_are_kept_are_added_up(tmp_path: Path) -> None:
    document = saved(tmp_path / "capture.json", SAVE.replace("sys.argv[1]", "sys.argv[1], 3"))
    report, sites = document["report"], document["sites"]
    assert [site["function"] == "(other sites)" for site in sites] == [False] * 3 + [True]
    assert sum(site["live_bytes"] for site in sites) == report["current_bytes"]
    assert sum(site["total_count"] for site in sites) == report["allocation_count"]


def test_capture_returns_what_save_writes(tmp_path: Path) -> None:
    script = PROGRAM + "import json\nprint(json.dumps(memory.capture(holders_for=0)))"
    document = json.loads(run_script(script.replace("{options}", "native=False")))
    assert list(document) == list(saved(tmp_path / "capture.json"))
    assert checked(document)["report"]["current_bytes"] > 3_000_000


def test_leaks_come_with_their_holders() -> None:
    document = json.loads(
        run_script("""
import json, time
from flyweight import memory
memory.start(native=False, publish=False)
listeners = []
def subscribe(name):
    listeners.append(lambda event: (name, event))
began, document = time.monotonic(), None
while time.monotonic() < began + 60:
    for number in range(200):
        subscribe(number)
    time.sleep(0.05)
    if "subscribe" in [leak.function for leak in memory.leaks(min_age_s=0.5)]:
        document = memory.capture(leak_age_s=0.5)
        if "subscribe" in [leak["function"] for leak in document["leaks"]]:
            break
print(json.dumps(document))
""")
    )
    leak = next(leak for leak in document["leaks"] if leak["function"] == "subscribe")
    assert document["sites"][leak["site"]]["line"] == leak["line"]
    assert "listeners" in json.dumps(leak["holders"]["chains"])


def test_other_suffixes_are_made_by_a_process_of_their_own(tmp_path: Path) -> None:
    heavy = "rich, json, re, typing, dataclasses, subprocess, collections, enum, flyweight.observe"
    script = (
        PROGRAM
        + f"""
loaded = set(sys.modules)
for name in sys.argv[1:]:
    memory.save(name)
print([name for name in {heavy.split(", ")!r} if name in set(sys.modules) - loaded])
"""
    )
    names = [tmp_path / name for name in ("heap.pb.gz", "report.md", "all.json")]
    assert run_script(script.replace("{options}", "native=False"), *names) == "[]\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.json", "heap.pb.gz", "report.md"]
    assert "# Memory of" in names[1].read_text() and names[0].read_bytes()[:2] == b"\x1f\x8b"


def test_a_program_that_ignores_its_children_can_save_too(tmp_path: Path) -> None:
    script = (
        PROGRAM
        + """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
memory.save(sys.argv[1])
try:
    memory.save(sys.argv[2])
except Exception as error:
    print(type(error).__name__)
"""
    )
    (tmp_path / "directory.md").mkdir()
    names = (tmp_path / "report.md", tmp_path / "directory.md")
    assert run_script(script.replace("{options}", "native=False"), *names) == "PathError\n"
    assert names[0].read_text().startswith("# Memory of")


def test_errors_name_the_thing_and_leave_no_draft(tmp_path: Path) -> None:
    script = (
        PROGRAM
        + """
from flyweight.errors import FlyweightError
for name in sys.argv[1:]:
    try:
        memory.save(name)
    except FlyweightError as error:
        print(type(error).__name__, error)
"""
    )
    (tmp_path / "directory.md").mkdir()
    names = [tmp_path / "report.pdf", tmp_path / "gone" / "a.json", tmp_path / "directory.md"]
    lines = run_script(script.replace("{options}", "native=False"), *names).splitlines()
    assert lines[0].startswith(f"PathError {names[0]} does not say what to write: its name must end in .json")
    assert lines[1].startswith("PathError the capture cannot be written to") and "No such file" in lines[1]
    assert lines[2].startswith(f"PathError {names[2]} cannot be made: the report cannot be written to")
    assert [path.name for path in tmp_path.iterdir()] == ["directory.md"]


def test_wrong_arguments_and_no_recording_are_refused() -> None:
    script = """
from flyweight import memory
from flyweight.errors import FlyweightError
def refused(**arguments):
    try:
        memory.capture(**arguments)
    except FlyweightError as error:
        print(type(error).__name__, error)
refused()
memory.start(native=False, publish=False)
refused(top_n=0)
refused(holders_for=-1)
"""
    lines = run_script(script).splitlines()
    assert [line.split()[0] for line in lines] == ["TrackingError", "ConfigError", "ConfigError"]
    assert "top_n must be a number from 1 on, not 0" in lines[1] and "holders_for" in lines[2]


def test_saving_takes_less_than_the_document_would(tmp_path: Path) -> None:
    script = """
import sys
from flyweight import memory
memory.start(native=False, publish=False, stacks="full")
for number in range(2000):
    exec(f"def made_{number}():\\n    return bytes({number} + 100)\\nkept_{number} = made_{number}()")
memory.capture(top_n=1)  # what is loaded once is loaded
peaks = []
for take in (memory.capture, lambda: memory.save(sys.argv[1])):
    with memory.track("take") as phase:
        take()
    peaks.append(phase.peak_net_bytes)
print(*peaks)
"""
    whole, streamed = map(int, run_script(script, tmp_path / "capture.json").split())
    assert streamed < 0.7 * whole

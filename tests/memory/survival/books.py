"""Starts a recording as a test asks, ends it, and checks that its books balance. Used by the programs beside it."""

from __future__ import annotations

import os
import sys
import time

from flyweight import _memory, memory

MODES: dict[str, dict[str, object]] = {
    "python": {"native": False},
    "native": {"native": True},
    "sampled": {"mode": "sampled", "sample_interval": 4096},
    "full": {"stacks": "full"},
    "stacks": {"native_stacks": True, "sample_interval": 4096},
    "capped": {"own_memory_limit": 1},
}
MODE = sys.argv[1] if len(sys.argv) > 1 else "native"
_AGE_COLUMNS = (*_memory.AGE_COLUMNS, *(f"bin{number}" for number in range(_memory.AGE_BINS)))
ESTIMATED = MODE in ("sampled", "capped")
LARGEST = 100_000  # no block that a program counts by half is larger


def begin(**options: object) -> None:
    if MODE == "plain":  # to tell a failure of the program from one of the profiler
        return
    memory.start(**{"publish": False, "seed": 7, **MODES[MODE], **options})  # type: ignore[arg-type]


def rows(answer: bytes, columns: tuple[str, ...]) -> list[dict[str, int]]:
    values = memoryview(answer).cast("q").tolist()
    width = len(columns)
    return [dict(zip(columns, values[at : at + width], strict=True)) for at in range(0, len(values), width)]


def status() -> dict[str, int]:
    return rows(_memory.status(), _memory.STATUS_COLUMNS)[0]


def check_records() -> None:
    """While recording, with no other thread at work: what the records say is live is what the counters say is live."""
    if ESTIMATED or MODE == "plain":
        return
    for attempt in range(100):
        try:
            return _check_records()
        except AssertionError:
            if attempt == 99:
                raise
        time.sleep(0.05)  # a thread that was joined may still be returning its last blocks


def _check_records() -> None:
    recorded = {row["site"]: row for row in rows(_memory.ages(0, 0), _AGE_COLUMNS)}
    for site in rows(_memory.sites(), _memory.SITE_COLUMNS):
        if _memory.DOMAINS[site["domain"]] == "mapped" or _memory.string(site["file"]) == __file__:
            continue
        found = recorded.get(site["site"], {"live_count": 0, "bytes": 0})
        name = f"{_memory.string(site['file'])}:{site['line']} {_memory.string(site['function'])}"
        assert found["live_count"] == site["live_count"], (name, found, site)
        assert found["bytes"] == site["live_bytes"], (name, found, site)


def check_sums(lost: int | None = 0, halves: int = 0) -> None:
    """After the recording: sites add up to totals, and nothing is negative.

    lost: how many frees may be lost; None where others were at work meanwhile.
    halves: at how many sites a block may be counted by half, where others went on without our GIL across the end of one
    recording and the beginning of the next: stop() and start() give them milliseconds to leave a hook, no more.
    """
    odd = []
    totals = rows(_memory.counters(), _memory.COUNTER_COLUMNS)
    sums = [dict.fromkeys(("live_count", "live_bytes", "total_count", "total_bytes"), 0) for _ in range(3)]
    for site in rows(_memory.sites(), _memory.SITE_COLUMNS):
        name = f"{_memory.string(site['file'])}:{site['line']} {_memory.string(site['function'])}"
        over = site["live_count"] - site["total_count"], site["live_bytes"] - site["total_bytes"]
        under = -site["live_count"], -site["live_bytes"]
        if max(*over, *under) > 0:
            odd.append((name, site))
            assert len(odd) <= halves, odd
            assert max(over[0], under[0]) <= 1 and max(over[1], under[1]) <= LARGEST, odd
        assert lost is None or site["peak_bytes"] >= site["live_bytes"], (name, site)
        for column, value in sums[site["domain"]].items():
            sums[site["domain"]][column] = value + site[column]
    for domain, summed in enumerate(sums):
        row = totals[domain]
        assert row["current_bytes"] == summed["live_bytes"] and row["live_count"] == summed["live_count"], (row, summed)
        assert row["allocated_bytes"] == summed["total_bytes"], (row, summed)
        assert row["allocation_count"] == summed["total_count"], (row, summed)
        assert row["deallocation_count"] == row["allocation_count"] - row["live_count"] >= 0, row
        assert row["freed_bytes"] == row["allocated_bytes"] - row["current_bytes"] >= 0, row
        # Two writers at one instant may each miss the other's last block in the peak.
        assert lost is None or row["peak_bytes"] >= row["current_bytes"], row
    for column in ("current_bytes", "allocated_bytes", "freed_bytes", "allocation_count", "live_count"):
        assert totals[3][column] == sum(row[column] for row in totals[:3]), column
    if lost is not None:
        assert status()["lost_frees"] <= lost, status()


def end(lost: int | None = 0, halves: int = 0) -> None:
    if MODE == "plain":
        return
    memory.stop()
    check_sums(lost, halves)


def live_at(file: str, function: str) -> tuple[int, int]:
    """Blocks and bytes live at the function's sites."""
    count = size = 0
    for site in rows(_memory.sites(), _memory.SITE_COLUMNS):
        if _memory.string(site["function"]) == function and _memory.string(site["file"]) == file:
            count += site["live_count"]
            size += site["live_bytes"]
    return count, size


def check_in_child(pid: int) -> None:
    """Waits for a forked child and passes its failure on."""
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"

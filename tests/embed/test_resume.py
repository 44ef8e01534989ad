"""Kill -9 of builders and gateways while texts are being paid for. FLYWEIGHT_KILLS sets how many (default 20)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.embed.interrupted_builder import IN_FLIGHT, text_of
from tests.embed.scripted_gateway import PROGRAM, Script

KILLS = min(20, int(os.environ.get("FLYWEIGHT_KILLS", "20")))
BUILDER = Path(__file__).parent / "interrupted_builder.py"


class Builder:
    """A builder process, leader of its own process group."""

    def __init__(self, script: Script, texts: int) -> None:
        command = [sys.executable, str(BUILDER), str(script.directory / "cache"), str(texts)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0)
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self.gateway = int(self._output.readline())

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.close()

    def finish(self) -> str:
        """What it says in the end."""
        said = self._output.read().strip()
        self.close()
        return said

    def close(self) -> None:
        self._process.wait()
        self._output.close()


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setenv("SCRIPT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PROGRAM.parents[2]), os.environ.get("PYTHONPATH", "")]))
    return Script(tmp_path)


def wait_until_paid(builder: Builder, script: Script, count: int) -> None:
    while sum(script.paid.values()) < count and builder.runs:
        time.sleep(0.002)


def test_nothing_is_paid_twice_however_often_the_builder_is_killed(script: Script) -> None:
    draw = random.Random(8)
    texts = 12 * KILLS
    for _ in range(KILLS):
        builder = Builder(script, texts)
        # Seldom at its start, mostly with requests in flight; the next one begins while its gateway still drains.
        wait_until_paid(builder, script, sum(script.paid.values()) + draw.randrange(16))
        builder.kill()
    assert Builder(script, texts).finish() == "done"
    assert script.paid == {text_of(number): 1 for number in range(texts)}


def test_a_killed_gateway_costs_at_most_what_was_in_flight(script: Script) -> None:
    draw = random.Random(9)
    kills = max(1, KILLS // 4)
    texts = 20 * kills
    twice = 0
    for _ in range(kills):
        builder = Builder(script, texts)
        wait_until_paid(builder, script, sum(script.paid.values()) + draw.randrange(1, 20))
        with contextlib.suppress(ProcessLookupError):
            os.kill(builder.gateway, signal.SIGKILL)
        builder.finish()
        before, twice = twice, sum(script.paid.values()) - len(script.paid)
        assert twice - before <= IN_FLIGHT
    assert Builder(script, texts).finish() == "done"
    assert set(script.paid) == {text_of(number) for number in range(texts)}
    assert sum(script.paid.values()) - len(script.paid) <= kills * IN_FLIGHT


def test_the_gateway_of_a_killed_builder_stores_what_is_in_flight_and_ends(script: Script) -> None:
    builder = Builder(script, 60)
    wait_until_paid(builder, script, 5)
    builder.kill()
    while os.path.exists(f"/proc/{builder.gateway}") and not is_zombie(builder.gateway):
        time.sleep(0.005)
    paid = script.paid
    assert sum(paid.values()) >= 5
    assert Builder(script, 60).finish() == "done"
    assert script.paid == {text_of(number): 1 for number in range(60)}


def is_zombie(pid: int) -> bool:
    """It has ended, and whoever adopted it has not looked yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"

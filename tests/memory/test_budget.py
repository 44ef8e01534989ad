"""Budgets: when they are exceeded, who is told and how, and what must not happen at forks and ends."""

from __future__ import annotations

import subprocess
import sys

import pytest
from bare_process import run_script

from flyweight import memory
from flyweight.errors import BudgetExceeded, BudgetWarning, ConfigError, FlyweightError, TrackingError

# `ticks` returns when the main thread has been told of all that was crossed.
BEGIN = """
import os, sys, time
from flyweight import _memory, memory
WAITING, WIDTH = _memory.BUDGET_COLUMNS.index("waiting"), len(_memory.BUDGET_COLUMNS)
def ticks(count=1):
    for _ in range(count):
        _memory.tick()
        until = time.monotonic() + 30
        while any(memoryview(_memory.budgets()).cast("q")[WAITING::WIDTH]) and time.monotonic() < until:
            pass
def fill(count, size=10_000):
    return [bytes(size) for _ in range(count)]
memory.start(publish=False)
"""


def shown_by(script: str) -> list[str]:
    return run_script(BEGIN + script).splitlines()


def test_a_callable_gets_the_figures_once_for_each_crossing() -> None:
    shown = shown_by(
        """
seen = []
limit = memory.report().current_bytes + 1_000_000
budget = memory.budget(limit, seen.append)
ticks()
print(len(seen), budget.exceeded, budget.over)
kept = fill(200)
ticks(5)
print(len(seen), budget.exceeded, budget.over, budget.used_bytes > limit, budget.highest_bytes >= budget.used_bytes)
crossing = seen[0]
print(crossing.budget is budget, crossing.limit_bytes == limit, crossing.used_bytes > limit, crossing.component)
print([site.function.rpartition(".")[2] for site in crossing.largest_sites(1)])
del kept
ticks(5)
print(len(seen), budget.over)
kept = fill(200)
ticks(5)
print(len(seen), budget.exceeded)
print(budget.to_dict() == {"component": None, "limit_bytes": limit, "used_bytes": budget.used_bytes,
    "highest_bytes": budget.highest_bytes, "exceeded": 2, "over": True, "active": True, "on_exceed": "call"}
    or budget.to_dict())
"""
    )
    assert shown[:4] == ["0 0 False", "1 1 True True True", "True True True None", shown[3]]
    assert "fill" in shown[3] or "listcomp" in shown[3]
    assert shown[4:6] == ["1 False", "2 2"]


def test_a_warning_names_use_budget_and_the_largest_sites() -> None:
    shown = shown_by(
        """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    memory.budget(memory.report().current_bytes + 1_000_000)
    kept = fill(200)
    ticks(3)
print(len(caught), caught[0].category.__name__, caught[0].filename)
print(caught[0].message)
"""
    )
    assert shown[0] == "1 BudgetWarning <string>"
    assert shown[1].startswith("tracked memory reached ")
    assert " MB, over the budget of " in shown[1] and "; most is held by <string>:" in shown[1]


def test_warnings_are_shown_by_default() -> None:
    assert issubclass(BudgetWarning, RuntimeWarning)
    outcome = subprocess.run(
        [sys.executable, "-P", "-c", BEGIN + "memory.budget(1)"], capture_output=True, text=True, timeout=300
    )
    assert outcome.returncode == 0
    line = BEGIN.count("\n") + 1
    assert f"<string>:{line}: BudgetWarning: tracked memory reached" in outcome.stderr


def test_raise_raises_in_the_main_thread() -> None:
    shown = shown_by(
        """
memory.budget(memory.report().current_bytes + 1_000_000, "raise")
try:
    kept = fill(200)
    ticks(3)
    time.sleep(20)
    print("not raised")
except memory.BudgetExceeded as error:
    print(error.limit_bytes < error.used_bytes, error.component)
    print(error)
time.sleep(0.6)
print("raised once")
"""
    )
    assert shown[0] == "True None"
    assert shown[1].startswith("tracked memory reached ")
    assert shown[2] == "raised once"


def test_the_ticker_notices_by_itself() -> None:
    shown = shown_by(
        """
seen = []
memory.budget(memory.report().current_bytes + 1_000_000, seen.append)
kept = fill(200)
until = time.monotonic() + 30
while not seen and time.monotonic() < until:
    time.sleep(0.01)
print(len(seen))
"""
    )
    assert shown == ["1"]


def test_a_program_that_only_computes_is_told_by_the_ticker() -> None:
    """On 3.11 and 3.12 a pending call of another thread waits until the main thread next takes the GIL."""
    shown = shown_by(
        """
seen = []
memory.budget(memory.report().current_bytes + 1_000_000, seen.append)
kept = fill(200)
until = time.monotonic() + 60
while not seen and time.monotonic() < until:
    pass
print(len(seen))
"""
    )
    assert shown == ["1"]


def test_another_thread_that_allocates_is_noticed_in_the_main_thread() -> None:
    shown = shown_by(
        """
import _thread
where, kept = [], []
memory.budget(memory.report().current_bytes + 1_000_000, lambda crossing: where.append(_thread.get_ident()))
_thread.start_new_thread(lambda: kept.append(fill(200)), ())
until = time.monotonic() + 30
while not where and time.monotonic() < until:
    time.sleep(0.01)
print(where == [_thread.get_ident()])
"""
    )
    assert shown == ["True"]


def test_a_budget_of_a_component_looks_at_its_sites_only() -> None:
    shown = shown_by(
        """
source = "def take(count): return [bytes(10_000) for _ in range(count)]"
spaces = {}, {}
for name, space in zip("ab", spaces):
    exec(compile(source, f"/srv/{name}/x.py", "exec"), space)
memory.component("a", paths=["/srv/a"])
seen = []
budget = memory.budget(1_000_000, seen.append, component="a")
kept = spaces[1]["take"](500)
ticks(2)
print(len(seen), budget.used_bytes < 100_000)
more = spaces[0]["take"](200)
ticks(2)
print(len(seen), seen[0].component, [site.file for site in seen[0].largest_sites(1)], str(seen[0])[:22])
print(repr(budget).startswith("<Budget of a: "))
"""
    )
    assert shown == ["0 True", "1 a ['/srv/a/x.py'] tracked memory of a re", "True"]


def test_what_is_over_already_is_said_right_away() -> None:
    shown = shown_by(
        """
seen = []
memory.budget(1, seen.append)
print(len(seen))
try:
    memory.budget(1, "raise")
except memory.BudgetExceeded:
    from flyweight.memory.budget import budgets
    print([budget.on_exceed == "raise" for budget in budgets()])
"""
    )
    assert shown == ["1", "[False]"]


def test_a_peak_between_two_looks_counts() -> None:
    shown = shown_by(
        """
seen = []
budget = memory.budget(memory.report().peak_bytes + 5_000_000, seen.append)
fill(1, 20_000_000)
ticks()
print(len(seen), seen[0].used_bytes > 20_000_000, budget.over)
"""
    )
    assert shown == ["1 True False"]


def test_a_with_block_is_looked_at_on_its_way_out_and_ends_the_budget() -> None:
    shown = shown_by(
        """
from flyweight.memory.budget import budgets
try:
    with memory.budget(memory.report().peak_bytes + 5_000_000, "raise") as budget:
        fill(1, 20_000_000)
except memory.BudgetExceeded:
    print("raised", budget.exceeded, budget.active, budgets())
with memory.budget(memory.report().peak_bytes + 5_000_000, "raise") as budget:
    pass
print(budget.exceeded, budget.active, budget.used_bytes > 0)
try:
    with memory.budget(1 << 40, "raise") as budget:
        raise KeyError("mine")
except KeyError as error:
    print(error, budget.active)
"""
    )
    assert shown[:2] == ["raised 1 False []", "0 False True"]
    assert shown[2] == "'mine' False"


def test_a_cancelled_budget_is_silent_and_keeps_its_figures() -> None:
    shown = shown_by(
        """
seen = []
budget = memory.budget(memory.report().current_bytes + 1_000_000, seen.append)
budget.cancel()
budget.cancel()
kept = fill(200)
ticks(3)
print(len(seen), budget.active, budget.used_bytes > 0, budget.exceeded, repr(budget).endswith("cancelled>"))
"""
    )
    assert shown == ["0 False True 0 True"]


def test_errors_of_a_callable_are_nobodys_to_handle() -> None:
    shown = shown_by(
        """
caught = []
sys.unraisablehook = caught.append
def fail(crossing):
    raise SystemExit("no")
memory.budget(1, fail)
print(caught[0].exc_type.__name__, caught[0].object.__name__)
caught.clear()
"""
    )
    assert shown == ["SystemExit _crossed"]


def test_a_callable_may_set_and_cancel_budgets() -> None:
    shown = shown_by(
        """
from flyweight.memory.budget import budgets
def replace(crossing):
    crossing.budget.cancel()
    memory.budget(crossing.used_bytes * 10, replace)
memory.budget(1, replace)
ticks(3)
print(len(budgets()), budgets()[0].exceeded)
"""
    )
    assert shown == ["1 0"]


def test_there_is_room_for_32_budgets() -> None:
    shown = shown_by(
        """
made = [memory.budget(1 << 40, print) for _ in range(32)]
try:
    memory.budget(1 << 40)
except memory.ConfigError as error:
    print(error)
made[5].cancel()
print(memory.budget(1 << 40).active)
"""
    )
    assert shown == ["there is room for 32 budgets: cancel() those that are not needed any more", "True"]


def test_budgets_outlive_a_recording_and_are_in_force_in_the_next() -> None:
    shown = shown_by(
        """
seen = []
budget = memory.budget(memory.report().current_bytes + 1_000_000, seen.append)
memory.stop()
kept = fill(200)
time.sleep(0.3)
print(len(seen))
memory.start(publish=False)
ticks(2)
print(len(seen))
kept = fill(2000)
ticks(2)
print(len(seen), budget.exceeded)
"""
    )
    assert shown == ["0", "0", "1 1"]


def test_without_a_recording_there_is_no_budget() -> None:
    shown = run_script(
        """
from flyweight import memory
try:
    memory.budget(1000)
except memory.TrackingError as error:
    print(error)
"""
    )
    assert shown.startswith("memory is not being recorded")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"bytes": 0}, "number of bytes from 1 on"),
        ({"bytes": True}, "number of bytes from 1 on"),
        ({"bytes": "1M"}, "number of bytes from 1 on"),
        ({"bytes": 1 << 62}, "number of bytes from 1 on"),
        ({"bytes": 1, "on_exceed": "die"}, "'warn', 'raise' or something to call, not 'die'"),
        ({"bytes": 1, "on_exceed": None}, "'warn', 'raise' or something to call"),
        ({"bytes": 1, "component": ""}, "named by a word"),
    ],
)
def test_what_cannot_be_a_budget_is_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        memory.budget(**arguments)  # type: ignore[arg-type]


def test_exceeding_is_an_error_of_ours_and_not_of_the_allocator() -> None:
    assert issubclass(BudgetExceeded, TrackingError) and issubclass(BudgetExceeded, FlyweightError)
    assert not issubclass(BudgetExceeded, MemoryError)


def test_a_forked_child_hears_of_its_own_crossings_only() -> None:
    shown = shown_by(
        """
seen = []
budget = memory.budget(memory.report().current_bytes + 2_000_000, seen.append)
pid = os.fork()
if pid == 0:
    status = 1
    try:
        ticks(3)
        if not seen:
            kept = fill(400)
            until = time.monotonic() + 30
            while not seen and time.monotonic() < until:
                ticks()
                time.sleep(0.01)
            status = 0 if len(seen) == 1 and budget.exceeded == 1 else 2
    finally:
        os._exit(status)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen, budget.exceeded)
"""
    )
    assert shown == ["0 [] 0"]


def test_a_process_that_ends_while_a_crossing_waits_ends_well() -> None:
    for end in ("", "memory.stop()", "os._exit(0)", "sys.exit()"):
        script = f"""
memory.budget(memory.report().current_bytes + 1_000_000, lambda crossing: print("told"))
kept = fill(200)
{end}
"""
        outcome = subprocess.run(
            [sys.executable, "-P", "-c", BEGIN + script], capture_output=True, text=True, timeout=300
        )
        assert (outcome.returncode, outcome.stderr) == (0, ""), end


def test_a_crossing_while_python_ends_calls_nobody() -> None:
    shown = shown_by(
        """
budget = memory.budget(memory.report().current_bytes + 1_000_000, lambda crossing: print("told"))
class Late:
    # Goes when modules are taken down, after atexit.
    def __del__(self, fill=fill, tick=_memory.tick, rows=_memory.budgets, memoryview=memoryview, print=print):
        kept = fill(200)
        for _ in range(1000):
            tick()
        print(memoryview(rows()).cast("q")[5])
late = Late()
"""
    )
    assert shown == ["1"]  # crossed, and nobody was told


def test_a_subinterpreter_has_no_budgets() -> None:
    module = "_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters"
    create = f"import {module} as interpreters\nnumber = interpreters.create()\n"
    shown = shown_by(
        create
        + """
interpreters.run_string(number, '''
from flyweight import memory
for refused in (lambda: memory.budget(1), lambda: memory.component("a", paths=["/a"])):
    try:
        refused()
    except memory.TrackingError as error:
        print(error)
''')
interpreters.destroy(number)
"""
    )
    assert shown == ["budgets and components are set in the main interpreter"] * 2

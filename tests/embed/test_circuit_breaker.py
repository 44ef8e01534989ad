"""When a service that is out of reach is asked again, by a clock that the tests set."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from bare_process import run_script
from hypothesis import given
from hypothesis import strategies as st

from flyweight.embed.circuit_breaker import FAILURES, FIRST_PAUSE_S, LONGEST_PAUSE_S, CircuitBreaker
from flyweight.errors import CredentialsError, EmbedderRefusedError, EmbedderUnreachableError

ANSWER = b"a vector"
AT_ONCE = "the next try is"


class Circuit:
    """A breaker, its clock, and how often the service has been asked."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.asked = 0
        self.breaker = CircuitBreaker("the query", lambda: self.now_s)

    def call(self, outcome: BaseException | Callable[[], object] | None = None) -> str:
        """Asks; the service answers, raises `outcome`, or `outcome` is what happens meanwhile. What came of it: "",
        "at once" or the error."""

        def ask() -> bytes:
            self.asked += 1
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome is not None:
                outcome()
            return ANSWER

        try:
            assert self.breaker.call(ask) == ANSWER
        except (EmbedderUnreachableError, CredentialsError, EmbedderRefusedError, KeyboardInterrupt) as error:
            return "at once" if AT_ONCE in str(error) else str(error)
        return ""

    def fail(self) -> str:
        return self.call(EmbedderUnreachableError("out of reach"))

    def open(self) -> None:
        for _ in range(FAILURES):
            assert self.fail() == "out of reach"


@pytest.fixture
def circuit() -> Circuit:
    return Circuit()


def raised(circuit: Circuit) -> str:
    with pytest.raises(EmbedderUnreachableError) as error:
        circuit.breaker.call(lambda: ANSWER)
    return str(error.value)


def test_a_failure_after_an_answer_keeps_nobody_from_asking(circuit: Circuit) -> None:
    for _ in range(5):
        assert [circuit.fail() for _ in range(FAILURES - 1)] == ["out of reach"] * (FAILURES - 1)
        assert circuit.call() == ""


def test_after_failures_in_a_row_the_others_fail_at_once(circuit: Circuit) -> None:
    circuit.open()
    assert [circuit.call() for _ in range(3)] == ["at once"] * 3
    assert circuit.asked == FAILURES


def test_the_pause_doubles_up_to_a_ceiling(circuit: Circuit) -> None:
    circuit.open()
    pauses = []
    for _ in range(8):
        begun_s = circuit.now_s
        while circuit.fail() == "at once":
            circuit.now_s += 0.5
        pauses.append(circuit.now_s - begun_s)
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_an_answer_makes_all_as_it_was(circuit: Circuit) -> None:
    circuit.open()
    circuit.now_s += FIRST_PAUSE_S
    circuit.fail()
    circuit.now_s += 2 * FIRST_PAUSE_S
    assert [circuit.call() for _ in range(3)] == [""] * 3
    circuit.open()
    circuit.now_s += FIRST_PAUSE_S
    assert circuit.call() == ""


@pytest.mark.parametrize("answer", [EmbedderRefusedError("no such model"), CredentialsError("expired")])
def test_a_refusal_is_no_reason_not_to_ask(circuit: Circuit, answer: Exception) -> None:
    circuit.open()
    circuit.now_s += FIRST_PAUSE_S
    assert [circuit.call(answer) for _ in range(3)] == [str(answer)] * 3


def test_one_tries_while_the_others_do_not_wait_for_it(circuit: Circuit) -> None:
    circuit.open()
    circuit.now_s += FIRST_PAUSE_S
    meanwhile: list[str] = []
    assert circuit.call(lambda: meanwhile.extend([circuit.call(), raised(circuit)])) == ""
    assert meanwhile[0] == "at once" and "the next try is on its way" in meanwhile[1]
    assert circuit.call() == ""


def test_of_threads_that_come_together_one_tries(circuit: Circuit) -> None:
    circuit.open()
    circuit.now_s += FIRST_PAUSE_S
    came: list[str] = []
    others_came = threading.Event()

    def ask() -> None:
        came.append(circuit.call(lambda: others_came.wait(60)))
        if len(came) == 15:
            others_came.set()

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(came) == ["", *["at once"] * 15]
    assert circuit.asked == FAILURES + 1


def test_failures_of_those_who_asked_before_do_not_lengthen_the_pause(circuit: Circuit) -> None:
    def fail_after_it_opened() -> None:
        circuit.open()
        raise EmbedderUnreachableError("out of reach")

    assert circuit.call(fail_after_it_opened) == "out of reach"
    circuit.now_s += FIRST_PAUSE_S
    assert circuit.call() == ""


def test_an_answer_to_one_who_asked_before_is_an_answer(circuit: Circuit) -> None:
    assert circuit.call(circuit.open) == ""
    assert circuit.call() == ""


def test_one_that_was_interrupted_leaves_it_to_the_next(circuit: Circuit) -> None:
    circuit.open()
    circuit.now_s += FIRST_PAUSE_S
    assert circuit.call(KeyboardInterrupt("Ctrl-C")) == "Ctrl-C"
    assert circuit.call() == ""


def test_the_error_says_since_when_and_when_next_and_why(circuit: Circuit) -> None:
    circuit.fail()
    circuit.now_s += 50
    circuit.fail()
    circuit.now_s += 0.25
    assert raised(circuit) == "no vector for the query: none has come for 51 s, the next try is in 1 s: out of reach"
    circuit.now_s += 1
    circuit.fail()
    assert "the next try is in 2 s" in raised(circuit)


def test_a_forked_child_goes_on_by_itself() -> None:
    script = f"""
import os, time
from flyweight.embed.circuit_breaker import CircuitBreaker
from flyweight.errors import EmbedderUnreachableError

now_s = 0.0
breaker = CircuitBreaker("the query", lambda: now_s)

def fail():
    raise EmbedderUnreachableError("out of reach")

def call(ask):
    try:
        return breaker.call(ask).decode()
    except EmbedderUnreachableError as error:
        return "at once" if "{AT_ONCE}" in str(error) else str(error)

def in_child(expected):
    pid = os.fork()
    if not pid:
        os._exit(0 if call(lambda: b"answer") == expected else 1)
    assert os.waitpid(pid, 0)[1] == 0

for _ in range({FAILURES}):
    call(fail)
in_child("at once")
now_s = {FIRST_PAUSE_S}
# While one tries, and another thread is at the books.
call(lambda: (breaker._lock.acquire(), in_child("answer"), breaker._lock.release(), b"answer")[-1])
print(call(lambda: b"answer"))
"""
    assert run_script(script) == "answer\n"


STEPS = st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["answer", "fail", "refuse"])), max_size=60)


@given(STEPS)
def test_it_asks_when_the_rule_says_so(steps: list[tuple[float, str]]) -> None:
    circuit = Circuit()
    failures = 0
    next_try_s = 0.0
    for wait_s, outcome in steps:
        circuit.now_s += wait_s
        asked = circuit.asked
        {"answer": circuit.call, "fail": circuit.fail, "refuse": lambda: circuit.call(EmbedderRefusedError("no"))}[
            outcome
        ]()
        may_ask = failures < FAILURES or circuit.now_s >= next_try_s
        assert circuit.asked - asked == may_ask
        if may_ask:
            failures = failures + 1 if outcome == "fail" else 0
            next_try_s = circuit.now_s + min(FIRST_PAUSE_S * 2.0 ** max(failures - FAILURES, 0), LONGEST_PAUSE_S)

"""The rate controller in simulated time: no test here sleeps or reads a clock."""

from __future__ import annotations

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.embed.rate import Departure, RequestRate, full_jitter_s
from tests.standins.rate_limit import TokenBucket


class Simulation:
    """A service with a token bucket, and a client that always has work and up to 64 requests in flight."""

    def __init__(
        self,
        *,
        allowed_per_s: float = 50.0,
        burst: float = 5.0,
        latency_s: float = 0.1,
        jitter_s: float = 0.01,
        retry_after_s: float | None = None,
        refused_by_chance: float = 0.0,
        tokens_per_request: bool = False,
        most_per_s: float | None = None,
        seed: int = 1,
    ) -> None:
        self.bucket = TokenBucket(allowed_per_s, burst)
        self.latency_s = latency_s
        self.jitter_s = jitter_s
        self.retry_after_s = retry_after_s
        self.refused_by_chance = refused_by_chance
        self.tokens_per_request = tokens_per_request
        self.chance = random.Random(seed)
        self.rate = RequestRate(most_per_s, random.Random(seed))
        self.now_s = 0.0
        self.accepted = self.refused = self.in_flight = self._sequence = 0
        self.sent_s: list[float] = []
        self._events: list[tuple[float, int, str, Departure]] = []

    def run(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            wait_s = self.rate.wait_s(self.now_s) if self.in_flight < 64 else float("inf")
            next_s = self._events[0][0] if self._events else float("inf")
            if self.now_s + wait_s <= next_s:
                self.now_s += wait_s + (self.chance.expovariate(500) if wait_s else 0.0)  # woken late, as threads are
                self._send()
            else:
                self.now_s = max(self.now_s, next_s)
                self._happens(*heapq.heappop(self._events))

    def _send(self) -> None:
        self.in_flight += 1
        self.sent_s.append(self.now_s)
        self._later(self.latency_s / 10, "arrives", self.rate.sent(self.now_s))

    def _later(self, after_s: float, what: str, departure: Departure) -> None:
        self._sequence += 1
        at_s = self.now_s + after_s + self.chance.expovariate(1 / self.jitter_s)
        heapq.heappush(self._events, (at_s, self._sequence, what, departure))

    def _happens(self, _at_s: float, _number: int, what: str, departure: Departure) -> None:
        if what == "arrives":
            cost = self.chance.lognormvariate(-0.32, 0.8) if self.tokens_per_request else 1.0
            passes = self.chance.random() >= self.refused_by_chance and self.bucket.take(self.now_s, cost)
            self._later(self.latency_s * 0.9 if passes else 0.005, "answered" if passes else "refused", departure)
            return
        self.in_flight -= 1
        if what == "answered":
            self.accepted += 1
            self.rate.succeeded(departure, self.now_s)
        else:
            self.refused += 1
            self.rate.throttled(departure, self.now_s, self.retry_after_s)

    @property
    def refused_share(self) -> float:
        return self.refused / (self.refused + self.accepted)


@pytest.mark.parametrize("burst", [5, 10, 50, 100])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_minute_from_a_cold_start_uses_nearly_all_that_is_allowed(burst: int, seed: int) -> None:
    simulation = Simulation(burst=burst, seed=seed)
    simulation.run(60)
    assert simulation.accepted >= 0.97 * 50 * 60
    assert simulation.refused_share < 0.04


@pytest.mark.parametrize("allowed", [10, 50, 200, 400])
def test_the_limit_is_found_whatever_it_is(allowed: int) -> None:
    simulation = Simulation(allowed_per_s=allowed, burst=allowed)
    simulation.run(60)
    assert simulation.accepted >= 0.96 * allowed * 60


@pytest.mark.parametrize("latency_s", [0.02, 0.3, 1.0])
def test_the_limit_is_reached_at_other_latencies(latency_s: float) -> None:
    simulation = Simulation(burst=50, latency_s=latency_s)
    simulation.run(120)
    assert simulation.accepted >= 0.95 * 50 * 120


def test_a_limit_on_tokens_is_reached_with_texts_of_all_lengths() -> None:
    simulation = Simulation(burst=50, tokens_per_request=True)
    simulation.run(120)
    assert simulation.accepted >= 0.93 * 50 * 120


def test_a_raised_limit_is_noticed() -> None:
    simulation = Simulation(burst=5)
    simulation.run(30)
    simulation.bucket.rate_per_s = 100.0
    simulation.run(10)
    before = simulation.accepted
    simulation.run(10)
    assert simulation.accepted - before >= 0.9 * 100 * 10


def test_a_lowered_limit_is_obeyed_within_seconds() -> None:
    simulation = Simulation(burst=5)
    simulation.run(30)
    simulation.bucket.rate_per_s = 10.0
    simulation.run(5)
    refused = simulation.refused
    simulation.run(30)
    assert simulation.refused - refused < 0.2 * 10 * 30


def test_refusals_by_chance_do_not_starve_it() -> None:
    simulation = Simulation(allowed_per_s=1e6, burst=1e6, latency_s=0.01, jitter_s=0.001, refused_by_chance=0.02)
    simulation.run(30)
    assert simulation.accepted > 100 * 30


def test_nothing_leaves_before_retry_after_has_passed() -> None:
    simulation = Simulation(retry_after_s=1.0)
    refused_s: list[float] = []
    throttled = simulation.rate.throttled

    def noted(departure: Departure, now_s: float, retry_after_s: float | None = None) -> None:
        refused_s.append(now_s)
        throttled(departure, now_s, retry_after_s)

    simulation.rate.throttled = noted  # type: ignore[method-assign]
    simulation.run(30)
    assert refused_s
    for at_s in refused_s:
        assert not [sent_s for sent_s in simulation.sent_s if at_s < sent_s < at_s + 1.0]


def test_a_bound_of_the_users_is_never_passed() -> None:
    simulation = Simulation(allowed_per_s=1000, burst=1000, most_per_s=20)
    simulation.run(30)
    assert 0.95 * 20 * 30 <= len(simulation.sent_s) <= 20 * 30 + 3


def warmed_up() -> tuple[RequestRate, float]:
    """A rate in its slow start, well above its floor, and the time it is there."""
    rate = RequestRate()
    now_s = 0.0
    for _ in range(20):
        departure = rate.sent(now_s)
        now_s += 0.1
        rate.succeeded(departure, now_s)
    return rate, now_s


def test_a_refusal_halves_the_rate_once_per_round_trip() -> None:
    rate, now_s = warmed_up()
    before = rate.per_s(now_s)
    departures = [rate.sent(now_s), rate.sent(now_s)]
    rate.throttled(departures[0], now_s + 0.1)
    assert rate.per_s(now_s + 0.1) == pytest.approx(before / 2)
    rate.throttled(departures[1], now_s + 0.1)
    assert rate.per_s(now_s + 0.1) == pytest.approx(before / 2)


def test_two_requests_a_round_trip_remain_while_nearly_all_is_served() -> None:
    rate = RequestRate()
    rate.throttled(rate.sent(0.0), 0.1)
    assert rate.per_s(0.1) == pytest.approx(2 / 0.1)
    for _ in range(3):
        rate.throttled(rate.sent(1.0), 1.1)
    assert rate.per_s(1.1) < 2 / 0.1


def test_a_refused_rate_is_regained_to_just_below_it() -> None:
    rate, now_s = warmed_up()
    for _ in range(2):
        departure = rate.sent(now_s)
        rate.throttled(departure, now_s)
        now_s += 1.0
    assert 0.7 * departure.per_s < rate.per_s(now_s) < departure.per_s


def test_idle_time_is_no_evidence_for_a_higher_rate() -> None:
    simulation = Simulation(burst=5)
    simulation.run(20)
    rate = simulation.rate
    before = rate.per_s(simulation.now_s)
    rate.sent(simulation.now_s + 3600.0)
    assert rate.per_s(simulation.now_s + 3600.0) <= before * 1.05


class TestOutage:
    def lost_in_a_row(self, rate: RequestRate, count: int) -> None:
        for _ in range(count):
            rate.lost(rate.sent(0.0), 0.0)

    def test_single_losses_leave_the_rate_alone(self) -> None:
        rate = RequestRate()
        before = rate.per_s(0.0)
        self.lost_in_a_row(rate, 7)
        assert rate.per_s(0.0) == before

    def test_one_request_at_a_time_finds_out_whether_the_service_is_back(self) -> None:
        rate = RequestRate(chance=random.Random(1))
        self.lost_in_a_row(rate, 8)
        at_s = rate.wait_s(0.0) + 0.001
        probe = rate.sent(at_s)
        assert rate.wait_s(at_s + 1000.0) == float("inf")
        rate.lost(probe, at_s + 1.0)
        assert 0.0 <= rate.wait_s(at_s + 1.0) < 25.0

    def test_its_end_brings_the_rate_back_from_half(self) -> None:
        rate, now_s = warmed_up()
        before = rate.per_s(now_s)
        for _ in range(8):
            rate.lost(rate.sent(now_s), now_s)
        for _ in range(30):
            now_s += rate.wait_s(now_s) + 1.0
            rate.lost(rate.sent(now_s), now_s)
            assert rate.per_s(now_s) <= before
        now_s += rate.wait_s(now_s)
        rate.succeeded(rate.sent(now_s), now_s + 0.1)
        assert rate.wait_s(now_s + 0.1) < 1.0
        assert before / 2 <= rate.per_s(now_s + 0.1) < rate.per_s(now_s + 1.0) <= before * 1.05

    def test_pauses_grow_up_to_a_bound(self) -> None:
        chance = random.Random(1)
        assert all(0.0 <= full_jitter_s(attempt, chance, 0.5, 20.0) <= 20.0 for attempt in range(2000))
        bounds = [max(full_jitter_s(attempt, chance, 0.5, 20.0) for _ in range(200)) for attempt in range(8)]
        assert bounds[0] <= 0.5 < bounds[3] <= 4.0 < bounds[7] <= 20.0


Step = st.tuples(st.sampled_from(["send", "succeed", "throttle", "throttle with a pause", "lose"]), st.floats(0.0, 5.0))


@settings(max_examples=200, deadline=None)
@given(st.lists(Step, max_size=120), st.one_of(st.none(), st.floats(0.5, 200.0)))
def test_whatever_happens_there_is_a_way_on_within_the_bounds(
    steps: list[tuple[str, float]], most_per_s: float | None
) -> None:
    rate = RequestRate(most_per_s, random.Random(0))
    now_s = paused_until_s = 0.0
    out: list[Departure] = []
    for what, seconds in steps:
        now_s += seconds
        wait_s = rate.wait_s(now_s)
        assert wait_s >= max(0.0, paused_until_s - now_s) - 1e-6
        assert wait_s < float("inf") or out  # else nothing would ever be sent again
        assert 0.0 < rate.per_s(now_s) <= (most_per_s or float("inf"))
        if what == "send" and wait_s == 0.0:
            out.append(rate.sent(now_s))
        elif out and what == "succeed":
            rate.succeeded(out.pop(0), now_s)
        elif out and what == "throttle":
            rate.throttled(out.pop(0), now_s)
        elif out and what == "throttle with a pause":
            rate.throttled(out.pop(), now_s, seconds)
            paused_until_s = max(paused_until_s, now_s + seconds)
        elif out and what == "lose":
            rate.lost(out.pop(), now_s)

"""How fast a service may be asked, when nobody says what it allows.

The controller paces requests, a rate instead of a window, because services limit requests per second; otherwise it
does what TCP does for a link of unknown capacity:

- **Slow start** (RFC 5681): every answer adds one request per round trip, so the rate doubles each round trip until
  the first refusal: 50 requests/s are reached within half a second.
- **A refusal halves the rate**, once per round trip: what was sent before the rate fell says nothing about the new one.
- **It is regained along a cubic** (RFC 9438): within three round trips it is back just below a target, there it hardly
  moves, and later it grows faster and faster, for the limit may have been raised. Additive increase alone would take
  minutes to climb back what halving gave away (RFC 9438, section 1).
- **The target lies between two bounds** of the true limit. The rate that was refused is above it. What was accepted
  since the last refusal, divided by the time that took, is not: the limiter's bucket was empty then and is empty now,
  so what was accepted in between is what flowed in, or less when the bucket ran over. Their mean is within a few per
  cent after the second refusal.
- How soon the next probe may follow is counted in requests, and in what the last refusal cost: a service that closes
  the door for a second with Retry-After is probed thirty seconds later, one that only refuses after 60 requests.

Why it reaches the limit: halving for three round trips costs an eighth of those, two requests at 50/s; with the
refused one, three of the hundred and more between refusals. Simulated for 60 s from a cold start, 50/s allowed, 100 ms
latency with 10 ms of jitter: 98.8 % with a bucket that saves up 5, over 100 % with one that saves up 50, 1.5 to 2 % of
requests refused. Where each refusal closes the door for a second, the first minute reaches 88 %, later ones 96 %. A
bucket smaller than the jitter of arrival (one or two) is used by a third to three quarters only: its refusals say
nothing about rates.

**Several limits** (requests and tokens): a refusal does not say which was hit, and need not. The tightest one governs;
a limit on tokens appears as one on requests that moves with the length of the texts, and as each refusal is measured
anew, the target moves along: 99 to 106 % of the mean with lengths spread by a factor of two, if the bucket holds a
second's worth.

While nearly all is served the rate stays above two requests per round trip, as TCP never closes its window entirely:
refusals that do not depend on the rate (a fault, another customer's burst) would otherwise starve it.

**Outages** are not congestion: a request that brings no answer leaves the rate alone, but after eight in a row only
one request is out at a time, after pauses with full jitter up to a growing bound (M. Brooker, "Exponential Backoff And
Jitter", AWS Architecture Blog, 2015).

Pure: nothing here reads a clock or sleeps. Times are seconds of any monotonic clock, passed in.
"""

from __future__ import annotations

import random

_FIRST_PER_S = 10.0  # a round trip of 100 ms at a time, as long as nothing is known
_LEAST_PER_S = 0.2
_FIRST_ROUND_S = 0.1
_LEAST_ROUND_S, _MOST_ROUND_S = 0.01, 10.0
_REGAIN_ROUNDS = 3.0
_PROBE_ROUNDS = 40.0
_PROBE_REQUESTS = 60.0
_PROBE_PER_PAUSE = 30.0
_PROBE_STEP = 0.04  # above the target when a probe's time has come; beyond that, with the cube of time
_BELOW_REFUSED, _FAR_BELOW_REFUSED = 0.985, 0.85
_SOON_ROUNDS = 8.0
_LEAST_KEPT = 0.75  # of a refused rate: a single window of few requests may mislead
_AFTER_SLOW_START = 0.7
_CATCH_UP_S = 0.1  # what a busy moment delayed is made up for; more would be a burst
_MOSTLY_SERVED = 0.06  # share of refusals, over about the last 32 requests
_FLOOR_PER_ROUND = 2.0
_LOST_IN_A_ROW = 8
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 20.0


def full_jitter_s(attempt: int, chance: random.Random, first_s: float = 0.2, longest_s: float = 20.0) -> float:
    """Seconds to wait before attempt number `attempt` + 1: anything up to a bound that doubles with each attempt."""
    return chance.uniform(0.0, min(longest_s, first_s * 2.0 ** min(attempt, 30)))


class Departure:
    """One request that was sent: when (s), and at which rate (1/s)."""

    __slots__ = ("at_s", "per_s")

    def __init__(self, at_s: float, per_s: float) -> None:
        self.at_s = at_s
        self.per_s = per_s


class RequestRate:
    """Says when the next request may be sent, and learns from what becomes of each.

    Ask `wait_s`; at 0 send one and say so with `sent`; hand what it returned to one of `succeeded`, `throttled` and
    `lost`. most_per_s: never faster than this, None for no bound.
    """

    def __init__(self, most_per_s: float | None = None, chance: random.Random | None = None) -> None:
        self._most = most_per_s or float("inf")
        self._chance = chance or random.Random()
        self._round_s = _FIRST_ROUND_S
        self._slow_start: float | None = min(_FIRST_PER_S, self._most)
        self._target = self._floor = self._slow_start
        self._epoch_s = 0.0  # when the curve began
        self._probe_rounds = _PROBE_ROUNDS
        self._decreased_s: float | None = None
        self._resumed_s = 0.0  # that time, or when the pause after it ended
        self._accepted = 0  # since then
        self._refused_share = 0.0
        self._next_s: float | None = None
        self._paused_until_s = float("-inf")
        self._late = False  # the last request left late: something else than the rate held it up
        self._lost_in_a_row = 0
        self._outages = 0
        self._before_outage = 0.0
        self._probe_is_out = False
        self._last_pause_s = float("-inf")

    def per_s(self, now_s: float) -> float:
        """The present rate, requests per second."""
        if self._slow_start is not None:
            return self._slow_start
        rounds = max(0.0, now_s - self._epoch_s) / self._round_s
        if rounds < _REGAIN_ROUNDS:
            rate = self._target - (self._target - self._floor) * (1.0 - rounds / _REGAIN_ROUNDS) ** 3
        else:
            probing = min(100.0, (rounds - _REGAIN_ROUNDS) / self._probe_rounds)
            rate = self._target * (1.0 + _PROBE_STEP * probing**3)
        return max(self._least(), min(rate, self._most))

    def wait_s(self, now_s: float) -> float:
        """Seconds until a request may be sent; infinite until what is out has been answered."""
        if self._probe_is_out:
            return float("inf")
        if self._next_s is None:
            return max(0.0, self._paused_until_s - now_s)
        return max(0.0, self._next_s - now_s, self._paused_until_s - now_s)

    def sent(self, now_s: float) -> Departure:
        """A request leaves now."""
        due_s = now_s if self._next_s is None else max(self._next_s, self._paused_until_s)
        late_s = now_s - due_s
        self._late = late_s > max(_CATCH_UP_S, 1.0 / self.per_s(due_s))
        if self._late:
            # No work, or too many in flight: time in which a rate was not tried does not count (RFC 9438, 5.8).
            self._epoch_s = min(now_s, self._epoch_s + late_s)
        per_s = self.per_s(now_s)
        self._next_s = max(due_s, now_s - _CATCH_UP_S) + 1.0 / per_s
        self._probe_is_out = self._outages > 0
        return Departure(now_s, per_s)

    def succeeded(self, departure: Departure, now_s: float) -> None:
        """The request was answered."""
        took_s = min(max(now_s - departure.at_s, _LEAST_ROUND_S), _MOST_ROUND_S)
        self._round_s += (took_s - self._round_s) / 8.0
        self._refused_share -= self._refused_share / 32.0
        self._lost_in_a_row = 0
        if self._outages:
            self._outages = 0
            self._probe_is_out = False
            self._fall(now_s, target=self._before_outage, floor=self._before_outage / 2.0)
        if self._decreased_s is None or departure.at_s >= self._decreased_s:
            self._accepted += 1
        if self._slow_start is not None and not self._late:
            self._slow_start = min(self._most, self._slow_start + 1.0 / max(self._round_s, 2 * _LEAST_ROUND_S))

    def throttled(self, departure: Departure, now_s: float, retry_after_s: float | None = None) -> None:
        """The service refused the request as one too many. Until `retry_after_s` have passed nothing is sent."""
        self._refused_share += (1.0 - self._refused_share) / 32.0
        self._probe_is_out = False
        if retry_after_s is not None and retry_after_s > 0.0:
            self._paused_until_s = max(self._paused_until_s, now_s + retry_after_s)
        if self._decreased_s is not None and departure.at_s < self._decreased_s:
            return
        refused = departure.per_s
        if self._slow_start is not None or self._decreased_s is None:
            target = refused * _AFTER_SLOW_START
        else:
            elapsed_s = departure.at_s - self._resumed_s
            accepted = self._accepted / elapsed_s if elapsed_s > 5.0 * self._round_s else refused
            # Where each refusal costs a pause, one soon after the last is not answered by another small step.
            hasty = self._resumed_s > self._decreased_s and elapsed_s < _SOON_ROUNDS * self._round_s
            most = (_FAR_BELOW_REFUSED if hasty else _BELOW_REFUSED) * refused
            target = min(most, max((accepted + refused) / 2.0, _LEAST_KEPT * refused))
        self._fall(now_s, target=target, floor=refused / 2.0)

    def lost(self, departure: Departure, now_s: float) -> None:
        """The request brought no answer that can be used; whether it arrived is not known."""
        self._probe_is_out = False
        self._lost_in_a_row += 1
        if self._lost_in_a_row < _LOST_IN_A_ROW or departure.at_s < self._last_pause_s:
            return
        if not self._outages:
            self._before_outage = self.per_s(now_s)
        pause_s = full_jitter_s(self._outages, self._chance, _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._outages += 1
        self._last_pause_s = now_s
        self._paused_until_s = max(self._paused_until_s, now_s + pause_s)
        # Time without answers is no evidence: the curve begins anew when the pause ends.
        self._fall(now_s, target=self._before_outage, floor=self._before_outage / 2.0)
        self._next_s = self._paused_until_s

    def _fall(self, now_s: float, *, target: float, floor: float) -> None:
        self._slow_start = None
        self._target = max(_LEAST_PER_S, target)
        self._floor = max(_LEAST_PER_S, min(floor, self._target))
        self._decreased_s = now_s
        self._accepted = 0
        self._epoch_s = self._resumed_s = max(now_s, self._paused_until_s)
        self._next_s = self._epoch_s + 1.0 / self._floor
        pause_rounds = max(0.0, self._paused_until_s - now_s) / self._round_s
        soon_rounds = _PROBE_REQUESTS / self._target / self._round_s
        self._probe_rounds = min(_PROBE_ROUNDS, soon_rounds) + _PROBE_PER_PAUSE * pause_rounds

    def _least(self) -> float:
        served = self._refused_share <= _MOSTLY_SERVED
        return min(self._most, _FLOOR_PER_ROUND / self._round_s if served else _LEAST_PER_S)

"""The limit of a service: so many a second, and a few saved up."""

from __future__ import annotations


class TokenBucket:
    """`rate_per_s` tokens flow in, at most `burst` are saved up; by default a tenth of a second's worth."""

    def __init__(self, rate_per_s: float, burst: float | None = None) -> None:
        self.rate_per_s = rate_per_s
        self.burst = max(1.0, rate_per_s / 10 if burst is None else burst)
        self._saved = self.burst
        self._at_s: float | None = None

    def take(self, now_s: float, count: float = 1.0) -> bool:
        """Takes `count` tokens if they are there. What is more than a full bucket passes when it is full."""
        if self._at_s is not None:
            self._saved = min(self.burst, self._saved + (now_s - self._at_s) * self.rate_per_s)
        self._at_s = now_s
        if self._saved < min(count, self.burst):
            return False
        self._saved -= count
        return True

    def wait_s(self, count: float = 1.0) -> float:
        """Seconds from the last `take` until `count` tokens are there."""
        return max(0.0, (min(count, self.burst) - self._saved) / self.rate_per_s)

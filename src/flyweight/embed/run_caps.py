"""What one run may spend at most, counted so that it cannot be passed while requests are in flight."""

from __future__ import annotations

CAP_REACHED = "cap"  # what stopped a run, where otherwise the name of an error stands


class RunCaps:
    """most_requests, most_tokens: None for no cap.

    A request counts from the moment it is sent, with the tokens it is estimated at; once it is answered, with those
    the service charged. One that was refused costs nothing; one that brought no answer may have been charged for, so it
    goes on counting.
    """

    def __init__(self, most_requests: int | None = None, most_tokens: int | None = None) -> None:
        self._most_requests = most_requests
        self._most_tokens = most_tokens
        self._requests = 0
        self._tokens = 0

    def admits(self, estimated_tokens: int) -> bool:
        return (self._most_requests is None or self._requests < self._most_requests) and (
            self._most_tokens is None or self._tokens + estimated_tokens <= self._most_tokens
        )

    def sent(self, estimated_tokens: int) -> None:
        self._requests += 1
        self._tokens += estimated_tokens

    def answered(self, estimated_tokens: int, tokens: int) -> None:
        self._tokens += tokens - estimated_tokens

    def refused(self, estimated_tokens: int) -> None:
        self._requests -= 1
        self._tokens -= estimated_tokens

    def reached(self) -> str:
        """What stops the run, for a person."""
        if self._most_requests is not None and self._requests >= self._most_requests:
            return f"the cap of {self._most_requests} requests is reached: run again to go on from here"
        return (
            f"the cap of {self._most_tokens} tokens is reached ({self._tokens} used, the next text would exceed it): "
            "run again to go on from here"
        )

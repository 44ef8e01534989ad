"""What goes wrong at a stand-in: by chance, in a given order, or for given texts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

# The answer never comes, or not as it should.
WIRE_FAULTS = ("closed", "reset", "half_headers", "half_body", "slow_body", "silent", "endless_body")
# A whole answer that is an error of the service.
ERROR_FAULTS = (
    "throttle",
    "server_error",
    "unavailable",
    "bad_gateway",
    "model_timeout",
    "not_ready",
    "expired_token",
    "denied",
    "text_refused",
)
# A whole answer with status 200 that is no embedding.
CONTENT_FAULTS = ("not_json", "wrong_json", "wrong_dimensions", "nan", "nulls", "empty")
KINDS = WIRE_FAULTS + ERROR_FAULTS + CONTENT_FAULTS

# One of each kind that passes when the request is sent again, and that costs no waiting.
PASSING = (
    "closed",
    "reset",
    "half_headers",
    "half_body",
    "throttle",
    "server_error",
    "unavailable",
    "bad_gateway",
    "model_timeout",
    "not_ready",
    "not_json",
    "wrong_json",
    "wrong_dimensions",
    "nan",
    "nulls",
    "empty",
)


class Faults:
    """Chooses the fault of each request.

    rates: probability by kind; a number stands for that probability spread over all of PASSING.
    script: the faults of the first requests in the order they come in, None for none; it goes before the rates.
    texts: a kind for every request whose text contains the key; it goes before both.
    retry_after_s: what a throttled answer asks for; None for no such header.
    slow_s: seconds between the two halves of a slow body.
    """

    def __init__(
        self,
        rates: Mapping[str, float] | float = 0.0,
        script: Sequence[str | None] = (),
        texts: Mapping[str, str] | None = None,
        seed: int = 0,
        retry_after_s: float | None = None,
        slow_s: float = 5.0,
    ) -> None:
        if isinstance(rates, (int, float)):
            rates = dict.fromkeys(PASSING, rates / len(PASSING)) if rates else {}
        self.rates = dict(rates)
        self.script = list(script)
        self.texts = dict(texts or {})
        self.retry_after_s = retry_after_s
        self.slow_s = slow_s
        self._random = random.Random(seed)
        unknown = {*self.rates, *filter(None, self.script), *self.texts.values()} - set(KINDS)
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")

    def choose(self, texts: Sequence[str]) -> str | None:
        """The fault of a request for `texts`, if it is to have one."""
        for part, kind in self.texts.items():
            if any(part in text for text in texts):
                return kind
        if self.script:
            return self.script.pop(0)
        if self.rates:
            drawn = self._random.random()
            for kind, rate in self.rates.items():
                drawn -= rate
                if drawn < 0:
                    return kind
        return None

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Faults:
        """As a control request gives them: the arguments by name."""
        return cls(**fields)

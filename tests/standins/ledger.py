"""What a stand-in has sent, so that a test can count who was paid for what, and how often."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from typing import Any


def text_key(text: str) -> str:
    """How a text is named in a ledger: the text itself stays out of it."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Ledger:
    """Counts of one stand-in since its start or the last reset. Written by its thread, read by any.

    answers: embeddings that were sent in full and right, by (model and dimensions, key of the text); only these are
    paid for.
    requests: requests for embeddings that came in; connections: connections that were accepted.
    refusals: answers with an error, by its type; faults: faults that were injected, by kind.
    tokens: input tokens of all answers; most_at_once: requests that were in hand together.
    first_s, last_s: when the first and the last answer went out, on a monotonic clock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self.answers: Counter[tuple[str, str]] = Counter()
            self.refusals: Counter[str] = Counter()
            self.faults: Counter[str] = Counter()
            self.requests = self.connections = self.tokens = self.most_at_once = 0
            self.first_s = self.last_s = 0.0

    def add_answers(self, model: str, texts: list[str], tokens: int, now_s: float) -> None:
        with self._lock:
            for text in texts:
                self.answers[model, text_key(text)] += 1
            self.tokens += tokens
            self.first_s = self.first_s or now_s
            self.last_s = now_s

    def add_request(self, at_once: int) -> None:
        with self._lock:
            self.requests += 1
            self.most_at_once = max(self.most_at_once, at_once)

    def add_connection(self) -> None:
        with self._lock:
            self.connections += 1

    def add_refusal(self, kind: str) -> None:
        with self._lock:
            self.refusals[kind] += 1

    def add_fault(self, kind: str) -> None:
        with self._lock:
            self.faults[kind] += 1

    def times_answered(self, text: str) -> int:
        """How often the text was answered, by any model."""
        key = text_key(text)
        with self._lock:
            return sum(count for (_, name), count in self.answers.items() if name == key)

    @property
    def embeddings(self) -> int:
        """Embeddings sent in full, the same text as often as it was."""
        with self._lock:
            return sum(self.answers.values())

    @property
    def paid_twice(self) -> int:
        """Embeddings that need not have been sent, because they had been before."""
        with self._lock:
            return sum(count - 1 for count in self.answers.values())

    def as_dict(self) -> dict[str, Any]:
        with self._lock:
            by_model: dict[str, dict[str, int]] = {}
            for (model, key), count in self.answers.items():
                by_model.setdefault(model, {})[key] = count
            return {
                "answers": by_model,
                "refusals": dict(self.refusals),
                "faults": dict(self.faults),
                "requests": self.requests,
                "connections": self.connections,
                "tokens": self.tokens,
                "most_at_once": self.most_at_once,
                "first_s": self.first_s,
                "last_s": self.last_s,
            }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Ledger:
        """The ledger another process has sent."""
        ledger = cls()
        for model, counts in fields["answers"].items():
            for key, count in counts.items():
                ledger.answers[model, key] = count
        ledger.refusals.update(fields["refusals"])
        ledger.faults.update(fields["faults"])
        for name in ("requests", "connections", "tokens", "most_at_once", "first_s", "last_s"):
            setattr(ledger, name, fields[name])
        return ledger

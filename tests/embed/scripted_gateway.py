"""A gateway whose embedder does what its texts say, and writes down what it was paid for.

Run as a program by `flyweight.embed.gateway.Gateway`. A text is its pieces, separated by "|". What a piece begins with
decides what becomes of it; anything else is embedded at once.

    refused         the service will never embed it
    denied, expired the whole run is in vain
    down            no answer, ever
    shaky           no answer the first two times
    throttled       one too many, the first time
    short           a vector of the wrong size, the first time
    odd             a defect, every time
    slow            answered after some hundredths of a second
    held            answered when the file SCRIPT/release is there; SCRIPT/asked is there once it was sent
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flyweight.embed import exchange, rate
from flyweight.embed.gateway_process import main
from flyweight.embed.remote import Answer, TemporarilyUnavailable, TextRefused, Throttled
from flyweight.embed.settings import EmbedderSettings
from flyweight.errors import CredentialsError, EmbedderRefusedError

DIMENSIONS = 8
PROGRAM = Path(__file__)


def vector_of(piece: str) -> bytes:
    """The vector this embedder gives a piece."""
    digest = hashlib.blake2b(piece.encode(), digest_size=DIMENSIONS).digest()
    return _of_length_one([byte + 1.0 for byte in digest])


def _of_length_one(vector: list[float]) -> bytes:
    return array("f", [value / math.hypot(*vector) for value in vector]).tobytes()


class Script:
    """A directory through which a test and the embedder talk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def paid(self) -> Counter[str]:
        """The pieces that were answered, and how often."""
        ledger = self.directory / "paid"
        return Counter(ledger.read_text().splitlines()) if ledger.exists() else Counter()

    def release(self) -> None:
        (self.directory / "release").touch()

    def hold_again(self) -> None:
        (self.directory / "release").unlink()
        (self.directory / "asked").unlink()

    def wait_until_asked(self) -> None:
        while not (self.directory / "asked").exists():
            time.sleep(0.005)


class ScriptedEmbedder:
    name = "scripted"
    dimensions = DIMENSIONS
    price_per_million_tokens = None

    def __init__(self, settings: EmbedderSettings) -> None:
        self._script = Path(os.environ.get("SCRIPT", ""))
        self.texts_per_request = int(os.environ.get("SCRIPT_BATCH", "1"))
        self._seen: Counter[str] = Counter()

    def pieces(self, text: bytes) -> list[str]:
        return [piece for piece in text.decode().split("|") if piece.strip()]

    def estimate_tokens(self, text: str) -> int:
        return len(text)

    def request(self, texts: list[str], timeout_s: float) -> Answer:
        for text in texts:
            self._seen[text] += 1
            self._play(text, self._seen[text])
        vectors = [vector_of(text) for text in texts]
        if texts[0].startswith("short") and self._seen[texts[0]] == 1:
            return Answer([vectors[0][:-4], *vectors[1:]], 1)
        with (self._script / "paid").open("a") as ledger:
            ledger.write("".join(f"{text}\n" for text in texts))
        return Answer(vectors, sum(map(len, texts)))

    def _play(self, text: str, times: int) -> None:
        kind = text.split()[0]
        if kind == "refused":
            raise TextRefused("nobody embeds this")
        if kind == "denied":
            raise EmbedderRefusedError("access to the model is denied")
        if kind == "expired":
            raise CredentialsError("the session has expired: log in again")
        if kind == "down" or (kind == "shaky" and times <= 2):
            raise TemporarilyUnavailable("no answer")
        if kind == "throttled" and times == 1:
            raise Throttled("slow down", 0.01)
        if kind == "odd":
            raise ArithmeticError("one and one is three")
        if kind == "slow":
            time.sleep(0.02)
        if kind == "held":
            (self._script / "asked").touch()
            while not (self._script / "release").exists():
                time.sleep(0.005)

    def combine(self, vectors: Sequence[bytes], weights: Sequence[float]) -> bytes:
        total = [0.0] * DIMENSIONS
        for vector, weight in zip(vectors, weights, strict=True):
            total = [sum_ + weight * value for sum_, value in zip(total, array("f", vector), strict=True)]
        return _of_length_one(total)

    def close(self) -> None:
        pass


if __name__ == "__main__":
    exchange._MOST_ATTEMPTS = 3
    rate._FIRST_PER_S = 1000.0  # tests/embed/test_rate.py has the slow start
    os._exit(main(ScriptedEmbedder))  # as flyweight.embed.gateway ends: nobody waits for what is held

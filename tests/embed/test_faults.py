"""Thousands of embeddings through the gateway while a fifth of all requests goes wrong, in every way a request can.

FLYWEIGHT_FAULT_TEXTS=10000 for the run that the documentation speaks of.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("botocore")

from flyweight.embed.gateway import Gateway
from flyweight.embed.gateway_client import GatewayClient
from flyweight.embed.settings import EmbedderSettings
from tests.standins.faults import PASSING
from tests.standins.ledger import Ledger, text_key
from tests.standins.lifted_vectors import lifted_vector
from tests.standins.program import StandInProgram

TEXTS = int(os.environ.get("FLYWEIGHT_FAULT_TEXTS", "400"))
FAULTY_SHARE = 0.2
DIMENSIONS = 256
REFUSED = "nobody embeds this"

# By text: its vector, or the reason it has none.
Outcome = dict[str, bytes | str]


def made_texts(count: int) -> list[str]:
    """Short ones, no two alike; every hundredth is one that the service refuses for good."""
    words = [
        "retry",
        "queue",
        "parse",
        "token",
        "index",
        "search",
        "merge",
        "commit",
        "lock",
        "page",
        "cache",
        "vector",
    ]
    draw = random.Random(7)
    texts = [f"{' '.join(draw.choices(words, k=6))} {number}" for number in range(count)]
    return [f"{REFUSED}: {text}" if number % 100 == 17 else text for number, text in enumerate(texts)]


def submit_in_files(client: GatewayClient, texts: list[str]) -> list[list[str]]:
    """The files by ticket, of one to eight texts each, as a builder's workers submit them."""
    draw = random.Random(3)
    files = []
    while texts:
        size = draw.randint(1, 8)
        files.append(texts[:size])
        texts = texts[size:]
        client.submit(len(files) - 1, [text.encode() for text in files[-1]])
    return files


def embed_all(address: str, texts: list[str]) -> Outcome:
    client = GatewayClient(address)
    files = submit_in_files(client, texts)
    outcome: Outcome = {}
    received = set()
    while client.waiting:
        for ticket, vectors, failures in client.receive(block=True):
            assert ticket not in received, "a ticket came back twice"
            received.add(ticket)
            size = len(vectors) // len(files[ticket])
            assert size == 4 * DIMENSIONS
            for index, text in enumerate(files[ticket]):
                outcome[text] = vectors[index * size : (index + 1) * size]
            for index, reason in failures:
                assert not any(vectors[index * size : (index + 1) * size]), "a text that failed has a vector"
                outcome[files[ticket][index]] = reason
    assert len(received) == len(files)
    client.close()
    return outcome


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Outcome, Ledger, Outcome, Ledger]:
    """Texts, what became of them, and the ledger; then the same again for a second run on the same cache."""
    cache: Path = tmp_path_factory.mktemp("embeddings")
    texts = made_texts(TEXTS)
    share = FAULTY_SHARE / len(PASSING)
    with pytest.MonkeyPatch.context() as patch, StandInProgram("bedrock") as service:
        service.set_environment(patch)
        service.set_faults(rates=dict.fromkeys(PASSING, share), texts={REFUSED: "text_refused"}, seed=11)
        settings = EmbedderSettings.parse("titan", {"dimensions": DIMENSIONS})
        both = []
        for _ in range(2):
            gateway = Gateway(settings, cache_path=str(cache))
            gateway.start()
            try:
                both += [embed_all(gateway.address, texts), service.ledger]
                assert gateway.halted() is None
            finally:
                gateway.stop()
    return (texts, *both)  # type: ignore[return-value]


def test_every_text_is_delivered_or_reported(run: tuple[list[str], Outcome, Ledger, Outcome, Ledger]) -> None:
    texts, outcome, *_ = run
    assert set(outcome) == set(texts)
    reported = {text for text, result in outcome.items() if isinstance(result, str)}
    assert reported == {text for text in texts if REFUSED in text}
    assert all("cannot be embedded" in str(outcome[text]) for text in reported)


def test_every_vector_is_that_of_its_text(run: tuple[list[str], Outcome, Ledger, Outcome, Ledger]) -> None:
    _, outcome, *_ = run
    for text, result in outcome.items():
        if isinstance(result, bytes):
            assert np.frombuffer(result, "<f4") @ lifted_vector(text, DIMENSIONS) > 0.9999, text


def test_nothing_is_paid_twice_and_all_that_was_paid_is_delivered(
    run: tuple[list[str], Outcome, Ledger, Outcome, Ledger],
) -> None:
    _, outcome, ledger, *_ = run
    delivered = [text for text, result in outcome.items() if isinstance(result, bytes)]
    assert ledger.paid_twice == 0
    assert ledger.embeddings == len(delivered)
    assert {key for _, key in ledger.answers} == set(map(text_key, delivered))


def test_the_faults_did_happen(run: tuple[list[str], Outcome, Ledger, Outcome, Ledger]) -> None:
    _, _, ledger, *_ = run
    passing = sum(ledger.faults[kind] for kind in PASSING)
    assert all(ledger.faults[kind] > 0 for kind in PASSING)
    assert 0.15 < passing / ledger.requests < 0.25
    assert ledger.requests == ledger.embeddings + sum(ledger.faults.values())


def test_a_second_run_asks_only_for_what_was_refused(
    run: tuple[list[str], Outcome, Ledger, Outcome, Ledger],
) -> None:
    texts, outcome, first, again, second = run
    assert again == outcome
    assert second.embeddings == first.embeddings
    refused = sum(REFUSED in text for text in texts)
    assert second.faults["text_refused"] == 2 * refused

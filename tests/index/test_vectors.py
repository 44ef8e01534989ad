"""What a worker does while the service embeds, with a gateway that answers when the test says so."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from flyweight.embed import gateway_client
from flyweight.index.chunk import Chunk
from flyweight.index.vectors import CutFile, GatewayVectors, LocalVectors

ROW = 8  # bytes of a vector of two dimensions


class Client:
    """In the place of GatewayClient. The vector of the n-th text submitted is (n, 1)."""

    def __init__(self, address: str) -> None:
        if not address:
            raise FileNotFoundError(address)
        self.tickets: dict[int, list[bytes]] = {}
        self.answers: list[tuple[int, bytes, list[tuple[int, str]]]] = []
        self.submitted = 0
        self._first: dict[int, int] = {}
        latest.append(self)

    def submit(self, ticket: int, texts: list[bytes]) -> None:
        self.tickets[ticket] = texts
        self._first[ticket] = self.submitted
        self.submitted += len(texts)

    def answer(self, ticket: int, failures: list[tuple[int, str]] | None = None) -> None:
        texts, first = self.tickets.pop(ticket), self._first[ticket]
        vectors = b"".join(struct.pack("<2f", first + n, 1) for n in range(len(texts)))
        self.answers.append((ticket, vectors, failures or []))

    def receive(self, block: bool) -> list[tuple[int, bytes, list[tuple[int, str]]]]:
        assert not block, "a worker never waits without looking at the coordinator"
        answers, self.answers = self.answers, []
        return answers


latest: list[Client] = []


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[GatewayVectors, Client]]:
    monkeypatch.setattr(gateway_client, "GatewayClient", Client)

    def make(most_bytes: int = 1 << 20) -> tuple[GatewayVectors, Client]:
        vectors = GatewayVectors("/somewhere", 2, most_bytes)
        return vectors, latest[-1]

    return make


def cut(path: str = "pkg/mod.py", chunks: int = 1, chunk_bytes: int = 10) -> CutFile:
    text = b"".join(b"%09d\n" % number + b"#" * (chunk_bytes - 10) for number in range(chunks))
    pieces = [
        Chunk(n * chunk_bytes, (n + 1) * chunk_bytes, n + 1, n + 1, "f", "C", "method", ("f", "g"))
        for n in range(chunks)
    ]
    return CutFile(path, "python", b"h" * 16, 1, text, pieces, replaces=False)


def numbers(file: CutFile) -> list[int]:
    return [int(n) for n, _ in struct.iter_unpack("<2f", file.vectors)]


Made = Callable[..., tuple[GatewayVectors, Client]]


def test_files_come_back_as_their_vectors_come_whatever_the_order(made: Made) -> None:
    vectors, client = made()
    first, second = cut("a"), cut("b", chunks=3)
    vectors.submit(first)
    vectors.submit(second)
    assert vectors.collect() == []
    assert vectors.waiting
    client.answer(1)
    assert vectors.collect() == [second]
    assert numbers(second) == [1, 2, 3]
    client.answer(0)
    assert vectors.collect() == [first]
    assert not vectors.waiting


def test_a_large_file_is_asked_for_in_parts_and_put_together_in_order(made: Made) -> None:
    vectors, client = made()
    file = cut(chunks=150)
    vectors.submit(file)
    assert [len(texts) for texts in client.tickets.values()] == [64, 64, 22]
    for ticket in (2, 0):
        client.answer(ticket)
        assert vectors.collect() == []
    client.answer(1, [(5, "refused")])
    assert vectors.collect() == [file]
    assert numbers(file) == list(range(150))
    assert (file.failures, file.halted) == ({64 + 5: "refused"}, False)


def test_what_is_cut_ahead_is_bounded_and_one_file_is_always_let_in(made: Made) -> None:
    vectors, client = made(most_bytes=100_000)
    assert not vectors.full
    files = 0
    while not vectors.full:
        vectors.submit(cut(f"{files}", chunks=4, chunk_bytes=1500))
        files += 1
    assert 3 < files < 12
    client.answer(0)
    vectors.collect()
    assert not vectors.full
    alone, client = made(most_bytes=1)
    assert not alone.full
    alone.submit(cut(chunks=200, chunk_bytes=1500))
    assert alone.full
    for ticket in list(client.tickets):
        client.answer(ticket)
    assert len(alone.collect()) == 1
    assert not alone.full


def test_a_file_of_no_chunks_is_ready_at_once(made: Made) -> None:
    vectors, client = made()
    file = cut(chunks=0)
    vectors.submit(file)
    assert vectors.waiting
    assert vectors.collect() == [file]
    assert (file.vectors, client.submitted) == (b"", 0)


def test_what_the_gateway_never_asked_for_is_told_from_what_was_refused(made: Made) -> None:
    vectors, client = made()
    refused, halted = cut("a", chunks=2), cut("b", chunks=2)
    vectors.submit(refused)
    vectors.submit(halted)
    client.answer(0, [(1, "refused for what it says")])
    client.answer(1, [(0, gateway_client.HALTED), (1, gateway_client.HALTED)])
    vectors.collect()
    assert (refused.halted, halted.halted) == (False, True)


def test_without_a_gateway_every_file_is_halted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_client, "GatewayClient", Client)
    vectors = GatewayVectors("", 2, 1000)
    file, empty = cut(), cut(chunks=0)
    vectors.submit(file)
    vectors.submit(empty)
    assert vectors.collect() == [file, empty]
    assert (file.halted, empty.halted) == (True, False)
    assert not vectors.waiting


def test_a_chunk_is_embedded_with_its_place_and_its_names() -> None:
    file = cut("src/net/retry.test.py", chunks=2)
    assert file.embedded_texts(1) == [b"net retry C f g\n000000000\n", b"net retry C f g\n000000001\n"]
    assert file.embedded_texts(2)[0] == b"net retry C f g\nnet retry C f g\n000000000\n"


def test_the_local_embedder_gives_a_file_back_at_once_in_batches() -> None:
    batches: list[int] = []

    class Embedder:
        name = "made"
        dimensions = 2

        def embed(self, texts: list[bytes]) -> bytes:
            batches.append(len(texts))
            return bytes(ROW * len(texts))

    vectors = LocalVectors(Embedder(), 4)
    file = cut(chunks=10)
    vectors.submit(file)
    assert (vectors.waiting, vectors.full) == (False, False)
    assert vectors.collect() == [file]
    assert (batches, len(file.vectors)) == ([4, 4, 2], 10 * ROW)

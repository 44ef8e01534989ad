"""Who waits for which text, against a model that is as simple as the promise: each ticket comes back once, complete."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from flyweight.embed.settings import EmbedderSettings
from flyweight.embed.ticket_book import IN_FLIGHT, QUEUED, Piece, TicketBook
from tests.embed.scripted_gateway import DIMENSIONS, ScriptedEmbedder, vector_of

ZEROS = bytes(4 * DIMENSIONS)
PIECES = ["red", "green", "blue", "yellow"]


class Text:
    """What the model knows of one text: the pieces it still waits for."""

    def __init__(self, text: str) -> None:
        self.pieces = [piece for piece in text.split("|") if piece]
        self.waiting = set(self.pieces)
        self.failed = False

    def vector(self, embedder: ScriptedEmbedder) -> bytes:
        if self.failed or not self.pieces:
            return ZEROS
        if len(self.pieces) == 1:
            return vector_of(self.pieces[0])
        return embedder.combine([vector_of(piece) for piece in self.pieces], [len(piece) for piece in self.pieces])


class Tickets(RuleBasedStateMachine):
    texts = st.lists(st.lists(st.sampled_from(PIECES), max_size=3).map("|".join), max_size=4)
    client = st.sampled_from([1, 2])
    chance = st.randoms(use_true_random=False)

    def __init__(self) -> None:
        super().__init__()
        self.embedder = ScriptedEmbedder(
            EmbedderSettings.parse("openai:http://127.0.0.1:9#scripted", {"dimensions": DIMENSIONS})
        )
        self.book = TicketBook(self.embedder, DIMENSIONS)
        self.number = 0
        self.tickets: dict[tuple[int, int], list[Text]] = {}
        self.known: dict[str, Piece] = {}  # pieces that are neither answered nor given up

    @rule(client=client, texts=texts)
    def open(self, client: int, texts: list[str]) -> None:
        self.number += 1
        ticket = self.tickets[client, self.number] = [Text(text) for text in texts]
        new = self.book.open(client, self.number, [text.encode() for text in texts])
        wanted = dict.fromkeys(piece for text in ticket for piece in text.pieces)
        assert [piece.text for piece in new] == [piece for piece in wanted if piece not in self.known]
        for piece in new:
            piece.state = QUEUED
            self.known[piece.text] = piece
        self.check()

    @precondition(lambda self: self.known)
    @rule(chance=chance)
    def send(self, chance: random.Random) -> None:
        self.chosen(chance).state = IN_FLIGHT

    @precondition(lambda self: self.known)
    @rule(chance=chance)
    def answer(self, chance: random.Random) -> None:
        piece = self.chosen(chance)
        del self.known[piece.text]
        for text in self.waiting_for(piece):
            text.waiting.remove(piece.text)
        self.book.answer(piece, vector_of(piece.text))
        self.check()

    @precondition(lambda self: self.known)
    @rule(chance=chance)
    def give_up(self, chance: random.Random) -> None:
        piece = self.chosen(chance)
        del self.known[piece.text]
        for text in self.waiting_for(piece):
            text.waiting.clear()
            text.failed = True
        self.forget(self.book.give_up(piece, "why"))
        self.check()

    @rule(client=client)
    def close(self, client: int) -> None:
        self.tickets = {place: texts for place, texts in self.tickets.items() if place[0] != client}
        self.forget(self.book.close_client(client))
        self.check()

    def chosen(self, chance: random.Random) -> Piece:
        return self.known[chance.choice(sorted(self.known))]

    def waiting_for(self, piece: Piece) -> list[Text]:
        return [text for texts in self.tickets.values() for text in texts if piece.text in text.waiting]

    def forget(self, unwanted: list[Piece]) -> None:
        for piece in unwanted:
            assert piece.state != IN_FLIGHT, "what is in flight is paid for"
            assert self.known.pop(piece.text) is piece

    def check(self) -> None:
        """Exactly the tickets that wait for nothing come back; exactly the pieces wanted, or out, are known."""
        due = {place for place, texts in self.tickets.items() if not any(text.waiting for text in texts)}
        finished = {(ticket.client, ticket.number): ticket for ticket in self.book.take_finished()}
        assert set(finished) == due
        for place, ticket in finished.items():
            texts = self.tickets.pop(place)
            assert ticket.vectors == b"".join(text.vector(self.embedder) for text in texts)
            assert ticket.failures == [(index, "why") for index, text in enumerate(texts) if text.failed]
        assert self.book.waiting == len(self.tickets)
        wanted = {piece for texts in self.tickets.values() for text in texts for piece in text.waiting}
        out = {text for text, piece in self.known.items() if piece.state == IN_FLIGHT}
        assert {piece.text for piece in self.book.pieces.values()} == set(self.known) == wanted | out


TestTickets = Tickets.TestCase
TestTickets.settings = settings(max_examples=1500, stateful_step_count=30, deadline=None)

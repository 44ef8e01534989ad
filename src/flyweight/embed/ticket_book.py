"""Who waits for which text. A ticket is some texts of one client; a text is one or more pieces that the model can take.

A piece is known by its key, so that equal texts are asked for once, whoever wants them.
"""

from __future__ import annotations

from flyweight.embed.embedding_cache import text_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from flyweight.embed.remote import RemoteEmbedder

NEW, QUEUED, IN_FLIGHT, ELSEWHERE = "new", "queued", "in flight", "elsewhere"


class Piece:
    """Text that is sent as it stands.

    state: NEW, QUEUED, IN_FLIGHT or ELSEWHERE (another gateway asks); attempts: how often it failed while others
    succeeded; tries: how often it was put back at all; alone: it is sent without others, to learn which is refused.
    """

    __slots__ = ("alone", "attempts", "key", "seen_successes", "state", "text", "tokens", "tries", "wanted")

    def __init__(self, key: bytes, text: str, tokens: int) -> None:
        self.key = key
        self.text = text
        self.tokens = tokens  # estimated
        self.state = NEW
        self.attempts = 0
        self.tries = 0
        self.seen_successes = 0
        self.alone = False
        self.wanted: list[_Text] = []


class _Ticket:
    __slots__ = ("client", "failures", "missing", "number", "text_bytes", "vectors")

    def __init__(self, client: int, number: int, texts: int, text_bytes: int, vector_bytes: int) -> None:
        self.client = client
        self.number = number
        self.missing = texts
        self.text_bytes = text_bytes
        self.vectors = bytearray(texts * vector_bytes)
        self.failures: list[tuple[int, str]] = []


class _Text:
    __slots__ = ("index", "keys", "missing", "ticket", "vectors", "weights")

    def __init__(self, ticket: _Ticket, index: int, keys: list[bytes], weights: list[int]) -> None:
        self.ticket = ticket
        self.index = index
        self.keys = keys
        self.weights = weights
        self.vectors: dict[bytes, bytes] = {}
        self.missing = len(set(keys))


class Finished:
    """A ticket all of whose texts are embedded or given up. vectors: float32, a row of zeros for a text without one;
    failures: (index of the text, reason)."""

    __slots__ = ("client", "failures", "number", "text_bytes", "vectors")

    def __init__(self, ticket: _Ticket) -> None:
        self.client = ticket.client
        self.number = ticket.number
        self.text_bytes = ticket.text_bytes
        self.vectors = bytes(ticket.vectors)
        self.failures = sorted(ticket.failures)


class TicketBook:
    """Tickets in, pieces out; vectors in, finished tickets out."""

    def __init__(self, embedder: RemoteEmbedder, dimensions: int) -> None:
        self._embedder = embedder
        self._vector_bytes = 4 * dimensions
        self._tickets: dict[tuple[int, int], _Ticket] = {}
        self._finished: list[Finished] = []
        self.pieces: dict[bytes, Piece] = {}

    def open(self, client: int, number: int, texts: list[bytes]) -> list[Piece]:
        """Takes a ticket in. Returns the pieces nobody has asked for yet, in order."""
        ticket = _Ticket(client, number, len(texts), sum(map(len, texts)), self._vector_bytes)
        self._tickets[client, number] = ticket
        new = []
        for index, text in enumerate(texts):
            parts = self._embedder.pieces(text)
            if not parts:
                ticket.missing -= 1  # blank: its vector is zeros, and that is no failure
                continue
            weights = [max(1, self._embedder.estimate_tokens(part)) for part in parts]
            keys = [text_key(part) for part in parts]
            wanting = _Text(ticket, index, keys, weights)
            for key, part, tokens in zip(keys, parts, weights, strict=True):
                piece = self.pieces.get(key)
                if piece is None:
                    piece = self.pieces[key] = Piece(key, part, tokens)
                    new.append(piece)
                if wanting not in piece.wanted:
                    piece.wanted.append(wanting)
        self._close_if_done(ticket)
        return new

    def answer(self, piece: Piece, vector: bytes) -> None:
        """The piece is embedded."""
        self._forget(piece)
        for text in piece.wanted:
            text.vectors[piece.key] = vector
            text.missing -= 1
            if text.missing:
                continue
            ticket = text.ticket
            if len(text.keys) > 1:
                vector_of_text = self._embedder.combine([text.vectors[key] for key in text.keys], text.weights)
            else:
                vector_of_text = vector
            start = text.index * self._vector_bytes
            ticket.vectors[start : start + self._vector_bytes] = vector_of_text
            self._text_done(ticket)

    def give_up(self, piece: Piece, reason: str) -> list[Piece]:
        """The piece will not be embedded. Returns pieces that nobody wants any more: the rest of its texts."""
        self._forget(piece)
        unwanted: list[Piece] = []
        for text in list(piece.wanted):
            unwanted += self._withdraw(text, piece)
            text.ticket.failures.append((text.index, reason))
            self._text_done(text.ticket)
        return unwanted

    def close_client(self, client: int) -> list[Piece]:
        """The client is gone. Returns the pieces nobody wants any more."""
        for place in [place for place in self._tickets if place[0] == client]:
            del self._tickets[place]
        self._finished = [finished for finished in self._finished if finished.client != client]
        unwanted: list[Piece] = []
        for piece in list(self.pieces.values()):
            if any(text.ticket.client == client for text in piece.wanted):
                piece.wanted = [text for text in piece.wanted if text.ticket.client != client]
                unwanted += self._unwanted(piece)
        return unwanted

    def take_finished(self) -> list[Finished]:
        finished, self._finished = self._finished, []
        return finished

    @property
    def waiting(self) -> int:
        """Tickets that are not finished."""
        return len(self._tickets)

    def _withdraw(self, text: _Text, but: Piece) -> Iterator[Piece]:
        for key in set(text.keys):
            piece = self.pieces.get(key)
            if piece is None or piece is but or text not in piece.wanted:
                continue
            piece.wanted.remove(text)
            yield from self._unwanted(piece)

    def _unwanted(self, piece: Piece) -> list[Piece]:
        # What is in flight is paid for: it stays known, so that nobody asks for it beside.
        if piece.wanted or piece.state == IN_FLIGHT:
            return []
        self._forget(piece)
        return [piece]

    def _text_done(self, ticket: _Ticket) -> None:
        ticket.missing -= 1
        self._close_if_done(ticket)

    def _close_if_done(self, ticket: _Ticket) -> None:
        if ticket.missing == 0 and self._tickets.pop((ticket.client, ticket.number), None) is not None:
            self._finished.append(Finished(ticket))

    def _forget(self, piece: Piece) -> None:
        if self.pieces.get(piece.key) is piece:
            del self.pieces[piece.key]

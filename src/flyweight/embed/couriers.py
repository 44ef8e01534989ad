"""Threads that carry requests to the service, one each, and bring back what became of them."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.embed.rate import Departure
    from flyweight.embed.remote import Answer, RemoteEmbedder
    from flyweight.embed.ticket_book import Piece


class Errand:
    """One request. answer or error is set when it comes back."""

    __slots__ = ("answer", "departure", "error", "pieces", "tokens")

    def __init__(self, pieces: list[Piece], tokens: int, departure: Departure) -> None:
        self.pieces = pieces
        self.tokens = tokens  # estimated
        self.departure = departure
        self.answer: Answer | None = None
        self.error: Exception | None = None


class Couriers:
    """At most `most` threads, started as they are needed: 64 idle ones would cost 3 MB.

    `bell` is readable when something came back.
    """

    def __init__(self, embedder: RemoteEmbedder, most: int, timeout_s: float) -> None:
        self._embedder = embedder
        self._most = most
        self._timeout_s = timeout_s
        self._outgoing: queue.SimpleQueue[Errand] = queue.SimpleQueue()
        self._returned: deque[Errand] = deque()
        self._threads = 0
        self.in_flight = 0
        self.bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    @property
    def all_out(self) -> bool:
        return self.in_flight >= self._most

    def send(self, errand: Errand) -> None:
        self.in_flight += 1
        if self.in_flight > self._threads:
            self._threads += 1
            threading.Thread(target=self._run, name=f"courier-{self._threads}", daemon=True).start()
        self._outgoing.put(errand)

    def take_returned(self) -> list[Errand]:
        try:
            os.eventfd_read(self.bell)
        except BlockingIOError:
            pass
        returned = []
        while self._returned:
            returned.append(self._returned.popleft())
        self.in_flight -= len(returned)
        return returned

    def _run(self) -> None:
        while True:
            errand = self._outgoing.get()
            try:
                errand.answer = self._embedder.request([piece.text for piece in errand.pieces], self._timeout_s)
            except Exception as error:
                errand.error = error
            self._returned.append(errand)
            del errand
            os.eventfd_write(self.bell, 1)

"""What a gateway does with pieces of text: cache or queue, rate, service, cache. It touches no socket of a worker.

    piece -> embedding cache -> (claimed) queue -> rate and caps -> courier -> embedding cache -> ticket book

An answer is in the cache before anybody hears of it. For one thread; the couriers have their own.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import sys
import time
from collections import deque

from flyweight.embed.couriers import Couriers, Errand
from flyweight.embed.embedding_cache import EmbeddingCache
from flyweight.embed.gateway_client import HALTED
from flyweight.embed.rate import RequestRate, full_jitter_s
from flyweight.embed.remote import TemporarilyUnavailable, TextRefused, Throttled
from flyweight.embed.run_caps import CAP_REACHED, RunCaps
from flyweight.embed.ticket_book import ELSEWHERE, IN_FLIGHT, QUEUED, Finished, Piece, TicketBook
from flyweight.errors import EmbedderUnreachableError, FlyweightError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from flyweight.embed.remote import RemoteEmbedder
    from flyweight.embed.settings import EmbedderSettings

_MOST_IN_FLIGHT = 64
_MOST_ATTEMPTS = 10  # of one text while others succeed: with every fifth request failing, one in ten million is lost
_LOOK_ELSEWHERE_EVERY_S = 0.25


class Exchange:
    """patience_s: how long nothing but failures is put up with before the run is halted. halted: None, or (name of an
    error class or CAP_REACHED, message).

    Raises what `EmbeddingCache` raises when it is made.
    """

    def __init__(
        self,
        embedder: RemoteEmbedder,
        settings: EmbedderSettings,
        *,
        cache_directory: str | None,
        max_requests: int | None,
        max_tokens: int | None,
        patience_s: float,
    ) -> None:
        self._embedder = embedder
        self._spec = settings.spec
        self.dimensions = embedder.dimensions or settings.dimensions
        self._patience_s = patience_s
        self._cache = EmbeddingCache(cache_directory, embedder.name, self.dimensions)
        self._book = TicketBook(embedder, self.dimensions)
        self._rate = RequestRate(settings.max_requests_per_s)
        self._caps = RunCaps(max_requests, max_tokens)
        self._couriers = Couriers(embedder, settings.max_in_flight or _MOST_IN_FLIGHT, settings.timeout_s)
        self._chance = random.Random()
        self._ready: deque[Piece] = deque()
        self._delayed: list[tuple[float, int, Piece]] = []
        self._sequence = itertools.count()
        self._elsewhere: dict[bytes, Piece] = {}
        self._looked_s = 0.0
        self._others_wrote_s = 0.0
        self._draining = False
        self.halted: tuple[str, str] | None = None
        self._failing_since_s: float | None = None
        self._last_failure = ""
        self._requests = self._tokens = self._cached = self._throttled = self._failed = self._unembedded = 0

    @property
    def bell(self) -> int:
        """A file descriptor that is readable when `take_returned` has something to do."""
        return self._couriers.bell

    @property
    def in_flight(self) -> int:
        return self._couriers.in_flight

    def take_in(self, client: int, number: int, texts: list[bytes]) -> None:
        """A ticket: see TicketBook."""
        pieces = self._book.open(client, number, texts)
        if pieces:
            self._place(pieces)

    def close_client(self, client: int) -> None:
        """The client is gone: what only it wanted is not asked for."""
        self._release(self._book.close_client(client))

    def take_finished(self) -> list[Finished]:
        return self._book.take_finished()

    def drain(self) -> None:
        """Sends nothing more; what is in flight is still stored."""
        if not self._draining:
            self._draining = True
            self._drop_what_waits()

    def close(self) -> None:
        """Gives up the claims."""
        self._cache.close()

    def usage(self) -> dict[str, Any]:
        """See flyweight.embed.gateway.GatewayUsage."""
        now_s = time.monotonic()
        return {
            "requests": self._requests,
            "tokens": self._tokens,
            "cached": self._cached,
            "throttled": self._throttled,
            "failed": self._failed,
            "unembedded": self._unembedded,
            "rate_per_s": self._rate.per_s(now_s),
            "in_flight": self._couriers.in_flight,
            "waiting_elsewhere": len(self._elsewhere),
            "failing_s": 0.0 if self._failing_since_s is None else now_s - self._failing_since_s,
            "last_failure": "" if self._failing_since_s is None else self._last_failure,
            "cache_path": self._cache.path,
            "cache_bytes": self._cache.size_bytes(),
            "notes": self._cache.notes,
        }

    # Out to the service

    def dispatch(self) -> float | None:
        """Sends what may be sent. Returns seconds until there is more to do; None when only an event can say."""
        now_s = time.monotonic()
        waits = []
        while self._delayed and (self._delayed[0][0] <= now_s or self._delayed[0][2].state != QUEUED):
            self._ready.appendleft(heapq.heappop(self._delayed)[2])
        if self._delayed:
            waits.append(self._delayed[0][0] - now_s)
        if self._elsewhere:
            waits.append(self._looked_s + _LOOK_ELSEWHERE_EVERY_S - now_s)
        if self._failing_since_s is not None and self.halted is None:
            waits.append(self._failing_since_s + self._patience_s - now_s)
        while not self._draining and not self._couriers.all_out and (pieces := self._next_pieces()):
            wait_s = self._rate.wait_s(now_s)
            tokens = sum(piece.tokens for piece in pieces)
            if wait_s > 0.0:
                self._ready.extendleft(reversed(pieces))
                if wait_s != float("inf"):
                    waits.append(wait_s)
                break
            if not self._caps.admits(tokens):
                self._ready.extendleft(reversed(pieces))
                if not self._couriers.in_flight:  # else what comes back may have cost less than it was estimated at
                    self._halt(CAP_REACHED, self._caps.reached())
                break
            self._caps.sent(tokens)
            for piece in pieces:
                piece.state = IN_FLIGHT
            self._couriers.send(Errand(pieces, tokens, self._rate.sent(now_s)))
        return max(0.0, min(waits)) if waits else None

    def _next_pieces(self) -> list[Piece]:
        pieces: list[Piece] = []
        while self._ready and len(pieces) < self._embedder.texts_per_request:
            piece = self._ready[0]
            if piece.state != QUEUED or self._book.pieces.get(piece.key) is not piece:
                self._ready.popleft()  # nobody wants it any more
            elif pieces and piece.alone:
                break
            else:
                pieces.append(self._ready.popleft())
                if piece.alone:
                    break
        return pieces

    # Back from the service

    def take_returned(self) -> None:
        """Stores, in one transaction, all that has come back, then hands it on."""
        errands = self._couriers.take_returned()
        now_s = time.monotonic()
        kept: dict[bytes, bytes] = {}
        for errand in errands:
            if errand.answer is not None and not self._is_whole(errand):
                errand.error = TemporarilyUnavailable("the answer has vectors of the wrong size")
            if errand.error is None:
                assert errand.answer is not None
                kept.update(zip((piece.key for piece in errand.pieces), errand.answer.vectors, strict=True))
        if kept:
            try:
                self._cache.keep(kept)
            except FlyweightError as error:  # what was paid for is used all the same, and nothing more is asked
                self._halt_for(error)
        for errand in errands:
            if errand.error is None:
                self._succeeded(errand, now_s)
            else:
                self._went_wrong(errand, errand.error, now_s)

    def _is_whole(self, errand: Errand) -> bool:
        vectors = errand.answer.vectors if errand.answer is not None else []
        return len(vectors) == len(errand.pieces) and all(len(vector) == 4 * self.dimensions for vector in vectors)

    def _succeeded(self, errand: Errand, now_s: float) -> None:
        assert errand.answer is not None
        self._requests += 1
        self._tokens += errand.answer.tokens
        self._caps.answered(errand.tokens, errand.answer.tokens)
        self._rate.succeeded(errand.departure, now_s)
        self._failing_since_s = None
        for piece, vector in zip(errand.pieces, errand.answer.vectors, strict=True):
            self._book.answer(piece, vector)

    def _went_wrong(self, errand: Errand, error: Exception, now_s: float) -> None:
        if isinstance(error, Throttled):
            self._throttled += 1
            self._caps.refused(errand.tokens)
            self._rate.throttled(errand.departure, now_s, error.retry_after_s)
            self._failing(error, now_s)
            for piece in errand.pieces:
                self._again(piece, now_s, error)
        elif isinstance(error, TextRefused):
            self._caps.refused(errand.tokens)
            self._rate.succeeded(errand.departure, now_s)  # the service is there
            self._failing_since_s = None
            if len(errand.pieces) > 1:
                for piece in errand.pieces:
                    piece.alone = True
                    self._again(piece, now_s, error)
            else:
                self._give_up(errand.pieces[0], str(error))
        elif self._ends_the_run(error):
            self._failed += 1
            self._caps.refused(errand.tokens)
            self._halt_for(error)
            for piece in errand.pieces:
                self._give_up(piece, HALTED)
        else:
            self._failed += 1
            self._rate.lost(errand.departure, now_s)
            self._failing(error, now_s)
            for piece in errand.pieces:
                if self._requests > piece.seen_successes:  # the service works: it may be the text
                    piece.attempts += 1
                    piece.seen_successes = self._requests
                if piece.attempts >= _MOST_ATTEMPTS:
                    self._give_up(piece, f"failed {piece.attempts} times: {self._last_failure}")
                else:
                    self._again(piece, now_s, error)

    def _ends_the_run(self, error: Exception) -> bool:
        """What is no FlyweightError is a defect of ours. It ends the run if nothing has worked yet; later it is the
        answer that was strange, and does not stop the others."""
        if isinstance(error, FlyweightError):
            return not isinstance(error, (TemporarilyUnavailable, EmbedderUnreachableError))
        return self._requests == 0

    def _failing(self, error: Exception, now_s: float) -> None:
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        self._last_failure = str(error) if isinstance(error, FlyweightError) else f"{type(error).__name__}: {error}"

    def _again(self, piece: Piece, now_s: float, error: Exception) -> None:
        if self.halted is not None or self._draining or not piece.wanted:
            self._give_up(piece, HALTED)
            return
        piece.state = QUEUED
        piece.tries += 1
        if isinstance(error, TextRefused):
            self._ready.appendleft(piece)
            return
        # Before anything else when its time has come: the file it belongs to waits.
        due_s = now_s + full_jitter_s(piece.tries, self._chance)
        heapq.heappush(self._delayed, (due_s, next(self._sequence), piece))

    def _give_up(self, piece: Piece, reason: str) -> None:
        self._unembedded += bool(piece.wanted) and reason != HALTED
        self._release([piece, *self._book.give_up(piece, reason)])

    def _release(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            self._elsewhere.pop(piece.key, None)
        try:
            self._cache.release([piece.key for piece in pieces])
        except FlyweightError as error:
            self._halt_for(error)

    # Halting

    def _halt_for(self, error: Exception) -> None:
        if isinstance(error, FlyweightError):
            self._halt(type(error).__name__, str(error))
        else:
            if os.environ.get("FLYWEIGHT_DEBUG"):
                sys.excepthook(type(error), error, error.__traceback__)
            self._halt(
                "BuildError",
                f"the embedding gateway failed: {type(error).__name__}: {error} "
                "(this is a defect: FLYWEIGHT_DEBUG=1 shows its traceback)",
            )

    def _halt(self, kind: str, message: str) -> None:
        """Nothing new is sent; what is in flight is waited for, the rest answered with "halted"."""
        if self.halted is not None:
            return
        self.halted = kind, message
        self._drop_what_waits()

    def _drop_what_waits(self) -> None:
        waiting = [piece for piece in self._book.pieces.values() if piece.state != IN_FLIGHT]
        given_up = list(waiting)
        for piece in waiting:
            given_up += self._book.give_up(piece, HALTED)
        self._ready.clear()
        self._delayed.clear()
        self._release(given_up)

    def mind_patience(self) -> None:
        """Halts when the service, or another gateway that is waited for, has been silent for too long."""
        if self.halted is not None:
            return
        if not self._book.waiting:
            self._failing_since_s = None
            return
        now_s = time.monotonic()
        if self._failing_since_s is not None and now_s - self._failing_since_s >= self._patience_s:
            self._halt(
                EmbedderUnreachableError.__name__,
                f"{self._spec} has not answered for {self._patience_s:.0f} s, the last time: {self._last_failure}. "
                "What was embedded is kept: run again when the service can be reached",
            )
        elif self._elsewhere and now_s - self._others_wrote_s >= self._patience_s:
            owner = self._cache.owner_pid(next(iter(self._elsewhere)))
            self._halt(
                EmbedderUnreachableError.__name__,
                f"another build that uses {self._cache.path} (process {owner}) is asking for the same texts and has "
                f"stored none for {self._patience_s:.0f} s: end it and run again",
            )

    # Texts come in

    def _place(self, pieces: list[Piece]) -> None:
        """Each piece is answered from the cache, waited for, or queued."""
        keys = [piece.key for piece in pieces]
        stopped = self.halted is not None or self._draining
        try:
            if stopped:
                vectors, elsewhere = self._cache.find(keys), set[bytes]()
            else:
                found = self._cache.find_or_claim(keys)
                vectors, elsewhere = found.vectors, found.elsewhere
        except FlyweightError as error:
            self._halt_for(error)
            vectors, elsewhere, stopped = {}, set[bytes](), True
        for piece in pieces:
            vector = vectors.get(piece.key)
            if vector is not None:
                self._cached += 1
                self._elsewhere.pop(piece.key, None)
                self._book.answer(piece, vector)
            elif stopped:
                self._give_up(piece, HALTED)
            elif piece.key in elsewhere:
                if not self._elsewhere:
                    self._others_wrote_s = time.monotonic()
                piece.state = ELSEWHERE
                self._elsewhere[piece.key] = piece
            else:
                self._elsewhere.pop(piece.key, None)
                piece.state = QUEUED
                piece.seen_successes = self._requests
                self._ready.append(piece)

    def look_elsewhere(self) -> None:
        """What another gateway was asking for may have come, or may be ours to ask for now."""
        now_s = time.monotonic()
        if self._elsewhere and now_s - self._looked_s >= _LOOK_ELSEWHERE_EVERY_S:
            self._looked_s = now_s
            if self._cache.others_wrote():
                self._others_wrote_s = now_s
            self._place(list(self._elsewhere.values()))

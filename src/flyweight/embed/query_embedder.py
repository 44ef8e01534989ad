"""One query to one vector, within a deadline. Resident."""

from __future__ import annotations

import os
import time

from flyweight.embed.circuit_breaker import CircuitBreaker
from flyweight.embed.remote import TemporarilyUnavailable, TextRefused, Throttled, remote_embedder
from flyweight.errors import EmbedderRefusedError, EmbedderUnreachableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.embed.remote import RemoteEmbedder
    from flyweight.embed.settings import EmbedderSettings

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
# A connection that has died without a word must leave time for a second one.
_SHARE_OF_AN_ATTEMPT = 0.6
_LEAST_ATTEMPT_S = 1.0
# Without a network every search would otherwise take its whole time to find that out.
_MOST_CALLS_TO_NOBODY = 3


class QueryEmbedder:
    """Embeds queries with a remote embedder, and keeps the vectors of the latest.

    cache_entries: vectors kept; timeout_s: how long one `embed` may take, retries included. what: is embedded, in words
    of its errors; limit: the setting that `timeout_s` comes from.

    Where nobody can be reached, that is found out by few queries: the others fail at once until one of them gets an
    answer again (see CircuitBreaker).

    Safe to share between threads and across fork: no lock is held while anything is waited for, and a child makes
    connections of its own. Nothing is loaded, read or connected before the first query.
    """

    def __init__(
        self,
        settings: EmbedderSettings,
        cache_entries: int,
        timeout_s: float,
        *,
        what: str = "the query",
        limit: str = "query_timeout_s",
    ) -> None:
        self._settings = settings
        self._entries = cache_entries
        self._timeout_s = timeout_s
        self._what = what
        self._limit = limit
        self._breaker = CircuitBreaker(what)
        self._embedder: RemoteEmbedder | None = None
        self._vectors: dict[str, bytes] = {}  # the latest last; each step on it is one under the GIL

    def embed(self, query: str) -> bytes:
        """float32 little-endian, of length one; zeros for a blank query.

        Raises EmbedderUnreachableError, CredentialsError, EmbedderRefusedError, ConfigError.
        """
        vector = self._vectors.pop(query, None)
        if vector is None:
            vector = self._asked(query)
        self._keep(query, vector)
        return vector

    def drop_idle(self) -> None:
        """Gives back kept vectors and connections; credentials stay, which may have taken a process to get."""
        self._vectors.clear()
        if self._embedder is not None:
            self._embedder.drop_idle()

    def close(self) -> None:
        """Lets go of everything; another query would make it again."""
        self._vectors.clear()
        embedder, self._embedder = self._embedder, None
        if embedder is not None:
            embedder.close()

    def _keep(self, query: str, vector: bytes) -> None:
        if self._entries <= 0:
            return
        self._vectors[query] = vector
        while len(self._vectors) > self._entries:
            try:
                self._vectors.pop(next(iter(self._vectors)), None)
            except (StopIteration, RuntimeError):
                break  # another thread changes it, and will see to its size

    def _asked(self, query: str) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        embedder = self._embedder
        if embedder is None:
            embedder = self._embedder = remote_embedder(self._settings)
        pieces = embedder.pieces(query.encode("utf-8", "replace"))
        if not pieces:
            return bytes(4 * embedder.dimensions)
        return self._breaker.call(lambda: self._combined(embedder, pieces, deadline))

    def _combined(self, embedder: RemoteEmbedder, pieces: list[str], deadline: float) -> bytes:
        vectors = [self._one(embedder, piece, deadline) for piece in pieces]
        return embedder.combine(vectors, [embedder.estimate_tokens(piece) for piece in pieces])

    def _one(self, embedder: RemoteEmbedder, text: str, deadline: float) -> bytes:
        pause_s = _FIRST_PAUSE_S
        # Not the error itself: that would hold this frame, which holds it, until the next collection.
        failure = "no time was left"
        calls_to_nobody = 0
        while (left := deadline - time.monotonic()) > 0:
            wanted_s: float | None = None
            try:
                attempt_s = max(left * _SHARE_OF_AN_ATTEMPT, min(left, _LEAST_ATTEMPT_S))
                return embedder.request([text], attempt_s).vectors[0]
            except TextRefused as refusal:
                message = f"{self._what} cannot be embedded: {refusal}: ask with other words"
                raise EmbedderRefusedError(message) from None
            except Throttled as error:
                failure, wanted_s = str(error), error.retry_after_s
            except TemporarilyUnavailable as error:
                failure = str(error)
                calls_to_nobody += error.nobody_there
                if calls_to_nobody == _MOST_CALLS_TO_NOBODY:
                    break
            wait_s = _jittered(pause_s) if wanted_s is None else wanted_s
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            if time.monotonic() + wait_s >= deadline:
                break
            time.sleep(wait_s)
        if calls_to_nobody == _MOST_CALLS_TO_NOBODY:
            raise EmbedderUnreachableError(f"no vector for {self._what}: {failure}") from TemporarilyUnavailable(
                failure
            )
        raise EmbedderUnreachableError(
            f"no vector for {self._what} within {self._timeout_s:g} s ({self._limit}): {failure}"
        ) from TemporarilyUnavailable(failure)


def _jittered(most_s: float) -> float:
    """Anything up to `most_s`, so that many who failed together do not come back together."""
    return most_s * int.from_bytes(os.urandom(4), "little") / 0xFFFFFFFF

"""What embedders have in common whose model runs elsewhere. Resident: a service's module is loaded when it is used.

One call is one exchange: who retries, how often and how fast is decided by the caller, by the kind of error.
"""

from __future__ import annotations

from flyweight.errors import ConfigError, FlyweightError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from flyweight.embed.settings import EmbedderSettings

    class RemoteEmbedder(Protocol):
        """Asks a service for vectors. Safe to share between threads; a forked child makes connections of its own."""

        @property
        def name(self) -> str: ...

        @property
        def dimensions(self) -> int:
            """0 until the service has been asked: see with_known_dimensions."""
            ...

        @property
        def texts_per_request(self) -> int: ...

        @property
        def price_per_million_tokens(self) -> float | None:
            """US dollars; None where nobody has said."""
            ...

        def pieces(self, text: bytes) -> list[str]:
            """The text as the model can take it, cut at line ends where it is too long; [] for blank text."""
            ...

        def estimate_tokens(self, text: str) -> int: ...

        def request(self, texts: list[str], timeout_s: float) -> Answer:
            """Embeds at most texts_per_request texts in one exchange, done within `timeout_s` seconds.

            Raises Throttled, TemporarilyUnavailable, TextRefused, or an EmbedderError when the whole run is in vain.
            """
            ...

        def combine(self, vectors: Sequence[bytes], weights: Sequence[float]) -> bytes:
            """The vector of a text from those of its pieces, weighed by their tokens."""
            ...

        def drop_idle(self) -> None:
            """Closes connections that nobody uses."""
            ...

        def close(self) -> None: ...


class Answer:
    """vectors: for each text float32 little-endian, of length one; tokens: what the service charges for."""

    __slots__ = ("tokens", "vectors")

    def __init__(self, vectors: list[bytes], tokens: int) -> None:
        self.vectors = vectors
        self.tokens = tokens


class Throttled(FlyweightError):
    """Too many requests for now. retry_after_s: in how long the service wants to be asked again, if it said so."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TemporarilyUnavailable(FlyweightError):
    """No answer, or none that can be used: the same request may succeed later.

    nobody_there: it was clear at once that no connection can be made, so that later is not in a second.
    """

    def __init__(self, message: str, nobody_there: bool = False) -> None:
        super().__init__(message)
        self.nobody_there = nobody_there


class TextRefused(FlyweightError):
    """The service will not embed this text, however often it is asked; others it may."""


def remote_embedder(settings: EmbedderSettings) -> RemoteEmbedder:
    """The client for `settings`. Raises ConfigError, CredentialsError; opens no connection yet."""
    if settings.service == "bedrock":
        from flyweight.embed.titan import TitanEmbedder

        return TitanEmbedder(settings)
    if settings.service == "openai":
        from flyweight.embed.openai import OpenAIEmbedder

        return OpenAIEmbedder(settings)
    raise ConfigError(f"{settings.spec} is no remote embedder")


def with_known_dimensions(settings: EmbedderSettings, timeout_s: float = 30.0) -> EmbedderSettings:
    """`settings` with its dimensions, asked of the service by one embedding where nobody has said.

    Raises ConfigError, EmbedderUnreachableError, EmbedderRefusedError, CredentialsError.
    """
    if settings.dimensions or not settings.is_remote:
        return settings
    from flyweight.embed.query_embedder import QueryEmbedder

    what = f"the word that tells the dimensions of {settings.model}"
    embedder = QueryEmbedder(settings, 0, timeout_s, what=what, limit="the time for that")
    try:
        return settings.with_dimensions(len(embedder.embed("dimensions")) // 4)
    finally:
        embedder.close()

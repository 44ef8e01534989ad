"""What embedders of services have in common besides the wire: kept connections, and texts cut as Titan takes them."""

from __future__ import annotations

from flyweight.aws.connection_pool import ConnectionPool
from flyweight.embed import splitting
from flyweight.embed.unit_vector import mean_vector

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from flyweight.embed.settings import EmbedderSettings

_MOST_IDLE = 64


class PooledEmbedder:
    """All of flyweight.embed.remote.RemoteEmbedder but the exchange itself, which differs between services."""

    def __init__(self, settings: EmbedderSettings, base_url: str, ca_bundle: str | None) -> None:
        self.name = settings.name
        self.dimensions = settings.dimensions
        self.price_per_million_tokens = settings.price_per_million_tokens
        self._pool = ConnectionPool(
            base_url,
            ca_bundle=ca_bundle,
            proxy=settings.proxy,
            max_idle=settings.max_in_flight or _MOST_IDLE,
            timeout_s=settings.timeout_s,
        )

    def pieces(self, text: bytes) -> list[str]:
        return splitting.pieces(text)

    def estimate_tokens(self, text: str) -> int:
        return splitting.estimate_tokens(text)

    def combine(self, vectors: Sequence[bytes], weights: Sequence[float]) -> bytes:
        return mean_vector(vectors, weights)

    def drop_idle(self) -> None:
        self._pool.drop_idle()

    def close(self) -> None:
        self._pool.close()

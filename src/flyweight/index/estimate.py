"""What embedding a tree with a remote service would take, found out without asking the service anything."""

from __future__ import annotations

from hashlib import blake2b

from flyweight.embed.embedding_cache import count_kept, text_key
from flyweight.errors import FlyweightError
from flyweight.index.catalogue import Catalogue
from flyweight.index.chunk import chunk
from flyweight.index.manifest import read_manifest
from flyweight.index.vectors import REMOTE_MENTIONS, CutFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.embed.remote import RemoteEmbedder
    from flyweight.embed.settings import EmbedderSettings


class Estimate:
    """Sums over the files that `add` is called with.

    chunks: of files that are not in the index as they are. cached: texts among them that have been paid for (a chunk
    longer than the model's limit is several). requests, tokens: for the others, about.
    """

    def __init__(
        self,
        settings: EmbedderSettings,
        embedder: RemoteEmbedder,
        *,
        cache_path: str | None = None,
        index_path: str | None = None,
    ) -> None:
        """`index_path`: of the index that would be brought up to date; None for a new one."""
        self._settings = settings
        self._embedder = embedder
        self._cache_path = cache_path
        self._catalogue = None if index_path is None else _catalogue(settings, index_path)
        self._asked: set[bytes] = set()
        self._missing = 0
        self._tokens = 0.0
        self.chunks = 0
        self.cached = 0

    def add(self, path: str, language: str, text: bytes) -> None:
        if self._catalogue is not None:
            known = self._catalogue.find(path)
            if known is not None and known.content_hash == blake2b(text, digest_size=16).digest():
                return
        file = CutFile(path, language, b"", 0, text, chunk(text, language), replaces=False)
        self.chunks += len(file.chunks)
        new: dict[bytes, str] = {}
        for embedded in file.embedded_texts(REMOTE_MENTIONS):
            for piece in self._embedder.pieces(embedded):
                key = text_key(piece)
                if key not in self._asked:
                    self._asked.add(key)
                    new[key] = piece
        if not new:
            return
        settings = self._settings
        kept = count_kept(self._cache_path, settings.name, settings.dimensions, new.values())
        tokens = sum(self._embedder.estimate_tokens(piece) for piece in new.values())
        self.cached += kept
        self._missing += len(new) - kept
        self._tokens += tokens * (len(new) - kept) / len(new)

    @property
    def requests(self) -> int:
        return -(-self._missing // self._embedder.texts_per_request)

    @property
    def tokens(self) -> int:
        return round(self._tokens)

    @property
    def cost_usd(self) -> float | None:
        """None where nobody has said what the service takes for a token."""
        price = self._embedder.price_per_million_tokens
        return None if price is None else self._tokens * price / 1e6

    def as_dict(self) -> dict[str, object]:
        return {
            "embedder": self._settings.name,
            "chunks": self.chunks,
            "cached": self.cached,
            "requests": self.requests,
            "tokens": self.tokens,
            "cost_usd": self.cost_usd,
        }


def _catalogue(settings: EmbedderSettings, index_path: str) -> Catalogue | None:
    try:
        manifest = read_manifest(index_path)
    except FlyweightError:
        return None
    if not settings.matches(manifest.embedder, manifest.dimensions):
        return None
    return Catalogue(index_path, manifest.segments)

"""How the queries of an engine get their vectors where the index does not embed them itself, and what is done when
there is none to be had. Resident, with a remote embedder or a store that is not of segments."""

from __future__ import annotations

from flyweight.config import LEXICAL
from flyweight.embed.static import model_path
from flyweight.errors import EmbedderError
from flyweight.index.reader import check_static, mismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight._search import StaticModel
    from flyweight.config import SearchConfig
    from flyweight.embed.query_embedder import QueryEmbedder
    from flyweight.embed.settings import EmbedderSettings
    from flyweight.index.reader import IndexInfo

_FLOAT_BYTES = 4
# Text beyond this costs requests and adds no meaning: a query of a megabyte is a pasted file.
_MOST_CHARACTERS = 4096


class QueryVectors:
    """Vectors for the queries to one index. Safe to share between threads; a forked child makes its own connections."""

    def __init__(self, config: SearchConfig, where: str) -> None:
        self._config = config
        self._where = where
        self._model: StaticModel | None = None
        # By what they embed for: setdefault is one step under the GIL, so threads end up with the same one.
        self._embedders: dict[tuple[str, int], QueryEmbedder | None] = {}

    def check(self, index: IndexInfo) -> None:
        """Raises IndexMismatchError when this engine's vectors mean nothing to the index, ConfigError when what it
        remembers as its embedder cannot be used."""
        key = (index.embedder, index.dimensions)
        if key not in self._embedders:
            settings = self._settings_for(index)
            made = None
            if settings is not None:
                from flyweight.embed.query_embedder import QueryEmbedder

                config = self._config
                made = QueryEmbedder(settings, cache_entries=config.cache_size, timeout_s=config.query_timeout_s)
            self._embedders.setdefault(key, made)

    def of(self, query: str, index: IndexInfo) -> tuple[bytes, str]:
        """The vector of a query, float32 little-endian, and no reason; or one of zeros, and the reason.

        Raises EmbedderError when the service cannot be used and the config says so, and what `check` raises.
        """
        self.check(index)
        embedder = self._embedders[index.embedder, index.dimensions]
        if embedder is None:
            return self._static_model().embed_once(query, index.dimensions), ""
        nothing = bytes(index.dimensions * _FLOAT_BYTES)
        if not query.strip():
            return nothing, ""
        try:
            return embedder.embed(query[:_MOST_CHARACTERS]), ""
        except EmbedderError as error:
            if self._config.when_unreachable != LEXICAL:
                raise
            return nothing, str(error) or type(error).__name__

    def drop_idle(self) -> None:
        """Lets go of kept vectors, idle connections and the model; the next query makes again what it needs."""
        self._model = None
        for embedder in self._made():
            embedder.drop_idle()

    def close(self) -> None:
        """Lets go of credentials as well."""
        self._model = None
        for embedder in self._made():
            embedder.close()

    def _made(self) -> list[QueryEmbedder]:
        return [embedder for embedder in list(self._embedders.values()) if embedder is not None]

    def _static_model(self) -> StaticModel:
        model = self._model
        if model is None:
            from flyweight._search import StaticModel

            model = self._model = StaticModel(model_path())
        return model

    def _settings_for(self, index: IndexInfo) -> EmbedderSettings | None:
        """The remote embedder that queries to the index need; None for the static one."""
        config = self._config
        settings = config.embedder_settings
        if config.embedder is None and (config.embedder_options or index.embedder != self._static_model().id):
            from flyweight.embed.settings import EmbedderSettings

            settings = EmbedderSettings.of_index(index.embedder, index.dimensions, config.embedder_options)
            if not settings.is_remote:
                settings = None
        if settings is None:
            check_static(index, self._static_model().id, config.max_embedding_dim, self._where)
            return None
        if not settings.matches(index.embedder, index.dimensions):
            ours = f"{settings.name}, {settings.dimensions} dimensions" if settings.dimensions else settings.name
            raise mismatch(index, ours, self._where)
        return settings if settings.dimensions else settings.with_dimensions(index.dimensions)

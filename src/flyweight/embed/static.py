"""The default embedder: a table of token vectors that ships with the package, mapped and never loaded.

How the table was made: `training/README.md`. Its format: `docs/model-format.md`.
"""

from __future__ import annotations

import os

from flyweight._search import StaticModel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def model_path() -> str:
    """Where the model that ships with the package lies."""
    return os.path.join(os.path.dirname(__file__), "data", "minilm-256.fwm")


class StaticEmbedder:
    """Mean of the vectors of a text's tokens. `dimensions` keeps the leading ones: 256, 128 or 64."""

    def __init__(self, dimensions: int = 256) -> None:
        self._model = StaticModel(model_path())
        self.dimensions = min(dimensions, self._model.dimensions)

    @property
    def name(self) -> str:
        return self._model.id

    def embed(self, texts: Sequence[bytes]) -> bytes:
        """float32 little-endian, shape (len(texts), dimensions). See `flyweight.embed.Embedder`."""
        return b"".join([self._model.embed(text, self.dimensions) for text in texts])

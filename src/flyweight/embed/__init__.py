"""Text to vectors. The static embedder is the default and satisfies the protocol below; embedders whose model runs
elsewhere answer for each text, at a price, and not always: theirs is flyweight.embed.remote.RemoteEmbedder.

Imported by the resident, so nothing heavy here: the protocol exists for type checkers only.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class Embedder(Protocol):
        """Turns texts into vectors of length one.

        `name` identifies model and version: an index remembers it and refuses queries embedded otherwise.
        """

        @property
        def name(self) -> str: ...

        @property
        def dimensions(self) -> int: ...

        def embed(self, texts: Sequence[bytes]) -> bytes:
            """float32 little-endian, row-major, shape (len(texts), dimensions); a row of zeros for a text
            without meaning."""
            ...

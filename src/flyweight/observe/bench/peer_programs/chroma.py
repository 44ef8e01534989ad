# mypy: ignore-errors
"""Chroma: a persistent collection. Vectors are made up, of 256 dimensions: no embedding model is loaded."""

from __future__ import annotations

from conversation import LIMIT, chunks_of, serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DIMENSIONS = 256


class Program:
    def init(self) -> None:
        from random import Random

        import chromadb
        from chromadb.config import Settings

        self._random = Random
        self._client: Any = chromadb.PersistentClient("chroma", settings=Settings(anonymized_telemetry=False))

    def _embedded(self, text: str) -> list[float]:
        drawn = self._random(text)
        return [drawn.uniform(-1, 1) for _ in range(_DIMENSIONS)]

    def index(self, directory: str) -> int:
        pieces = list(chunks_of(directory))
        self._collection: Any = self._client.create_collection("chunks", metadata={"hnsw:space": "cosine"})
        self._collection.add(
            ids=[str(number) for number in range(len(pieces))],
            documents=[text for _, text in pieces],
            embeddings=[self._embedded(text) for _, text in pieces],
        )
        return len(pieces)

    def query(self, text: str) -> int:
        found = self._collection.query(query_embeddings=[self._embedded(text)], n_results=LIMIT)
        return len(found["ids"][0])


serve(Program())

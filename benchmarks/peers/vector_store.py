"""Vector stores over the same vectors: LanceDB, Chroma, usearch, a plain numpy product.

``build`` reads float32 rows from a raw file and writes the store; ``open`` maps or loads it in a fresh
process; ``time`` runs queries and returns their durations and the rows found, so that recall can be told
beside speed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.peers.protocol import serve

Rows = npt.NDArray[np.float32]


class Store(Protocol):
    def build(self, vectors: Rows, directory: Path) -> None: ...
    def open(self, directory: Path, rows: int, dimensions: int) -> None: ...
    def search(self, query: npt.NDArray[np.float32], k: int) -> list[int]: ...


class NumpyFloat:
    """The whole matrix in memory, one product per query."""

    def build(self, vectors: Rows, directory: Path) -> None:
        vectors.tofile(directory / "vectors.f32")

    def open(self, directory: Path, rows: int, dimensions: int) -> None:
        self._vectors = np.fromfile(directory / "vectors.f32", dtype=np.float32).reshape(rows, dimensions)

    def search(self, query: npt.NDArray[np.float32], k: int) -> list[int]:
        scores = self._vectors @ query
        best = np.argpartition(scores, -k)[-k:]
        return [int(row) for row in best[np.argsort(-scores[best])]]


class Usearch:
    """HNSW over int8, mapped from disk."""

    def build(self, vectors: Rows, directory: Path) -> None:
        from usearch.index import Index

        index = Index(ndim=vectors.shape[1], metric="cos", dtype="i8")
        index.add(np.arange(len(vectors)), vectors)
        index.save(str(directory / "index.usearch"))

    def open(self, directory: Path, rows: int, dimensions: int) -> None:
        from usearch.index import Index

        self._index = Index.restore(str(directory / "index.usearch"), view=True)

    def search(self, query: npt.NDArray[np.float32], k: int) -> list[int]:
        return [int(key) for key in self._index.search(query, k).keys]


class LanceDB:
    """IVF_PQ, the index LanceDB's documentation suggests from some ten thousand rows on."""

    def build(self, vectors: Rows, directory: Path) -> None:
        from lancedb.index import IvfPq

        self._create(vectors, directory).create_index("vector", config=IvfPq(distance_type="cosine"))

    def _create(self, vectors: Rows, directory: Path) -> Any:
        import lancedb
        import pyarrow as pa

        values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        table = pa.table({"row": pa.array(np.arange(len(vectors))), "vector": values})
        return lancedb.connect(str(directory)).create_table("chunks", table, mode="overwrite")

    def open(self, directory: Path, rows: int, dimensions: int) -> None:
        import lancedb

        self._table = lancedb.connect(str(directory)).open_table("chunks")

    def search(self, query: npt.NDArray[np.float32], k: int) -> list[int]:
        found = self._table.search(query).metric("cosine").select(["row", "_distance"]).limit(k).to_arrow()
        return [int(row) for row in found["row"].to_pylist()]


class Chroma:
    """HNSW with Chroma's default settings, cosine."""

    _BATCH = 5000

    def build(self, vectors: Rows, directory: Path) -> None:
        collection = self._client(directory).create_collection("chunks", metadata={"hnsw:space": "cosine"})
        for start in range(0, len(vectors), self._BATCH):
            part = vectors[start : start + self._BATCH]
            collection.add(ids=[str(start + row) for row in range(len(part))], embeddings=part)

    def open(self, directory: Path, rows: int, dimensions: int) -> None:
        self._collection = self._client(directory).get_collection("chunks")

    def search(self, query: npt.NDArray[np.float32], k: int) -> list[int]:
        found = self._collection.query(query_embeddings=[query], n_results=k, include=[])
        return [int(identifier) for identifier in found["ids"][0]]

    @staticmethod
    def _client(directory: Path) -> Any:
        import chromadb
        from chromadb.config import Settings

        return chromadb.PersistentClient(str(directory), settings=Settings(anonymized_telemetry=False))


STORES: dict[str, type[Store]] = {
    "numpy": NumpyFloat,
    "usearch": Usearch,
    "lancedb": LanceDB,
    "chroma": Chroma,
}
_opened: dict[str, Store] = {}


def build(store: str, vectors: str, dimensions: int, directory: str) -> dict[str, Any]:
    rows = np.fromfile(vectors, dtype=np.float32).reshape(-1, dimensions)
    Path(directory).mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    STORES[store]().build(rows, Path(directory))
    return {"seconds": time.perf_counter() - start, "rows": len(rows)}


def open_store(store: str, rows: int, dimensions: int, directory: str) -> dict[str, Any]:
    opened = STORES[store]()
    opened.open(Path(directory), rows, dimensions)
    _opened["store"] = opened
    return {"python": sys.version.split()[0]}


def time_searches(queries: str, dimensions: int, k: int) -> dict[str, Any]:
    store = _opened["store"]
    durations = []
    found = []
    for query in np.fromfile(queries, dtype=np.float32).reshape(-1, dimensions):
        start = time.perf_counter_ns()
        rows = store.search(query, k)
        durations.append(time.perf_counter_ns() - start)
        found.append(rows)
    return {"nanoseconds": durations, "rows": found}


if __name__ == "__main__":
    serve({"build": build, "open": open_store, "time": time_searches})

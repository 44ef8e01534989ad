# mypy: ignore-errors
"""semble: its own chunks, BM25, vectors and ranking, with our token table (FLYWEIGHT_BENCH_MODEL) as its model."""

from __future__ import annotations

import os

from conversation import LIMIT, serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Program:
    def init(self) -> None:
        from semble.index import SembleIndex
        from semble.index.dense import load_model

        self._kind: Any = SembleIndex
        self._model = os.environ["FLYWEIGHT_BENCH_MODEL"]
        load_model(self._model)

    def index(self, directory: str) -> int:
        self._index: Any = self._kind.from_path(directory, model_path=self._model)
        return int(self._index.stats.total_chunks)

    def query(self, text: str) -> int:
        return len(self._index.search(text, top_k=LIMIT))


serve(Program())

"""What an index answers to a few fixed questions: damage and refused writes must not change it."""

from __future__ import annotations

from pathlib import Path

from flyweight import SearchConfig, SemanticSearchEngine

QUERIES = ("record writer", "journal", "where is the cache flushed")


def engine_for(index_path: Path) -> SemanticSearchEngine:
    return SemanticSearchEngine(SearchConfig(index_path=index_path, cache_size=0))


def answers(index_path: Path) -> list[dict[str, object]]:
    with engine_for(index_path) as engine:
        return [hit.as_dict() for query in QUERIES for hit in engine.search(query, limit=20)]

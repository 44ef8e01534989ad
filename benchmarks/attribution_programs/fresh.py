"""An engine that has just opened an index and answered a query; places: an index, a tree, a file of queries."""

from __future__ import annotations

from benchmarks.attribution_programs.trimmed import rss_bytes

PLANTED: dict[str, int] = {}


def run(places: list[str]) -> object:
    from flyweight import SearchConfig, SemanticSearchEngine

    engine = SemanticSearchEngine(SearchConfig(index_path=places[0]))
    engine.search("where are retries handled")
    PLANTED["rss_bytes"] = rss_bytes()
    return engine

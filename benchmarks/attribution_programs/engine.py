"""Our own engine after some hundred queries; places: an index, a file of queries."""

from __future__ import annotations


def run(places: list[str]) -> object:
    from flyweight import SearchConfig, SemanticSearchEngine

    engine = SemanticSearchEngine(SearchConfig(index_path=places[0]))
    with open(places[1], encoding="utf-8") as questions:
        for question in questions:
            for hit in engine.search(question.strip()):
                len(hit.text)
    return engine

"""An engine that indexes, searches and trims; places: where the index goes, a tree, a file of queries.

``PLANTED`` has RSS before and after ``trim()``.
"""

from __future__ import annotations

PLANTED: dict[str, int] = {}


def run(places: list[str]) -> object:
    from flyweight import SearchConfig, SemanticSearchEngine

    engine = SemanticSearchEngine(SearchConfig(index_path=places[0]))
    engine.index(places[1])
    ask(engine, places[2])
    PLANTED["before_bytes"] = rss_bytes()
    PLANTED["said_bytes"] = engine.trim()
    PLANTED["rss_bytes"] = rss_bytes()
    return engine


def ask(engine: object, questions_path: str) -> None:
    with open(questions_path, encoding="utf-8") as questions:
        for question in questions:
            engine.search(question.strip())  # type: ignore[attr-defined]


def rss_bytes() -> int:
    with open("/proc/self/smaps_rollup") as rollup:
        return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Rss:"))

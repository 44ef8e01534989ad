"""A process that keeps an engine: it indexes a tree, answers questions, and stays until its input ends.

`demo.py` starts it and measures it from outside, so it imports as little as a real one should.
Prints lines of fields separated by tabs: progress, indexed, opened, answer, hit, ready; or error.
"""

from __future__ import annotations

import sys
from time import perf_counter

from flyweight import FlyweightError, IndexProgress, SearchConfig, SemanticSearchEngine

_HITS_SHOWN = 3


def say(*fields: object) -> None:
    print(*fields, sep="\t", flush=True)


def tell(progress: IndexProgress) -> None:
    say("progress", progress.phase, progress.files, progress.total_files, progress.chunks)


def serve(path: str, index_path: str, queries: list[str]) -> None:
    with SemanticSearchEngine(SearchConfig(index_path=index_path)) as engine:
        stats = engine.index(path, progress=tell, rebuild=True)
        say("indexed", stats.files, stats.chunks, stats.seconds)
        began = perf_counter()
        generation = engine.manifest.generation
        say("opened", perf_counter() - began, generation)
        for query in queries:
            durations_s = []
            for _ in range(2):  # the second is answered by the cache
                began = perf_counter()
                hits = engine.search(query, limit=_HITS_SHOWN)
                durations_s.append(perf_counter() - began)
            say("answer", query, *durations_s)
            for hit in hits:
                say(
                    "hit",
                    hit.score,
                    ascii(hit.path)[1:-1],
                    hit.start_line,
                    hit.end_line,
                    hit.language,
                    hit.symbol,
                )
        say("ready")
        sys.stdin.readline()


if __name__ == "__main__":
    try:
        serve(sys.argv[1], sys.argv[2], sys.argv[3:])
    except FlyweightError as error:
        say("error", error)
        sys.exit(2)

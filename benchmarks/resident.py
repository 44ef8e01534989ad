"""The process whose memory and speed are measured: an engine that obeys one-line commands on standard input.

It imports nothing but ``sys``, ``time`` and Flyweight, since whatever else it held would be measured too.  Arguments:
index path, cache size, and settings of the engine as NAME=TEXT.
Fields of a command are separated by tabs, and each is answered by one line.  ``resident_process.py`` drives
it:

    index PATH                   files, chunks and seconds
    search LIMIT QUERY           number of hits
    time LIMIT FILE              nanoseconds of one search per line of FILE
    cpu LIMIT FILE               the same by the thread's own clock, which others on the machine do not slow
    text LIMIT FILE              as time, reading the text of every hit
    hits COUNT LIMIT QUERY       nanoseconds per search over batches of one query, which the cache answers
    distinct COUNT LIMIT FILE N  runs COUNT queries made of FILE's words, the N-th onwards; seconds and hits
    reopen                       a new engine on the same index, hence an empty cache
"""

from __future__ import annotations

import sys
from time import perf_counter, perf_counter_ns, thread_time_ns

from flyweight import SearchConfig, SemanticSearchEngine

_BATCH = 1000


def open_engine(index_path: str, cache_size: int, settings: dict[str, str]) -> SemanticSearchEngine:
    config = SearchConfig(index_path=index_path, cache_size=cache_size, cache_ttl=3600.0, **settings)  # type: ignore[arg-type]
    return SemanticSearchEngine(config)


def timed_searches(engine: SemanticSearchEngine, limit: int, path: str, verb: str) -> str:
    clock = thread_time_ns if verb == "cpu" else perf_counter_ns
    read_text = verb == "text"
    durations = []
    with open(path, encoding="utf-8") as queries:
        for line in queries:
            query = line.rstrip("\n")
            start = clock()
            hits = engine.search(query, limit=limit)
            if read_text:
                for hit in hits:
                    hit.text  # noqa: B018 - reading it is what is timed
            durations.append(clock() - start)
    return " ".join(map(str, durations))


def timed_hits(engine: SemanticSearchEngine, count: int, limit: int, query: str) -> str:
    batches = []
    search = engine.search
    for _ in range(count // _BATCH):
        start = perf_counter_ns()
        for _ in range(_BATCH):
            search(query, limit=limit)
        batches.append((perf_counter_ns() - start) // _BATCH)
    return " ".join(map(str, batches))


def distinct_searches(engine: SemanticSearchEngine, count: int, limit: int, path: str, first: int) -> str:
    """Queries of four words and their own number: no two are alike, so the cache never answers one."""
    with open(path, encoding="utf-8") as listing:
        words = listing.read().split()
    size = len(words)
    hits = 0
    start = perf_counter()
    state = first * 2654435761 + 1
    for number in range(first, first + count):
        chosen = []
        for _ in range(4):
            state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
            chosen.append(words[(state >> 33) % size])
        hits += len(engine.search(f"{' '.join(chosen)} {number}", limit=limit))
    return f"{perf_counter() - start} {hits}"


def main() -> None:
    index_path, cache_size = sys.argv[1], int(sys.argv[2])
    settings = dict(argument.split("=", 1) for argument in sys.argv[3:])
    engine = open_engine(index_path, cache_size, settings)
    print("ready", flush=True)
    while line := sys.stdin.readline():
        verb, *fields = line.rstrip("\n").split("\t")
        if verb == "index":
            stats = engine.index(fields[0])
            answer = f"{stats.files} {stats.chunks} {stats.seconds}"
        elif verb == "search":
            answer = str(len(engine.search(fields[1], limit=int(fields[0]))))
        elif verb in ("time", "cpu", "text"):
            answer = timed_searches(engine, int(fields[0]), fields[1], verb)
        elif verb == "hits":
            answer = timed_hits(engine, int(fields[0]), int(fields[1]), fields[2])
        elif verb == "distinct":
            answer = distinct_searches(engine, int(fields[0]), int(fields[1]), fields[2], int(fields[3]))
        elif verb == "reopen":
            engine.close()
            engine = open_engine(index_path, cache_size, settings)
            answer = "reopened"
        else:
            answer = f"unknown command {verb}"
        print(answer, flush=True)
    engine.close()


main()

"""The process that is measured: an engine that obeys one-line commands on standard input.

Run as a file, so that nothing of the observer is loaded: it holds what a program that searches code would hold, and
nothing else. With the argument ``tracked`` it is recorded from its first line on, and explains itself at the end.

Fields of a command are separated by tabs, and each is answered by one line:

    init NAME=VALUE...    opens an engine with these settings; those in force, NAME=VALUE...
    index PATH            chunks
    query TEXT            nanoseconds, hits, and 1 when the cache answered
    many COUNT TEXT...    asks each text COUNT times, each time once more with a number that no query had; searches made
    settle SECONDS TEXT   asks TEXT, each time with a new number, with pauses of 10 ms for so long; searches made
    attribution           whose its memory is, as JSON; the last thing to ask, since it loads what a search does not
    answered              that the queries are over, whose phase this ends
    explain SECONDS LIMIT one JSON object with all that the profiler knows; whether use was steady below LIMIT bytes
"""

from __future__ import annotations

import sys
from time import perf_counter_ns, sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight import SemanticSearchEngine

_TRACKED = "tracked" in sys.argv[1:]
_PAUSE_S = 0.01
# Caches are renewed in less, so that what they keep is not taken for what was forgotten.
_OLD_S = 2.0
_OBJECTS = ("embedder_settings", "store_location")
if _TRACKED:
    from flyweight import memory

    memory.start()


def _opened(fields: list[str]) -> SemanticSearchEngine:
    from flyweight import SearchConfig, SemanticSearchEngine

    settings: dict[str, int | float | str] = {}
    for field in fields:
        name, _, value = field.partition("=")
        kind, _, text = value.partition(":")
        settings[name] = int(text) if kind == "int" else float(text) if kind == "float" else text
    return SemanticSearchEngine(SearchConfig(track_memory=_TRACKED, **settings))  # type: ignore[arg-type]


def _query(engine: SemanticSearchEngine, text: str, answered: int) -> str:
    start = perf_counter_ns()
    hits = engine.search(text)
    elapsed = perf_counter_ns() - start
    return f"{elapsed} {len(hits)} {int(engine.cache_stats()['hits'] > answered)}"


def _many(engine: SemanticSearchEngine, count: int, texts: list[str], first: int) -> int:
    for number in range(first, first + count):
        for text in texts:
            engine.search(text)
            engine.search(f"{text} {number}")
    return 2 * count * len(texts)


def _settle(engine: SemanticSearchEngine, seconds: float, text: str, first: int) -> int:
    end = perf_counter_ns() + int(seconds * 1e9)
    asked = 0
    while perf_counter_ns() < end:
        engine.search(f"{text} {first + asked}")
        asked += 1
        sleep(_PAUSE_S)
    return asked


def _attribution(engine: SemanticSearchEngine) -> str:
    explained = engine.get_memory_attribution()
    import json

    return json.dumps(explained.to_dict())


def _explain(engine: SemanticSearchEngine, window_s: float, limit_bytes: int) -> str:
    # In this order: what comes later adds to what came before.
    steady = engine.is_steady_state(limit_bytes, window_s)
    found = engine.detect_memory_leaks(min_age_s=_OLD_S, min_size=1)
    explained = engine.get_memory_attribution()
    report = engine.get_memory_report()
    memory.phase("Final")
    phases = memory.phase_table()
    import json

    from flyweight.memory.query_memory import measured_queries

    return json.dumps(
        {
            "steady": steady.to_dict(),
            "leaks": [leak.to_dict() for leak in found],
            "attribution": explained.to_dict(),
            "report": report.to_dict(),
            "phases": [phase.to_dict() for phase in phases],
            "queries": [query.to_dict() for query in measured_queries()],
        }
    )


def main() -> None:
    engine: SemanticSearchEngine | None = None
    asked = answered = 0
    print("ready", flush=True)
    while line := sys.stdin.readline():
        verb, *fields = line.rstrip("\n").split("\t")
        if verb == "init":
            engine = _opened(fields)
            names = [name for name in engine.config.__slots__ if name not in _OBJECTS]
            answer = "\t".join(f"{name}={getattr(engine.config, name)}" for name in names)
        elif engine is None:
            answer = "no engine yet"
        elif verb == "index":
            answer = str(engine.index(fields[0]).chunks)
        elif verb == "query":
            if _TRACKED:
                engine.measure_query(fields[0])
                answer = "measured"
            else:
                answer = _query(engine, fields[0], answered)
                answered = engine.cache_stats()["hits"]
        elif verb == "many":
            made = _many(engine, int(fields[0]), fields[1:], asked)
            asked += made
            answered = engine.cache_stats()["hits"]
            answer = str(made)
        elif verb == "settle":
            made = _settle(engine, float(fields[0]), fields[1], asked)
            asked += made
            answer = str(made)
        elif verb == "attribution":
            answer = _attribution(engine)
        elif verb == "answered":
            answer = str(len(engine.get_memory_phases()))
        elif verb == "explain":
            answer = _explain(engine, float(fields[0]), int(fields[1]))
        else:
            answer = f"unknown command {verb}"
        print(answer, flush=True)


main()

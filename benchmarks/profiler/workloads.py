"""The work that is done under each profiler, about half a second of it in plain Python.

A workload is a function that prepares what is not measured and returns the job: a function of a number of
rounds.  Heavy imports stay inside, as each child process runs one workload only.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

Job = Callable[[int], object]

_WORDS = (
    "segment",
    "manifest",
    "posting",
    "lexicon",
    "arena",
    "shadow",
    "epoch",
    "block",
    "site",
    "phase",
    "chunk",
    "query",
)


class Point:
    """A small object without a dictionary."""

    __slots__ = ("x", "y", "z")

    def __init__(self, x: float, y: float, z: float) -> None:
        self.x = x
        self.y = y
        self.z = z

    def moved(self, other: Point) -> Point:
        return Point(self.x + other.x, self.y + other.y, self.z + other.z)


class Entry:
    """A small object with attributes of its own."""

    def __init__(self, name: str, weight: float) -> None:
        self.name = name
        self.weight = weight
        self.links: list[Entry] = []


def _document(entries: int) -> dict[str, object]:
    return {
        "version": 3,
        "entries": [
            {
                "id": number,
                "name": f"{_WORDS[number % len(_WORDS)]}-{number}",
                "score": number / 7,
                "tags": list(_WORDS[number % 5 : number % 5 + 4]),
                "place": {"file": f"src/{number}.py", "line": number * 3, "open": number % 2 == 0, "parent": None},
            }
            for number in range(entries)
        ],
    }


def json_round_trips() -> Job:
    import json

    document = _document(400)

    def job(rounds: int) -> object:
        loaded: object = None
        for _ in range(rounds):
            loaded = json.loads(json.dumps(document))
        return loaded

    return job


def small_objects() -> Job:
    step = Point(0.5, 0.25, 0.125)

    def job(rounds: int) -> object:
        total = 0.0
        for _ in range(rounds):
            points = [Point(float(number), 1.0, 2.0) for number in range(4000)]
            points = [point.moved(step) for point in points]
            total += points[-1].x
            entries = [Entry("entry", number * 0.5) for number in range(4000)]
            for before, after in pairwise(entries):
                after.links.append(before)
            total += len(entries)
        return total

    return job


def strings() -> Job:
    def job(rounds: int) -> object:
        size = 0
        for number in range(rounds):
            lines = [f"{word}:{number}:{place:04d} {place / 3:.3f}" for place, word in enumerate(_WORDS * 20)]
            text = "\n".join(lines)
            fields = [line.partition(" ")[0].split(":") for line in text.split("\n")]
            table = {field[0] + field[2]: field[1].rjust(12) for field in fields}
            size += len(text.upper().replace("SEGMENT", "part")) + len(table)
            size += len(text.encode("utf-8"))
        return size

    return job


def deep_copies() -> Job:
    import copy

    entries = [Entry(f"{word}-{place}", place * 0.5) for place, word in enumerate(_WORDS)]
    for before, after in pairwise(entries):
        after.links.append(before)
    nested = {"document": _document(40), "entries": entries, "pairs": [(str(key), [key, [key]]) for key in range(300)]}

    def job(rounds: int) -> object:
        copied: object = None
        for _ in range(rounds):
            copied = copy.deepcopy(nested)
        return copied

    return job


def calls_only() -> Job:
    # Results stay below 257, the integers that CPython never allocates.
    def depth(level: int) -> int:
        return 1 if level < 2 else (depth(level - 1) + depth(level - 2)) & 127

    def keyword(*, low: int, high: int = 9) -> int:
        return high - low

    def job(rounds: int) -> object:
        total = 0
        for _ in range(rounds):
            total = (total + depth(17) + keyword(low=2)) & 127
        return total

    return job


def native_heavy() -> Job:
    import sqlite3
    import zlib

    import numpy

    # Freeing a large block once lifts malloc's thresholds for mmap and for trimming.  Without it they move at some
    # point of the job that depends on where blocks happen to lie, and a job can take half or twice its time.
    numpy.empty(4_000_000 // 8).fill(0.0)
    left = numpy.linspace(0.0, 1.0, 20_000)
    small = numpy.linspace(0.0, 1.0, 24)
    text = "\n".join(f"{word} {place} {place * 7 % 13}" for place, word in enumerate(_WORDS * 60)).encode()
    rows = [(number, f"{_WORDS[number % len(_WORDS)]}-{number}", number / 3) for number in range(1000)]

    def job(rounds: int) -> object:
        result = 0.0
        for _ in range(rounds):
            for _ in range(20):
                result += float(((left * 2.0 + 1.0) / (left + 3.0)).sum())
            for _ in range(300):
                result += float((small * 2.0 + small)[3])
            result += len(zlib.decompress(zlib.compress(text, 1)))
            connection = sqlite3.connect(":memory:")
            connection.execute("CREATE TABLE site (number INTEGER PRIMARY KEY, name TEXT, weight REAL)")
            connection.executemany("INSERT INTO site VALUES (?, ?, ?)", rows)
            connection.execute("CREATE INDEX by_name ON site (name)")
            found = connection.execute("SELECT name, sum(weight) FROM site GROUP BY name ORDER BY 2 DESC").fetchall()
            result += len(found)
            connection.close()
        return result

    return job


def index_and_query(index_path: str, tree: str, questions: str) -> Job:
    """What our builder does with a hundred files, and what the resident does with 200 questions."""
    import os

    from flyweight import SearchConfig, SemanticSearchEngine
    from flyweight.index.chunk import chunk
    from flyweight.index.language import detect

    files: list[tuple[bytes, str]] = []
    for folder, subfolders, names in os.walk(tree):
        subfolders.sort()
        for name in sorted(names):
            with open(os.path.join(folder, name), "rb") as source:
                data = source.read()
            files.append((data, detect(name, data)))
    files = [(data, language) for data, language in files if len(data) < 20_000][:100]
    with open(questions, encoding="utf-8") as listing:
        queries = listing.read().splitlines()[:200]

    def job(rounds: int) -> object:
        answers = 0
        for _ in range(rounds):
            for data, language in files:
                answers += len(chunk(data, language))
            with SemanticSearchEngine(SearchConfig(index_path=index_path)) as engine:
                for query in queries:
                    answers += len([hit.path for hit in engine.search(query, limit=10)])
        return answers

    return job


def live_objects() -> Job:
    """Objects that stay, as many as there are rounds, for what a profiler itself holds; each has a float and a name."""

    def job(rounds: int) -> object:
        return [Point(number * 0.5, number, f"name {number}") for number in range(rounds)]  # type: ignore[arg-type]

    return job


# Name: (how to prepare it, rounds for about half a second of plain Python)
MICRO: dict[str, tuple[Callable[[], Job], int]] = {
    "json": (json_round_trips, 300),
    "small objects": (small_objects, 130),
    "strings": (strings, 2000),
    "deep copy": (deep_copies, 430),
    "calls only": (calls_only, 2100),
}
NATIVE = "native-heavy"
OWN_JOB = "index and query"
LIVE = "live objects"
ROUNDS = {name: rounds for name, (_, rounds) in MICRO.items()} | {NATIVE: 140, OWN_JOB: 8}
LIVE_OBJECTS = 400_000


def prepare(name: str, places: list[str]) -> Job:
    """The job of a workload; ``places`` are the index, tree and questions of our own."""
    if name in MICRO:
        return MICRO[name][0]()
    if name == NATIVE:
        return native_heavy()
    if name == LIVE:
        return live_objects()
    return index_and_query(*places)

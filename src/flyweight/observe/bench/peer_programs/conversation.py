"""A peer's half of the conversation with the bench: lines of fields separated by tabs, each answered by one line.

init                  imports and opens what is needed
index DIRECTORY       chunks
query TEXT            nanoseconds, hits, and 0: none of these keeps answers
many COUNT TEXT...    asks each text COUNT times, and as often with a number that no query had; searches made
"""

from __future__ import annotations

import os
import sys
from time import perf_counter_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Program(Protocol):
        def init(self) -> None: ...
        def index(self, directory: str) -> int:
            """Takes in a tree; the number of chunks."""

        def query(self, text: str) -> int:
            """Answers a query; the number of hits."""


_CHUNK_BYTES = 1500
LIMIT = 10


def serve(program: Program) -> None:
    """Obeys until input ends. What a library prints goes to standard error: standard output carries answers only."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print("ready", file=answers, flush=True)
    asked = 0
    while line := sys.stdin.readline():
        verb, *fields = line.rstrip("\n").split("\t")
        if verb == "init":
            program.init()
            answer = "opened"
        elif verb == "index":
            answer = str(program.index(fields[0]))
        elif verb == "query":
            start = perf_counter_ns()
            hits = program.query(fields[0])
            answer = f"{perf_counter_ns() - start} {hits} 0"
        else:
            for number in range(asked, asked + int(fields[0])):
                for text in fields[1:]:
                    program.query(text)
                    program.query(f"{text} {number}")
            made = 2 * int(fields[0]) * len(fields[1:])
            asked += made
            answer = str(made)
        print(answer, file=answers, flush=True)


def chunks_of(directory: str) -> Iterator[tuple[str, str]]:
    """Path and text of each chunk: lines, up to about as many bytes as a chunk of ours has."""
    for folder, _, names in os.walk(directory):
        for name in sorted(names):
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8", errors="replace") as file:
                piece = ""
                for line in file:
                    piece += line
                    if len(piece) >= _CHUNK_BYTES:
                        yield path, piece
                        piece = ""
                if piece:
                    yield path, piece

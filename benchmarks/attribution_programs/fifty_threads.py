"""Fifty threads, each with objects of its own, a deep stack behind it, and something it waits for."""

from __future__ import annotations

import threading

_THREADS = 50
_OBJECTS = 2_000
_DEPTH = 200


def run(places: list[str]) -> object:
    ready = threading.Barrier(_THREADS + 1)
    end = threading.Event()
    kept: list[object] = []

    def descend(depth: int) -> int:
        return 0 if depth == 0 else 1 + descend(depth - 1)

    def work(number: int) -> None:
        descend(_DEPTH)
        mine = [(number, f"object {each}", bytes(each % 300)) for each in range(_OBJECTS)]
        kept.append(mine[::2])
        del mine
        ready.wait()
        end.wait()

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(_THREADS)]
    for thread in threads:
        thread.start()
    ready.wait()
    return threads, end, kept

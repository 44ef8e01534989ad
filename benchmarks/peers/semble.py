"""semble: hybrid code search in Python, with its own chunks, BM25, vectors and ranking."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from semble.index import SembleIndex
from semble.version import __version__

from benchmarks.peers.protocol import serve

_state: dict[str, SembleIndex] = {}


def version() -> dict[str, Any]:
    return {"version": __version__}


def load_model(model: str) -> dict[str, Any]:
    """Load the model before anything is timed, as we do not time mapping ours."""
    from semble.index.dense import load_model as load

    load(model)
    return {}


def index(path: str, model: str, save_to: str | None = None) -> dict[str, Any]:
    start = time.perf_counter()
    built = SembleIndex.from_path(path, model_path=model)
    seconds = time.perf_counter() - start
    _state["index"] = built
    if save_to is not None:
        built.save(save_to)
    indexed_bytes = sum(len(chunk.content.encode()) for chunk in built.chunks)
    return {
        "files": built.stats.indexed_files,
        "chunks": built.stats.total_chunks,
        "seconds": seconds,
        "chunk_bytes": indexed_bytes,
    }


def open_index(path: str) -> dict[str, Any]:
    _state["index"] = SembleIndex.load_from_disk(Path(path))
    return {"chunks": _state["index"].stats.total_chunks}


def time_searches(queries: list[str], limit: int) -> dict[str, Any]:
    opened = _state["index"]
    durations = []
    for query in queries:
        start = time.perf_counter_ns()
        opened.search(query, top_k=limit)
        durations.append(time.perf_counter_ns() - start)
    return {"nanoseconds": durations}


def rank(queries: list[str], limit: int) -> dict[str, Any]:
    """For each query the (path, first line, last line) of its hits, best first."""
    opened = _state["index"]
    return {
        "hits": [
            [
                (result.chunk.file_path, result.chunk.start_line, result.chunk.end_line)
                for result in opened.search(query, top_k=limit)
            ]
            for query in queries
        ]
    }


if __name__ == "__main__":
    serve(
        {
            "version": version,
            "load_model": load_model,
            "index": index,
            "open": open_index,
            "time": time_searches,
            "rank": rank,
        }
    )

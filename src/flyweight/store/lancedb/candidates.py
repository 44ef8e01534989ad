"""One query against a table: what full-text and vector search find, ranked as an index of segments ranks.

LanceDB's searches run side by side, filters pushed down; then the kind of file has its say (before candidates are cut,
or tests and documentation crowd the source out), and `_search.rank`, the one ranking there is, decides.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from operator import mul
from typing import TYPE_CHECKING, Any
from zlib import crc32

from flyweight._search import candidates_for, definition_term, prior, query_words, rank
from flyweight.store.lancedb.arrow_stream import Columns, Vector, columns_of
from flyweight.store.lancedb.predicates import admits, where
from flyweight.store.lancedb.table import CHUNKS_ONLY, path_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flyweight.store.lancedb.hit import HitFields

# How many more than are wanted each search is asked for: priors lower what is in front by up to 0.3.
_SPARE = 4
_SAMPLED_VECTORS = 512
# The mean vector is taken again when the table has grown or shrunk by so much.
_DRIFT = 0.1
# Distances of a vector index are of quantized vectors: of so many times as many they are computed exactly.
_REFINE_FACTOR = 2

_DESCRIBING = ("path", "raw_path", "start_line", "end_line", "language", "kind", "symbol", "scope", "defined")
_PLACE = ("path", "raw_path")


class _Found:
    """A candidate: the row, its path and what the searches say of it."""

    __slots__ = ("cosine", "lexical", "path", "prior")

    def __init__(self, path: str, file_prior: float) -> None:
        self.path = path
        self.prior = file_prior
        self.lexical = 0.0
        self.cosine: float | None = None


class Searches:
    """The searches of one open table at one version."""

    def __init__(self, table: Any, dimensions: int) -> None:
        self._table = table
        self._dimensions = dimensions
        self._mean: array[float] | None = None
        self._mean_of_rows = -1

    async def run(
        self,
        query: str,
        vector: bytes,
        limit: int,
        min_score: float,
        languages: Sequence[str],
        include: Sequence[str],
        exclude: Sequence[str],
    ) -> list[HitFields]:
        """The best hits, best first. A vector of zeros, or none, asks for full-text search alone."""
        terms, names, _ = query_words(query)
        wanted, definitions_wanted = candidates_for(limit)
        floats = array("f", vector)
        has_vector = any(floats)
        predicate = where(languages, include, exclude)
        lexical, defining, nearest = await asyncio.gather(
            self._full_text(" ".join(terms), wanted * _SPARE, predicate),
            self._full_text(" ".join(definition_term(name) for name in names), definitions_wanted * _SPARE, predicate),
            self._nearest(vector, wanted * _SPARE, predicate) if has_vector else _nothing(),
        )
        mean_cosine = await self._mean_cosine(floats) if has_vector else 0.0

        found: dict[int, _Found] = {}
        priors: dict[str, float] = {}

        def candidates(columns: Columns) -> list[int]:
            rows = []
            for row, path, raw_path in zip(*_parts(columns, "_rowid", *_PLACE), strict=True):
                path = path_of(path, raw_path)
                if not admits(path, include, exclude):
                    continue
                if row not in found:
                    if path not in priors:
                        priors[path] = prior(query, path)
                    found[row] = _Found(path, priors[path])
                rows.append(row)
            return rows

        scores = dict(zip(*_parts(lexical, "_rowid", "_score"), strict=True))
        distances = dict(zip(*_parts(nearest, "_rowid", "_distance"), strict=True))
        by_terms = candidates(lexical)
        definitions = candidates(defining)
        by_vector = candidates(nearest)
        missing = [row for row in definitions if row not in scores]
        if missing:
            these = ", ".join(map(str, missing))
            said = await self._full_text(" ".join(terms), len(missing), f"_rowid IN ({these})")
            scores.update(zip(*_parts(said, "_rowid", "_score"), strict=True))
        for row, candidate in found.items():
            candidate.lexical = scores.get(row, 0.0)
            if row in distances:
                candidate.cosine = 1.0 - distances[row]

        def lexical_score(row: int) -> float:
            return found[row].lexical * found[row].prior

        def dense_score(row: int) -> float:
            return ((found[row].cosine or 0.0) - mean_cosine) * found[row].prior

        chosen = dict.fromkeys(sorted(by_terms, key=lexical_score, reverse=True)[:wanted])
        chosen.update(dict.fromkeys(sorted(definitions, key=lexical_score, reverse=True)[:definitions_wanted]))
        lexically_found = set(chosen)
        chosen.update(dict.fromkeys(sorted(by_vector, key=dense_score, reverse=True)[:wanted]))
        if not chosen:
            return []
        described = await self._take(sorted(chosen), (*_DESCRIBING, "vector") if has_vector else _DESCRIBING)
        for row, stored in zip(*_parts(described, "_rowid", "vector"), strict=False):
            if found[row].cosine is None:
                found[row].cosine = _cosine(floats, stored)
        return await self._ranked(query, limit, min_score, described, found, lexically_found, mean_cosine)

    async def _ranked(
        self,
        query: str,
        limit: int,
        min_score: float,
        described: Columns,
        found: dict[int, _Found],
        lexically_found: set[int],
        mean_cosine: float,
    ) -> list[HitFields]:
        rows = described["_rowid"]
        names = zip(*_parts(described, "symbol", "scope", "defined"), strict=True)
        given = [
            (
                found[row].path,
                "\0".join((symbol or "", scope or "", *(defined or ()))),
                found[row].lexical if row in lexically_found else 0.0,
                found[row].cosine,
            )
            for row, (symbol, scope, defined) in zip(rows, names, strict=True)
        ]
        best = [(number, score) for number, score in rank(query, limit, given, mean_cosine) if score >= min_score]
        if not best:
            return []
        taken = await self._take(sorted(rows[number] for number, _ in best), ("text",))
        texts = dict(zip(taken["_rowid"], taken["text"], strict=True))
        return [
            (
                found[rows[i]].path,
                described["start_line"][i],
                described["end_line"][i],
                described["language"][i] or "",
                described["kind"][i] or "",
                described["symbol"][i] or "",
                described["scope"][i] or "",
                score,
                (texts[rows[i]] or b"").decode("utf-8", "replace"),
            )
            for i, score in best
        ]

    async def _full_text(self, words: str, limit: int, predicate: str | None) -> Columns:
        if not words:
            return {}
        search = self._table.query().nearest_to_text({"query": words, "columns": ["terms"]})
        return await self._fetch(search, (*_PLACE, "_score"), limit, predicate)

    async def _nearest(self, vector: bytes, limit: int, predicate: str | None) -> Columns:
        search = self._table.query().nearest_to(Vector(vector))
        search.column("vector")
        search.distance_type("cosine")
        search.refine_factor(_REFINE_FACTOR)
        return await self._fetch(search, (*_PLACE, "_distance"), limit, predicate)

    async def _fetch(self, search: Any, names: Sequence[str], limit: int, predicate: str | None) -> Columns:
        search.select_columns(list(names))
        search.limit(limit)
        search.with_row_id()
        if predicate is not None:
            search.where(predicate)
        return await _gathered(search)

    async def _take(self, rows: list[int], names: Sequence[str]) -> Columns:
        taking = self._table.take_row_ids(rows)
        taking.select_columns(list(names))
        taking.with_row_id()
        return await _gathered(taking)

    async def _mean_cosine(self, query: array[float]) -> float:
        """What any chunk has in common with the query: the cosine that says nothing."""
        rows = await self._table.count_rows()
        if abs(rows - self._mean_of_rows) > _DRIFT * self._mean_of_rows:
            self._mean = await self._mean_vector(rows)
            self._mean_of_rows = rows
        return 0.0 if self._mean is None else _dot(query, self._mean)

    async def _mean_vector(self, rows: int) -> array[float] | None:
        taking = self._table.take_offsets(sampled_offsets(rows))
        taking.select_columns(["vector"])
        vectors = [array("f", vector) for vector in (await _gathered(taking)).get("vector", ()) if vector is not None]
        if not vectors:
            return None
        return array("f", [math.fsum(values) / len(vectors) for values in zip(*vectors, strict=True)])

    async def chunk_count(self) -> int:
        return int(await self._table.count_rows(CHUNKS_ONLY))


def sampled_offsets(rows: int) -> list[int]:
    """About 512 of the rows, spread over all of them.

    Not at even steps: the row of a file comes before those of its chunks and has no vector, so where files are of as
    many chunks each, such as one, even steps may meet no chunk at all.
    """
    step = max(1, rows // _SAMPLED_VECTORS)
    # A checksum is as good as chance, and the same every time.
    return [first + crc32(first.to_bytes(8, "little")) % step for first in range(0, rows - step + 1, step)]


async def _nothing() -> Columns:
    return {}


async def _gathered(search: Any) -> Columns:
    stream = await search.execute()
    gathered: Columns = {}
    while True:
        try:
            batch = await stream.__anext__()
        except StopAsyncIteration:
            return gathered
        for name, values in columns_of(batch).items():
            gathered.setdefault(name, []).extend(values)


def _parts(columns: Columns, *names: str) -> list[list[Any]]:
    return [columns.get(name, []) for name in names]


def _cosine(query: array[float], vector: bytes | None) -> float:
    """Of vectors of length one, or zero."""
    return 0.0 if vector is None else _dot(query, array("f", vector))


def _dot(first: array[float], second: array[float]) -> float:
    return math.fsum(map(mul, first, second))

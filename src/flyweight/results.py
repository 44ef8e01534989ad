"""What a search returns: the hits, and whether the answer is all that it should be."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from flyweight._search import SearchHit
    from flyweight.store.lancedb.hit import StoredHit

    _Hits = list[SearchHit]
else:
    _Hits = list


class SearchResults(_Hits):
    """A list of hits, best first.

    cached: whether it was answered from the query cache.
    degraded: whether the query was answered by its words alone, because the embedding service could not be used.
    reason: why that was; empty otherwise.
    """

    __slots__ = ("cached", "reason")

    def __init__(self, hits: Iterable[SearchHit | StoredHit] = (), *, cached: bool = False, reason: str = "") -> None:
        super().__init__(hits)  # type: ignore[arg-type]  # a stored hit has all that a hit has
        self.cached = cached
        self.reason = reason

    @property
    def degraded(self) -> bool:
        return self.reason != ""

"""Hits of recent queries, so that a repeat asks no process. Resident: imports nothing but `time`."""

from __future__ import annotations

from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from flyweight.store.lancedb.hit import StoredHit

# Texts come with hits, so that it is bytes, and not entries alone, that must be bounded.
_BYTES_PER_ENTRY = 16 * 1024
_BYTES_PER_HIT = 500  # but for its text: objects, path, names


class ResultCache:
    """At most `entries` results of at most 16 KiB each on average, none older than `ttl_s`; the least recently used
    goes first."""

    def __init__(self, entries: int, ttl_s: float, now: Callable[[], float] = monotonic) -> None:
        self._capacity = entries
        self._limit_bytes = entries * _BYTES_PER_ENTRY
        self._ttl_s = ttl_s
        self._now = now
        # When it was stored, of which generation, its hits and their bytes; the oldest use first.
        self._stored: dict[Any, tuple[float, Any, tuple[StoredHit, ...], int]] = {}
        self._bytes = 0
        self._counters = {"hits": 0, "misses": 0, "evictions": 0, "expired": 0}

    def find(self, key: Any, generation: Any) -> list[StoredHit] | None:
        """What was stored under `key`, if the store has not changed since: None when there is nothing fresh."""
        kept = self._stored.pop(key, None)
        if kept is not None:
            if self._now() - kept[0] < self._ttl_s and kept[1] == generation:
                self._stored[key] = kept
                self._counters["hits"] += 1
                return list(kept[2])
            self._bytes -= kept[3]
            self._counters["expired"] += 1
        self._counters["misses"] += 1
        return None

    def store(self, key: Any, generation: Any, hits: list[StoredHit]) -> None:
        size = sum(hit.text.__sizeof__() + _BYTES_PER_HIT for hit in hits)
        old = self._stored.pop(key, None)
        if old is not None:
            self._bytes -= old[3]
        if self._ttl_s <= 0 or size > self._limit_bytes // 4:
            return
        self._stored[key] = (self._now(), generation, tuple(hits), size)
        self._bytes += size
        while self._bytes > self._limit_bytes or len(self._stored) > self._capacity:
            self._bytes -= self._stored.pop(next(iter(self._stored)))[3]
            self._counters["evictions"] += 1

    def clear(self) -> None:
        self._stored.clear()
        self._bytes = 0

    def counters(self) -> dict[str, int]:
        """As those of the segments' query cache."""
        return {
            **self._counters,
            "entries": len(self._stored),
            "capacity": self._capacity,
            "pool_bytes": self._bytes,
        }

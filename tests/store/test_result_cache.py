"""Results kept in the resident: fresh, few, and bounded in bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyweight.store.lancedb.hit import StoredHit
from flyweight.store.lancedb.result_cache import ResultCache


def hit(text: str = "def open_file(): ...") -> StoredHit:
    return StoredHit(("src/a.py", 1, 9, "python", "function", "open_file", "files", 0.5, text))


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_result_comes_back_as_it_was() -> None:
    cache = ResultCache(2, 30.0)
    cache.store("q", 1, [hit()])
    found = cache.find("q", 1)
    assert found is not None
    assert [hit.as_dict() for hit in found] == [hit().as_dict()]
    assert repr(found[0]) == "<SearchHit src/a.py:1-9 open_file score=0.500>"


def test_what_is_done_to_a_result_does_not_change_what_is_kept() -> None:
    cache = ResultCache(2, 30.0)
    cache.store("q", 1, [hit()])
    first = cache.find("q", 1)
    assert first is not None
    with pytest.raises(AttributeError):
        first[0].path = "elsewhere"  # type: ignore[misc]
    first.clear()
    again = cache.find("q", 1)
    assert again is not None
    assert again[0].path == "src/a.py"


def test_an_empty_result_is_a_result() -> None:
    cache = ResultCache(2, 30.0)
    cache.store("q", 1, [])
    assert cache.find("q", 1) == []


def test_a_result_expires() -> None:
    clock = Clock()
    cache = ResultCache(2, 30.0, clock)
    cache.store("q", 1, [hit()])
    clock.now_s += 29.9
    assert cache.find("q", 1) is not None
    clock.now_s += 0.2
    assert cache.find("q", 1) is None
    assert cache.counters()["entries"] == 0


def test_a_result_of_a_store_that_has_changed_is_not_found() -> None:
    cache = ResultCache(2, 30.0)
    cache.store("q", 1, [hit()])
    assert cache.find("q", 2) is None


def test_the_least_recently_used_goes_first() -> None:
    cache = ResultCache(2, 30.0)
    cache.store("a", 1, [hit()])
    cache.store("b", 1, [hit()])
    cache.find("a", 1)
    cache.store("c", 1, [hit()])
    assert cache.find("b", 1) is None
    assert cache.find("a", 1) is not None
    assert cache.counters()["evictions"] == 1


def test_without_entries_or_time_nothing_is_kept() -> None:
    for cache in (ResultCache(0, 30.0), ResultCache(5, 0.0)):
        cache.store("q", 1, [hit()])
        assert cache.find("q", 1) is None
        assert cache.counters()["pool_bytes"] == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40_000)), max_size=60))
def test_bytes_are_bounded_and_accounted_for(stores: list[tuple[int, int]]) -> None:
    cache = ResultCache(4, 30.0)
    for key, size in stores:
        cache.store(key, 1, [hit("x" * size)])
        counters = cache.counters()
        assert counters["pool_bytes"] <= 4 * 16 * 1024
        assert counters["entries"] <= 4
    cache.clear()
    assert cache.counters()["pool_bytes"] == 0

"""Reading the native module's answers: rows of 64-bit integers whose columns a tuple of names describes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def record(answer: bytes, columns: tuple[str, ...]) -> dict[str, int]:
    """The one row of an answer, by column.

    >>> record(bytes([1] + 7 * [0] + [2] + 7 * [0]), ("live_count", "live_bytes"))
    {'live_count': 1, 'live_bytes': 2}
    """
    return dict(zip(columns, memoryview(answer).cast("q").tolist(), strict=True))


def rows(answer: bytes, width: int) -> Iterator[list[int]]:
    """The rows of an answer, one after another."""
    values = memoryview(answer).cast("q")
    for start in range(0, len(values), width):
        yield values[start : start + width].tolist()


def ranked(answer: bytes, width: int, column: int, most: int) -> list[list[int]]:
    """The `most` rows with the largest value above zero in a column, largest first; among equals the earlier one."""
    values = memoryview(answer).cast("q")
    keys = values[column::width].tolist()
    order = sorted(range(len(keys)), key=keys.__getitem__, reverse=True)[:most]
    return [values[row * width : (row + 1) * width].tolist() for row in order if keys[row] > 0]

"""Vectors of length one, as an index keeps them: float32 little-endian. Resident."""

from __future__ import annotations

from math import hypot, isfinite
from struct import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class BadVector(ValueError):
    """What a service sent is no vector that could be compared; the message says what it is."""


def checked_vector(values: object, dimensions: int) -> bytes:
    """The direction of `values`, a list of `dimensions` numbers (0: of any length). Raises BadVector."""
    if not isinstance(values, list):
        raise BadVector(f"an embedding is a list of numbers, not {_kind(values)}")
    if not values or (dimensions and len(values) != dimensions):
        raise BadVector(f"an embedding of {len(values)} dimensions came, not of {dimensions or 'one or more'}")
    if not {float, int}.issuperset(map(type, values)):
        wrong = next(value for value in values if type(value) not in (float, int))
        raise BadVector(f"an embedding holds {_kind(wrong)} among its numbers")
    return _unit(values)


def mean_vector(vectors: Sequence[bytes], weights: Sequence[float]) -> bytes:
    """The direction of the weighted mean; of one vector, that vector. Raises BadVector when they cancel each other."""
    if len(vectors) == 1:
        return vectors[0]
    rows = [unpack(f"<{len(vector) // 4}f", vector) for vector in vectors]
    return _unit([sum(map(float.__mul__, map(float, weights), column)) for column in zip(*rows, strict=True)])


def _unit(values: Sequence[float]) -> bytes:
    try:
        length = hypot(*values)
    except OverflowError:  # an integer beyond all floats
        length = float("inf")
    if not isfinite(length):
        raise BadVector("an embedding holds numbers that are not finite")
    if length < 1e-30:
        raise BadVector("an embedding of zeros has no direction")
    return pack(f"<{len(values)}f", *[value / length for value in values])


def _kind(value: object) -> str:
    words = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return words.get(type(value), "a number")

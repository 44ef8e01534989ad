"""A process of 200 MB: a million small objects, larger buffers, and holes where others were.

places: how many small objects, where it is to be another number.
"""

from __future__ import annotations

_SMALL = 1_000_000
_BUFFERS, _BUFFER_BYTES = 600, 100_000


def run(places: list[str]) -> object:
    small = [f"object {number} with a text of its own" for number in range(int(places[0]) if places else _SMALL)]
    buffers = [bytearray(_BUFFER_BYTES) for _ in range(_BUFFERS)]
    holes = [bytes(1_000) for _ in range(20_000)]
    del holes[::2]
    return small, buffers, holes

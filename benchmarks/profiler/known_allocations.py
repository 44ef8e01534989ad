"""Allocations whose number and sizes are known beforehand, held against what the profiler says about them."""

from __future__ import annotations

import ctypes
import mmap
import sys

_COUNT = 50_000
_COPIES = 2_000
_MAPPINGS = 50


def compare(request: dict[str, object]) -> dict[str, object]:
    """``checks``: rows of what, expected, reported; of bytes objects, malloc, mappings and sums over sites."""
    from flyweight import memory

    pattern = b"x"
    # Below and above 512 bytes, where CPython's own heap ends and malloc begins.
    sizes = [2 + number * 7919 % 3000 for number in range(_COUNT)]
    texts = [b"x" * (number * 7919 % 100_000) for number in range(_COPIES)]
    mapping_sizes = [4096 * (1 + number % 9) for number in range(_MAPPINGS)]
    held: list[object] = [None] * _COUNT
    copies: list[object] = [None] * _COPIES
    copies_without_gil: list[object] = [None] * _COPIES
    mappings: list[object] = [None] * _MAPPINGS
    mapping = mmap.mmap
    # strdup allocates a byte more than the text has; a PyDLL keeps the GIL, a CDLL lets it go.
    copy, copy_without_gil = ctypes.PyDLL(None).strdup, ctypes.CDLL(None).strdup
    copy.restype = copy_without_gil.restype = ctypes.c_void_p

    # Room in CPython's heap: the first arena in 16 GiB of addresses costs 128 KiB of its map (Objects/obmalloc.c,
    # arena_map_get), asked for on whichever line runs. One block keeps an arena.
    room = [bytes(450) for _ in range(30_000)]
    room = room[::1000]

    memory.start(mode="exact", native=True)
    for place, size in enumerate(sizes):
        held[place] = pattern * size
    for place, text in enumerate(texts):
        copies[place] = copy(text)
    for place, text in enumerate(texts):
        copies_without_gil[place] = copy_without_gil(text)
    for place, size in enumerate(mapping_sizes):
        mappings[place] = mapping(-1, size)
    for place in range(0, _COUNT, 2):
        held[place] = None
    memory.stop()
    room.clear()

    report = memory.report()
    found = memory.hot_paths(10**9, by="bytes", own=True)
    lines = compare.__code__.co_firstlineno
    source = _lines_of(compare)

    def site(text: str, domain: str) -> memory.Site:
        (line,) = (lines + place for place, written in enumerate(source) if written.strip() == text)
        for one in found:
            if one.line == line and one.file == compare.__code__.co_filename and one.domain == domain:
                return one
        raise LookupError(f"nothing was recorded in {domain} at line {line}, {text!r}")

    sizes_of_objects = [sys.getsizeof(pattern * size) for size in sizes]
    objects = site("held[place] = pattern * size", "python")
    copied = site("copies[place] = copy(text)", "native")
    copied_without_gil = site("copies_without_gil[place] = copy_without_gil(text)", "native")
    text_bytes = sum(len(text) + 1 for text in texts)
    mapped = site("mappings[place] = mapping(-1, size)", "mapped")
    checks = [
        ("bytes objects: allocations", _COUNT, objects.total_count),
        ("bytes objects: bytes", sum(sizes_of_objects), objects.total_bytes),
        ("bytes objects: largest", max(sizes_of_objects), objects.largest_bytes),
        ("bytes objects: peak bytes", sum(sizes_of_objects), objects.peak_bytes),
        ("bytes objects: live blocks, every other one freed", _COUNT // 2, objects.live_count),
        ("bytes objects: live bytes, every other one freed", sum(sizes_of_objects[1::2]), objects.live_bytes),
        ("malloc: allocations", _COPIES, copied.total_count),
        ("malloc: live bytes", text_bytes, copied.live_bytes),
        ("malloc without the GIL: allocations", _COPIES, copied_without_gil.total_count),
        ("malloc without the GIL: live bytes", text_bytes, copied_without_gil.live_bytes),
        ("malloc without the GIL: peak bytes", text_bytes, copied_without_gil.peak_bytes),
        ("mappings: allocations", _MAPPINGS, mapped.total_count),
        ("mappings: live bytes", sum(mapping_sizes), mapped.live_bytes),
        ("all sites: live bytes", report.current_bytes, sum(one.live_bytes for one in found)),
        ("all sites: live blocks", report.live_count, sum(one.live_count for one in found)),
        ("all sites: allocations", report.allocation_count, sum(one.total_count for one in found)),
        ("all sites: bytes", report.allocated_bytes, sum(one.total_bytes for one in found)),
    ]
    return {"checks": checks}


def _lines_of(function: object) -> list[str]:
    import inspect

    return inspect.getsource(function).splitlines()  # type: ignore[arg-type]

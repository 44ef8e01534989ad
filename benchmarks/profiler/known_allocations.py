"""Allocations whose number and sizes are known beforehand, held against what the profiler says about them."""

from __future__ import annotations

import mmap
import sys

_COUNT = 50_000
_ARRAYS = 2_000
_MAPPINGS = 50


def compare(request: dict[str, object]) -> dict[str, object]:
    """``checks``: rows of what, expected, reported; of bytes objects, numpy buffers, mappings and sums over sites."""
    import numpy

    from flyweight import memory

    pattern = b"x"
    # Below and above 512 bytes, where CPython's own heap ends and malloc begins.
    sizes = [2 + number * 7919 % 3000 for number in range(_COUNT)]
    array_sizes = [2000 + number * 7919 % 100_000 for number in range(_ARRAYS)]
    mapping_sizes = [4096 * (1 + number % 9) for number in range(_MAPPINGS)]
    held: list[object] = [None] * _COUNT
    arrays: list[object] = [None] * _ARRAYS
    mappings: list[object] = [None] * _MAPPINGS
    empty, byte, mapping = numpy.empty, numpy.uint8, mmap.mmap

    memory.start(mode="exact", native=True)
    for place, size in enumerate(sizes):
        held[place] = pattern * size
    for place, size in enumerate(array_sizes):
        arrays[place] = empty(size, byte)
    for place, size in enumerate(mapping_sizes):
        mappings[place] = mapping(-1, size)
    for place in range(0, _COUNT, 2):
        held[place] = None
    memory.stop()

    report = memory.report()
    found = memory.hot_paths(10**9, by="bytes")
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
    buffers = site("arrays[place] = empty(size, byte)", "native")
    mapped = site("mappings[place] = mapping(-1, size)", "mapped")
    checks = [
        ("bytes objects: allocations", _COUNT, objects.total_count),
        ("bytes objects: bytes", sum(sizes_of_objects), objects.total_bytes),
        ("bytes objects: largest", max(sizes_of_objects), objects.largest_bytes),
        ("bytes objects: peak bytes", sum(sizes_of_objects), objects.peak_bytes),
        ("bytes objects: live blocks, every other one freed", _COUNT // 2, objects.live_count),
        ("bytes objects: live bytes, every other one freed", sum(sizes_of_objects[1::2]), objects.live_bytes),
        ("numpy buffers: allocations", _ARRAYS, buffers.total_count),
        ("numpy buffers: live bytes", sum(array_sizes), buffers.live_bytes),
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

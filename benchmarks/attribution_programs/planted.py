"""Known amounts, planted by a package in Python's heap and by a library with malloc and mmap; places: the library.

``PLANTED`` says how much of what, for the benchmark to hold against the rows: kind of row, package, bytes.
"""

from __future__ import annotations

import ctypes
import sys
import types

_COUNT = 40_000
_LARGE_COUNT = 200
PLANTED: dict[str, dict[str, object]] = {}

_PACKAGE = """
def small(count):
    return [b"x" * (24 + number % 400) for number in range(count)]


def large(count):
    return [b"x" * (20_000 + number * 100) for number in range(count)]
"""


def run(places: list[str]) -> object:
    package = types.ModuleType("planted_package")
    path = "/planted/site-packages/planted_package/__init__.py"
    exec(compile(_PACKAGE, path, "exec"), package.__dict__)
    small, large = package.small(_COUNT), package.large(_LARGE_COUNT)
    # The lists themselves are the package's too.
    held = sum(map(sys.getsizeof, (*small, *large, small, large)))
    PLANTED["Python objects"] = {"kind": "python heap", "package": "planted_package", "bytes": held}
    library = ctypes.CDLL(places[0])
    library.plant.restype = ctypes.c_size_t
    library.plant_mapping.restype = ctypes.c_size_t
    PLANTED["malloc by a library"] = {
        "kind": "native heap",
        "package": "planted_library",
        "bytes": library.plant(ctypes.c_size_t(_COUNT)),
    }
    PLANTED["mmap by a library"] = {
        "kind": "mapped memory",
        "package": "planted_library",
        "bytes": library.plant_mapping(ctypes.c_size_t(32)),
    }
    return small, large, library

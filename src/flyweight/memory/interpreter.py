"""Which interpreters can be tracked: the hooks read frames and code objects, laid out differently in each version."""

from __future__ import annotations

import sys

FIRST_VERSION = (3, 11)
LAST_VERSION = (3, 13)


def refusal(
    platform: str = sys.platform,
    implementation: str = sys.implementation.name,
    version: tuple[int, int] = sys.version_info[:2],
    abiflags: str = getattr(sys, "abiflags", ""),
    maxsize: int = sys.maxsize,
) -> str | None:
    """Why allocations cannot be tracked here, or None when they can.

    >>> refusal(platform="linux", implementation="cpython", version=(3, 13), abiflags="t")
    "memory tracking needs the GIL, and this is a free-threaded build of Python 3.13: use the build without the 't'"
    """
    name = f"{version[0]}.{version[1]}"
    if platform != "linux":
        return f"memory tracking needs Linux, and this is {platform}: run the program in a Linux container"
    if implementation != "cpython":
        return f"memory tracking needs CPython, and this is {implementation}: run the program with CPython"
    if maxsize < 2**32:
        return "memory tracking needs a 64-bit interpreter, and this one has 32 bits"
    if "t" in abiflags:
        return (
            f"memory tracking needs the GIL, and this is a free-threaded build of Python {name}: "
            "use the build without the 't'"
        )
    if not FIRST_VERSION <= version <= LAST_VERSION:
        known = f"{FIRST_VERSION[0]}.{FIRST_VERSION[1]} to {LAST_VERSION[0]}.{LAST_VERSION[1]}"
        return f"memory tracking knows Python {known}, and this is {name}: use one of those"
    return None

"""Native code of others: libraries that come and go, exceptions of C++, memory that crosses their borders."""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import sys

import books


def loaded_and_unloaded() -> None:
    names = [
        name for name in ("libz.so.1", "libbz2.so.1.0", "liblzma.so.5", "libexpat.so.1", "libsqlite3.so.0") if has(name)
    ]
    libdl = ctypes.CDLL(None)
    libdl.dlopen.restype = ctypes.c_void_p
    libdl.dlclose.argtypes = [ctypes.c_void_p]
    for _ in range(200):
        handles = [libdl.dlopen(name.encode(), 2) for name in names]
        for handle in handles:
            libdl.dlclose(handle)
    books.check_records()


def has(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def extension_modules() -> None:
    for name in [
        "zlib",
        "bz2",
        "lzma",
        "sqlite3",
        "json",
        "decimal",
        "ssl",
        "hashlib",
        "pyexpat",
        "unicodedata",
        "array",
        "mmap",
        "_elementtree",
    ]:
        try:
            __import__(name)
        except ImportError:
            pass
    gc.collect()
    books.check_records()


def crossing_borders() -> None:
    """Allocated through one way, freed through another."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = libc.calloc.restype = libc.realloc.restype = libc.strdup.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.calloc.argtypes = [ctypes.c_size_t], [ctypes.c_size_t, ctypes.c_size_t]
    libc.realloc.argtypes, libc.free.argtypes = [ctypes.c_void_p, ctypes.c_size_t], [ctypes.c_void_p]
    libc.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    for size in (0, 1, 15, 16, 17, 24, 32, 1000, 65535, 65536, 10**6, 10**8):
        block = libc.malloc(size)
        if size:
            libc.memcpy(block, b"x" * min(size, 1000), min(size, 1000))
        block = libc.realloc(block, size + 1)
        libc.free(block)
        block = libc.calloc(size, 1)
        libc.free(block)
        libc.free(None)
    copies = [libc.strdup(b"y" * n) for n in range(100)]
    for copy in copies:
        libc.free(copy)
    lines = [ctypes.c_void_p() for _ in range(10)]
    for number, line in enumerate(lines):
        libc.asprintf(ctypes.byref(line), b"%d%s", number, b"z" * 100)
        libc.free(line)
    books.check_records()


def mappings() -> None:
    import mmap

    for _ in range(100):
        made = [mmap.mmap(-1, 4096 * n) for n in range(1, 20)]
        for number, one in enumerate(made):
            one.resize(4096 * (number + 3))
            one[:5] = b"12345"
        for one in made[::2]:
            one.close()
        del made, one
    gc.collect()


def compression() -> None:
    import bz2
    import lzma
    import zlib

    for data in (b"", b"x" * 100, bytes(range(256)) * 1000):
        for tool in (zlib, bz2, lzma):
            assert tool.decompress(tool.compress(data)) == data
        broken = zlib.compress(data)[:-3]
        try:
            zlib.decompress(broken)
        except zlib.error:
            pass
    books.check_records()


def database() -> None:
    import sqlite3

    for _ in range(5):
        connection = sqlite3.connect(":memory:")
        connection.create_function("twice", 1, lambda text: text * 2)
        connection.create_aggregate("collect", 1, Collect)
        connection.execute("create table t (a text, b blob)")
        connection.executemany("insert into t values (?, ?)", [("y" * n, bytes(n)) for n in range(1000)])
        assert connection.execute("select length(collect(twice(a))) from t").fetchone() == (999000,)
        connection.close()
    books.check_records()


class Collect:
    def __init__(self) -> None:
        self.parts: list[str] = []

    def step(self, part: str) -> None:
        self.parts.append(part)

    def finalize(self) -> str:
        return "".join(self.parts)


def arrays() -> None:
    """numpy's own memory handlers, C++ exceptions in its linear algebra, views that outlive their makers."""
    try:
        import numpy
    except ImportError:
        return
    for size in (0, 1, 10, 1000, 10**6):
        a = numpy.arange(size, dtype=float)
        views = [a[n:] for n in range(0, size, max(1, size // 10))]
        total = (a * 2 + a[::-1]).sum()
        assert total == a.sum() * 3
        del a
        del views
    for bad in (lambda: numpy.linalg.inv(numpy.zeros((3, 3))), lambda: numpy.empty(2**60), lambda: numpy.fft.fft([])):
        try:
            bad()
        except (ValueError, MemoryError, numpy.linalg.LinAlgError):
            pass
    strings = numpy.array([str(n) * (n % 50) for n in range(1000)], dtype=object)
    assert (strings + strings)[10] == "10" * 20
    assert sorted(numpy.random.default_rng(1).permutation(1000).tolist()) == list(range(1000))
    gc.collect()
    books.check_records()


def documents() -> None:
    try:
        from lxml import etree
    except ImportError:
        from xml.etree import ElementTree as etree
    for _ in range(50):
        root = etree.fromstring("<a>" + "".join(f"<b n='{n}'>text {n}</b>" for n in range(200)) + "</a>")
        kept = [child for child in root if int(child.get("n")) % 3 == 0]
        del root
        assert sum(int(child.get("n")) for child in kept) == sum(range(0, 200, 3))
        try:
            etree.fromstring("<a><b></a>")
        except SyntaxError:
            pass
    del kept
    gc.collect()
    books.check_records()


def tables() -> None:
    try:
        import pandas
    except ImportError:
        return
    frame = pandas.DataFrame({"a": range(1000), "b": [str(n) for n in range(1000)]})
    for _ in range(5):
        grouped = frame.assign(c=frame.a % 7).groupby("c").agg({"a": "sum", "b": "max"})
        assert grouped.a.sum() == 499500
        assert len(frame.merge(frame, on="b")) == 1000


if __name__ == "__main__":
    books.begin()
    globals()[sys.argv[2]]()
    books.end()
    print("survived")

"""CPython's own tests end under `flyweight run`, exact mode with the native heap, as they end without.

The long form, with more of them and with the suites of packages from PyPI, is tests/soak/real_programs.py.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.soak.real_programs import compare_cpython_tests

MODULES = "array call code contextlib coroutines ctypes dict frame generators list memoryview mmap sqlite3 zlib"


@pytest.mark.skipif(importlib.util.find_spec("test.support") is None, reason="this Python came without its tests")
def test_pythons_own_tests_end_as_without_the_profiler(tmp_path: Path) -> None:
    differences, count = compare_cpython_tests(MODULES.split(), tmp_path)
    assert differences == {}
    assert count > 1000

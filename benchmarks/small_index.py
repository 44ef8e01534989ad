"""An index of a few hundred real chunks, for what does not depend on size: the cache and drift."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.corpus import fill
from benchmarks.resident_process import Resident
from benchmarks.settings import Settings

_SIZE_BYTES = 500_000


def open_small_index(settings: Settings) -> Path:
    """The path of a freshly built index of about half a megabyte of code."""
    folder = settings.folder("small")
    fill(folder / "tree", _SIZE_BYTES, settings.code_roots())
    index_path = folder / "index"
    shutil.rmtree(index_path, ignore_errors=True)
    with Resident(index_path) as builder:
        builder.index(folder / "tree")
    return index_path

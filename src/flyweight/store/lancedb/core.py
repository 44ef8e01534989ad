"""LanceDB's compiled core without the Python around it.

`import lancedb` brings pyarrow, numpy, pydantic, an HTTP client for its cloud and half a second: 120 MB, of which a
search needs the core alone, 16 MB and what it pages in. So the package's `__init__` is not run, and where the core asks
pyarrow to take over a stream it finds `arrow_stream`. This is for processes that are LanceDB's alone; elsewhere the
package is imported as it is.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from flyweight.errors import StoreError

# The core is no public interface: these minor versions of 0.x are what the tests of stores have passed with, for
# reading and for writing. The extras of pyproject.toml say the same.
OLDEST_MINOR, NEWEST_MINOR = 39, 40
# LanceDB's own bounds are 6 GB and 1 GB: what a search needs again lies in the page cache, or is a request away.
_INDEX_CACHE_BYTES = 32 * 1024 * 1024
_METADATA_CACHE_BYTES = 16 * 1024 * 1024


def lean_core() -> Any:
    """`lancedb._lancedb` by itself; nothing else in this process may want the lancedb package or pyarrow.

    Raises StoreError when it is not installed, or in a version that is not known to work.
    """
    from flyweight.store.lancedb import arrow_stream

    _leave_out_package()
    arrow = types.ModuleType("pyarrow")
    arrow.RecordBatchReader = arrow_stream.RecordBatchReader  # type: ignore[attr-defined]
    arrow.Schema = arrow_stream.Schema  # type: ignore[attr-defined]
    sys.modules["pyarrow"] = arrow
    return _checked_core()


def writing_core() -> Any:
    """The same for a process that has the real pyarrow, and maybe the package already. Raises StoreError."""
    if "lancedb" not in sys.modules:
        _leave_out_package()
    return _checked_core()


def shared_core() -> Any:
    """The same core for a process that may use LanceDB itself. Raises StoreError."""
    try:
        import lancedb  # noqa: F401
    except ImportError as error:
        raise _not_installed(error) from None
    return _checked_core()


def frugal_session(core: Any) -> Any:
    """A session of LanceDB that caches little."""
    return core.Session(index_cache_size_bytes=_INDEX_CACHE_BYTES, metadata_cache_size_bytes=_METADATA_CACHE_BYTES)


def check_version(version: str) -> None:
    """Raises StoreError for a version of LanceDB that is not known to work."""
    numbers = version.split(".")
    minor = int(numbers[1]) if len(numbers) > 1 and numbers[1].isdecimal() else -1
    if numbers[0] == "0" and OLDEST_MINOR <= minor <= NEWEST_MINOR:
        return
    known = f"0.{OLDEST_MINOR}" if OLDEST_MINOR == NEWEST_MINOR else f"0.{OLDEST_MINOR} to 0.{NEWEST_MINOR}"
    raise StoreError(
        f"LanceDB {version or 'of an unknown version'} is installed, this build works with {known}: "
        "pip install 'flyweight[lancedb]'"
    )


def _leave_out_package() -> None:
    from importlib.util import find_spec

    found = find_spec("lancedb")
    if found is None or found.submodule_search_locations is None:
        raise _not_installed(ModuleNotFoundError("No module named 'lancedb'"))
    package = types.ModuleType("lancedb")
    package.__path__ = list(found.submodule_search_locations)
    package.__spec__ = found
    sys.modules["lancedb"] = package


def _checked_core() -> Any:
    try:
        import lancedb._lancedb as core
    except ImportError as error:
        raise _not_installed(error) from None
    # What importlib.metadata would say, which costs 3 MB and 40 ms.
    check_version(getattr(core, "__version__", ""))
    return core


def _not_installed(error: ImportError) -> StoreError:
    return StoreError(
        f"a LanceDB store needs LanceDB, which cannot be imported ({error}): pip install 'flyweight[lancedb]'"
    )

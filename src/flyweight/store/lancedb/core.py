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

from flyweight.store.lancedb.table import not_installed


def lean_core() -> Any:
    """`lancedb._lancedb` by itself; nothing else in this process may want the lancedb package or pyarrow.

    Raises StoreError when it is not installed.
    """
    from importlib.util import find_spec

    from flyweight.store.lancedb import arrow_stream

    found = find_spec("lancedb")
    if found is None or found.submodule_search_locations is None:
        raise not_installed(ModuleNotFoundError("No module named 'lancedb'"))
    package = types.ModuleType("lancedb")
    package.__path__ = list(found.submodule_search_locations)
    package.__spec__ = found
    sys.modules["lancedb"] = package
    arrow = types.ModuleType("pyarrow")
    arrow.RecordBatchReader = arrow_stream.RecordBatchReader  # type: ignore[attr-defined]
    arrow.Schema = arrow_stream.Schema  # type: ignore[attr-defined]
    sys.modules["pyarrow"] = arrow
    return _imported()


def shared_core() -> Any:
    """The same core for a process that may use LanceDB itself. Raises StoreError when it is not installed."""
    try:
        import lancedb  # noqa: F401
    except ImportError as error:
        raise not_installed(error) from None
    return _imported()


def _imported() -> Any:
    try:
        import lancedb._lancedb as core
    except ImportError as error:
        raise not_installed(error) from None
    return core

"""The pointer file in an index directory: the index is in another store, and which."""

from __future__ import annotations

import os
import time

from flyweight.errors import IndexCorruptError, IndexWriteError
from flyweight.index.manifest import manifest_path
from flyweight.index.reader import pointer_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_MAGIC = "flyweight-store 1"


def write_pointer(index_path: str, spec: str, options: Mapping[str, object]) -> None:
    """Says that the index is in the store `spec`. Secrets among the options are left out. Raises IndexWriteError."""
    from flyweight.store.lancedb.location import StoreLocation

    location = StoreLocation.parse(spec, options)
    lines = [_MAGIC, location.spec, *(f"{key}={value}" for key, value in sorted(location.public_options().items()))]
    path = pointer_path(index_path)
    temporary = f"{path}.{os.getpid()}.new"
    try:
        with open(temporary, "wb") as file:
            file.write(b"".join(os.fsencode(_quoted(line)) + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _rouse_readers(index_path)
    except OSError as error:
        raise IndexWriteError(f"cannot write {path}: {error.strerror}") from None


def read_pointer(index_path: str) -> tuple[str, dict[str, str]] | None:
    """The store and its options; None when the index is in its directory. Raises IndexCorruptError."""
    path = pointer_path(index_path)
    try:
        with open(path, "rb") as file:
            lines = os.fsdecode(file.read()).split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise IndexCorruptError(f"cannot read {path}: {error.strerror}") from None
    if lines[0] != _MAGIC or len(lines) < 3 or lines[-1]:
        raise IndexCorruptError(f"{path} does not name a store: remove it, or run 'flyweight index' with --store again")
    options = {}
    for line in lines[2:-1]:
        key, _, value = _plain(line).partition("=")
        options[key] = value
    return _plain(lines[1]), options


def remove_pointer(index_path: str) -> None:
    """Says that the index is in its directory. Nothing happens when that was so."""
    path = pointer_path(index_path)
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise IndexWriteError(f"cannot remove {path}: {error.strerror}") from None


def _rouse_readers(index_path: str) -> None:
    """Who has segments open looks at nothing but their manifest: with a new time of that it looks for a pointer too."""
    manifest = manifest_path(index_path)
    try:
        status = os.stat(manifest)
        os.utime(manifest, ns=(status.st_atime_ns, max(time.time_ns(), status.st_mtime_ns + 1)))
    except FileNotFoundError:
        pass


def _quoted(line: str) -> str:
    return line.replace("%", "%25").replace("\n", "%0a")


def _plain(line: str) -> str:
    return line.replace("%0a", "\n").replace("%25", "%")

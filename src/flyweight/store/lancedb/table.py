"""The table of an index: its columns and what its schema's metadata say.

One row per chunk, and one per file, of ordinal -1, that says what was indexed and when. Chunk rows have terms and a
vector, file rows have neither, so that no search ever meets one.
"""

from __future__ import annotations

import hashlib
import os

from flyweight.errors import IndexMissingError, IndexVersionError, StoreError, StoreUnreachableError
from flyweight.store.lancedb.object_storage import fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from flyweight.store.lancedb.location import StoreLocation

FORMAT = 1
STEMMER = "flyweight-1"  # how _build.chunk_terms splits and stems: a table of another is queried with the wrong terms
FILE_ORDINAL = -1
CHUNKS_ONLY = "ordinal >= 0"

# Name and Arrow type, as pyarrow and the Arrow specification spell it.
COLUMNS = (
    ("id", "string"),  # row_id()
    ("path", "string"),  # as stored_path() makes it
    ("raw_path", "binary"),  # null where `path` says it all
    ("file_hash", "binary"),
    ("language", "string"),
    ("kind", "string"),
    ("ordinal", "int32"),
    ("start_line", "int32"),
    ("end_line", "int32"),
    ("start_byte", "int32"),
    ("end_byte", "int32"),
    ("symbol", "string"),
    ("scope", "string"),
    ("defined", "list<item: string>"),
    ("terms", "string"),  # _build.chunk_terms; null in file rows
    ("text", "binary"),  # of a file row: what lies between its chunks, so that the file can be had back
    ("vector", "fixed_size_list"),  # of float32, of length one or zero; null in file rows
    ("size_bytes", "int64"),
    ("mtime_ns", "int64"),
    ("skipped", "string"),  # the reason, of a file that was not indexed
    ("chunk_count", "int32"),
)

_PREFIX = "flyweight."
_DAMAGE = ("Not found: ", "file size is too small", "fill whole buffer", "magic number", "orrupt")


class TableInfo:
    """What a table says of itself: `embedder`, `dimensions` and `root` of the tree that was indexed."""

    __slots__ = ("dimensions", "embedder", "root")

    def __init__(self, embedder: str, dimensions: int, root: str) -> None:
        self.embedder = embedder
        self.dimensions = dimensions
        self.root = root

    def metadata(self) -> dict[str, str]:
        return {
            _PREFIX + "format": str(FORMAT),
            _PREFIX + "stemmer": STEMMER,
            _PREFIX + "embedder": self.embedder,
            _PREFIX + "dimensions": str(self.dimensions),
            # A path need not be UTF-8; schema metadata must.
            _PREFIX + "root": os.fsencode(self.root).decode("utf-8", "backslashreplace"),
        }


def arrow_schema(info: TableInfo) -> Any:
    """The pyarrow.Schema of a new table."""
    import pyarrow as pa

    types = {
        "string": pa.utf8(),
        "binary": pa.binary(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "list<item: string>": pa.list_(pa.utf8()),
        "fixed_size_list": pa.list_(pa.float32(), info.dimensions),
    }
    return pa.schema([pa.field(name, types[kind]) for name, kind in COLUMNS], metadata=info.metadata())


def check_schema(location: StoreLocation, schema: Any) -> TableInfo:
    """What the schema (pyarrow's, or anything with `metadata` and fields of a name and a type) says of its table.

    Raises StoreError for a table that is not ours, IndexVersionError for one of another format.
    """
    said = _metadata(schema.metadata or {})
    where = f"the table {location.table!r} at {location.uri}"
    if "format" not in said:
        raise StoreError(
            f"{where} is not a Flyweight index: choose another location, or another name by the store option table=…"
        )
    if said["format"] != str(FORMAT) or said.get("stemmer") != STEMMER:
        written = said["format"] if said["format"] != str(FORMAT) else f"{FORMAT} ({said.get('stemmer')})"
        raise IndexVersionError(
            f"{where} was written in format {written}, this build reads {FORMAT} ({STEMMER}): "
            "run 'flyweight index --rebuild', or install the version that wrote it"
        )
    missing = [name for name, kind in COLUMNS if _type_of(schema, name) != kind]
    if missing or not said.get("dimensions", "").isdecimal() or "embedder" not in said:
        lacks = f"lacks {', '.join(missing)}, or has them in another type" if missing else "does not name its embedder"
        raise StoreError(f"{where} {lacks}: it was altered; run 'flyweight index --rebuild'")
    return TableInfo(said["embedder"], int(said["dimensions"]), said.get("root", ""))


def is_index(schema: Any) -> bool:
    """Whether the schema is one of ours, whatever its format and state."""
    return "format" in _metadata(schema.metadata or {})


def missing_table(location: StoreLocation) -> IndexMissingError:
    return IndexMissingError(
        f"there is no index at {location.uri} (table {location.table!r}): "
        f"run 'flyweight index --store {location.spec} PATH'"
    )


def row_id(path: str, ordinal: int) -> str:
    """The key of a row: of fixed length whatever the path, and the same whatever else is in the table."""
    name = hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
    return f"{name}:{ordinal}"


def stored_path(path: str) -> tuple[str, bytes | None]:
    """What the columns `path` and `raw_path` hold for a path, which need not be UTF-8."""
    raw = os.fsencode(path)
    try:
        return raw.decode(), None
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace"), raw


def path_of(path: str, raw_path: bytes | None) -> str:
    return path if raw_path is None else os.fsdecode(raw_path)


def is_missing(error: BaseException) -> bool:
    """Whether LanceDB says that there is no such table."""
    said = str(error).lower()
    if "<error>" in said:  # the storage service's own: a bucket or a key that does not exist
        return False
    return isinstance(error, FileNotFoundError) or "was not found" in said or "does not exist" in said


def unusable(location: StoreLocation, error: BaseException) -> StoreError:
    """LanceDB's errors come with the places in its source where they passed: the first sentence says what is wrong."""
    said = str(error).strip()
    short = said.partition("\n")[0].partition(", /")[0].partition(" (at /")[0][:400].rstrip(" .:,")
    if "Not a directory" in said:
        short = "it, or something above it, is not a directory"
    elif any(sign in said for sign in _DAMAGE):
        short = f"a file of the table is missing or damaged, run 'flyweight index --rebuild' ({short})"
    known = fault(location, said)
    said = known or short or type(error).__name__
    for key, value in location.options.items():
        if len(value) > 3 and any(word in key for word in ("secret", "token", "key", "password")):
            said = said.replace(value, "…")
    kind = StoreUnreachableError if known and not location.is_local else StoreError
    return kind(f"the LanceDB store at {location.uri} cannot be used: {said}")


def _metadata(metadata: Mapping[Any, Any]) -> dict[str, str]:
    texts = {
        (key.decode("utf-8", "replace") if isinstance(key, bytes) else key): (
            value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        )
        for key, value in metadata.items()
    }
    return {key[len(_PREFIX) :]: value for key, value in texts.items() if key.startswith(_PREFIX)}


def _type_of(schema: Any, name: str) -> str:
    try:
        said = str(schema.field(name).type)
    except KeyError:
        return ""
    return "fixed_size_list" if said.startswith("fixed_size_list<item: float>[") else said

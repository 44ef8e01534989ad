"""Examines an index in a LanceDB table: can it be reached, is it ours, are its search indexes up to date?"""

from __future__ import annotations

import os

from flyweight.errors import FlyweightError, IndexMissingError, IndexVersionError
from flyweight.index.checkup import NOTE, PROBLEM, REBUILD, SOUND, UPDATE, Finding
from flyweight.index.embedder_checkup import embedder_finding
from flyweight.store.lancedb.census import TableCensus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flyweight.store.lancedb.location import StoreLocation

# Rows an index lacks are searched one by one: that is slow only when there are many.
_MISSING_ROWS_NOTED = 20_000


def check_table(location: StoreLocation, embedder_options: Mapping[str, object]) -> list[Finding]:
    """Whatever is wrong is a Finding."""
    try:
        census = TableCensus(location)
    except IndexMissingError as error:
        return [Finding("table", PROBLEM, str(error).partition(": run")[0], UPDATE)]
    except IndexVersionError as error:
        return [Finding("table", PROBLEM, str(error).partition(": run")[0], REBUILD)]
    except FlyweightError as error:
        return [Finding("table", PROBLEM, str(error))]
    return list(_findings(location, census, embedder_options))


def _findings(
    location: StoreLocation, census: TableCensus, embedder_options: Mapping[str, object]
) -> Iterator[Finding]:
    holds = f"{census.files:,} files, {census.chunks:,} chunks"
    yield Finding("table", SOUND, f"{location.spec}, table {location.table}: version {census.version}, {holds}")
    yield embedder_finding(census.embedder, census.dimensions, embedder_options)
    columns = {index.column for index in census.indexes}
    for index in census.indexes:
        message = f"{index.kind} on {index.column}, {index.missing_rows:,} rows not in it yet"
        late = index.missing_rows > _MISSING_ROWS_NOTED
        yield Finding("index", NOTE if late else SOUND, message, UPDATE if late else "")
    if "terms" not in columns:
        yield Finding("index", PROBLEM, "the full-text index on terms is missing: words find nothing", REBUILD)
    if os.path.isdir(census.root):
        yield Finding("tree", SOUND, f"{census.root} is there")
    else:
        yield Finding("tree", NOTE, f"{census.root}, which was indexed, is not on this machine")

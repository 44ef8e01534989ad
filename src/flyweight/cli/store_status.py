"""`flyweight status` of an index in a LanceDB table."""

from __future__ import annotations

import os

import click

from flyweight.cli.printable import printable_path
from flyweight.cli.quantity import count_text, size_text, tally
from flyweight.store.lancedb.census import TableCensus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.store.lancedb.location import StoreLocation


def show_table(location: StoreLocation, *, as_json: bool) -> None:
    """Raises what TableCensus raises."""
    census = TableCensus(location)
    if as_json:
        import json

        click.echo(json.dumps(_record(location, census), indent=2))
    else:
        click.echo(_report(location, census))


def _record(location: StoreLocation, census: TableCensus) -> dict[str, object]:
    return {
        "store": location.spec,
        "table": location.table,
        "root": census.root,
        "files": census.files,
        "chunks": census.chunks,
        "source_bytes": census.source_bytes,
        "languages": dict(sorted(census.languages.items(), key=lambda item: (-item[1], item[0]))),
        "skipped": census.skipped,
        "size_bytes": census.size_bytes,
        "embedder": census.embedder,
        "dimensions": census.dimensions,
        "version": census.version,
        "indexes": [
            {"column": index.column, "kind": index.kind, "missing_rows": index.missing_rows} for index in census.indexes
        ],
    }


def _report(location: StoreLocation, census: TableCensus) -> str:
    root = printable_path(census.root)
    size = "" if census.size_bytes is None else f", {size_text(census.size_bytes)}"
    indexes = [
        f"{index.kind} on {index.column}" + (f" ({index.missing_rows:,} rows to come)" if index.missing_rows else "")
        for index in census.indexes
    ]
    rows = [
        ("tree", root if os.path.isdir(census.root) else f"{root} (which is not on this machine)"),
        ("store", f"{printable_path(location.spec)}, table {location.table}{size}"),
        (
            "holds",
            f"{count_text(census.files, 'file')} ({size_text(census.source_bytes)}), "
            f"{count_text(census.chunks, 'chunk')}",
        ),
        ("languages", tally(census.languages) or "none"),
        ("skipped", tally(census.skipped)),
        ("embedder", f"{census.embedder}, {census.dimensions} dimensions"),
        ("indexes", ", ".join(indexes) or "none: every row is looked at"),
        ("written", f"version {census.version}"),
    ]
    return "\n".join(f"{click.style(f'{name:<10}', bold=True)} {value}" for name, value in rows if value)

"""Writes the tables of `made_table`, as marshalled on standard input: (uri, dimensions, [(name, files, metadata)]).

Any number of messages, each answered by True, until standard input ends.
"""

from __future__ import annotations

import marshal
import os
import sys
from typing import Any

import lancedb
import pyarrow as pa
from lancedb.index import FTS

from flyweight import _build
from flyweight.embed.static import StaticEmbedder
from flyweight.store.lancedb.table import COLUMNS, TableInfo, arrow_schema, row_id, stored_path


def file_rows(embedder: StaticEmbedder, raw: bytes, language: str, chunks: list[tuple[bytes, str, str]]) -> Any:
    path = os.fsdecode(raw)
    stored, raw_path = stored_path(path)
    common = {"path": stored, "raw_path": raw_path, "file_hash": bytes(16), "language": language}
    yield {**common, "id": row_id(path, -1), "ordinal": -1, "size_bytes": 1, "mtime_ns": 1, "chunk_count": len(chunks)}
    line = 1
    for ordinal, (text, symbol, scope) in enumerate(chunks):
        lines = text.count(b"\n") + 1
        yield {
            **common,
            "id": row_id(path, ordinal),
            "ordinal": ordinal,
            "kind": "function" if symbol else "",
            "symbol": symbol,
            "scope": scope,
            "defined": [symbol] if symbol else [],
            "start_line": line,
            "end_line": line + lines - 1,
            "start_byte": 0,
            "end_byte": len(text),
            "terms": _build.chunk_terms(path, text, symbol, scope, symbol),
            "text": text,
            "vector": memoryview(embedder.embed([text])).cast("f").tolist(),
        }
        line += lines


def main() -> None:
    while True:
        try:
            message = marshal.load(sys.stdin.buffer)
        except EOFError:
            return
        write(*message)
        sys.stdout.buffer.write(marshal.dumps(True))
        sys.stdout.buffer.flush()


def write(uri: str, dimensions: int, tables: Any) -> None:
    embedder = StaticEmbedder(dimensions)
    connection = lancedb.connect(uri)
    present = connection.list_tables().tables
    for name, files, metadata in tables:
        schema = arrow_schema(TableInfo(embedder.name, dimensions, "/code"))
        schema = schema.with_metadata(None if metadata is None else {**schema.metadata, **metadata})
        columns = [column for column, _ in COLUMNS]
        rows = [{column: row.get(column) for column in columns} for file in files for row in file_rows(embedder, *file)]
        fresh = name not in present
        table = connection.create_table(name, schema=schema) if fresh else connection.open_table(name)
        table.add(pa.Table.from_pylist(rows, schema), on_bad_vectors="null")
        if fresh:
            words = FTS(
                base_tokenizer="whitespace",
                stem=False,
                remove_stop_words=False,
                ascii_folding=False,
                lower_case=False,
                with_position=False,
                max_token_length=None,
            )
            table.create_index("terms", config=words)


if __name__ == "__main__":
    main()
    os._exit(0)  # LanceDB's threads may outlive the interpreter they call back into

"""Looks at LanceDB tables with LanceDB itself, on behalf of tests that must not load it. See table_peek.py."""

from __future__ import annotations

import marshal
import sys
import threading

import lancedb

_COLUMNS = ["path", "raw_path", "ordinal", "chunk_count", "text", "id", "file_hash", "start_byte", "vector", "skipped"]


def rows_of(table):
    for row in table.search().select(_COLUMNS).with_row_id(True).to_arrow().to_pylist():
        row.pop("_score", None)
        row["vector"] = None if row["vector"] is None else list(row["vector"])
        yield row


def describe(table):
    return {
        "version": table.version,
        "fragments": table.stats()["fragment_stats"]["num_fragments"],
        "versions": len(table.list_versions()),
        "indexes": {index.name: index.num_unindexed_rows for index in table.list_indices()},
        "metadata": {key.decode(): value.decode() for key, value in table.schema.metadata.items()},
        "rows": list(rows_of(table)),
    }


class Watcher:
    """Threads that read the newest version again and again, and count the states that are not whole."""

    def __init__(self, uri, options):
        self.states = set()
        self.broken = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(uri, options)) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def _watch(self, uri, options):
        table = lancedb.connect(uri, storage_options=options).open_table("flyweight")
        while not self._stop.wait(0.02):
            table.checkout_latest()
            state = fault_of(list(rows_of(table)))
            self.states.add(table.version)
            if state:
                self.broken.append((table.version, state))

    def end(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return {"states": len(self.states), "broken": self.broken}


def fault_of(rows):
    ids = [row["id"] for row in rows]
    if len(ids) != len(set(ids)):
        return "an id is there twice"
    files = {}
    for row in rows:
        if row["ordinal"] >= -1:
            files.setdefault((row["path"], row["raw_path"]), {})[row["ordinal"]] = row
    for path, pieces in files.items():
        file = pieces.pop(-1, None)
        if file is None or sorted(pieces) != list(range(file["chunk_count"])):
            return f"{path} is not whole: {sorted(pieces)}"
        if any(row["file_hash"] != file["file_hash"] for row in pieces.values()):
            return f"{path} is of two versions"
    return ""


def main():
    watchers = []
    while True:
        kind, *values = marshal.load(sys.stdin.buffer)
        if kind == "describe":
            uri, options = values
            answer = describe(lancedb.connect(uri, storage_options=options).open_table("flyweight"))
        elif kind == "watch":
            watchers.append(Watcher(*values))
            answer = None
        elif kind == "unwatch":
            answer = watchers.pop().end()
        elif kind == "foreign":
            (uri,) = values
            lancedb.connect(uri).create_table("flyweight", [{"name": "not ours", "vector": [0.0, 1.0]}])
            answer = None
        else:
            break
        marshal.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

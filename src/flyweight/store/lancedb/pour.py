"""The store process of a build: `python -m flyweight.store.lancedb.pour`, started by `writer.py`.

It pours the pieces that workers leave into the table, each in one commit: readers see all of a piece's files or none.
Messages come by standard input and answers go by what was standard output, as in `index/channel.py`; the first one
holds the settings, which may be secret. It ends when its parent does.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sqlite3
import time
from typing import TYPE_CHECKING

import pyarrow as pa

from flyweight.errors import (
    FlyweightError,
    IndexMismatchError,
    IndexMissingError,
    StoreConflictError,
    StoreError,
)
from flyweight.index.channel import Channel
from flyweight.store.lancedb import upkeep
from flyweight.store.lancedb.known_files import write_known_files
from flyweight.store.lancedb.location import StoreLocation
from flyweight.store.lancedb.object_storage import ObjectStorage
from flyweight.store.lancedb.predicates import of_files
from flyweight.store.lancedb.row_batches import WRITER_ONLY, batches, writer_row
from flyweight.store.lancedb.row_spool import read_spool
from flyweight.store.lancedb.synchronous import LanceConnection
from flyweight.store.lancedb.table import CHUNKS_ONLY, TableInfo, arrow_schema, check_schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from flyweight.store.lancedb.synchronous import LanceTable

_PR_SET_PDEATHSIG = 1
_ATTEMPTS = 6
_PAUSE_S = 0.2


class TableWriter:
    """The table of one index, open for one build."""

    def __init__(self, location: StoreLocation, info: TableInfo) -> None:
        self._location = location
        self._info = info
        self._storage = ObjectStorage(location)
        self._schema = arrow_schema(info)
        self._run = f"{time.time_ns():x}-{os.getpid():x}"
        self._commits = 0
        self._connection: LanceConnection | None = None
        self._table: LanceTable | None = None

    def open(self, *, rebuild: bool) -> None:
        """Connects and looks at what is there. Raises StoreError, IndexMismatchError, IndexVersionError.

        A new table is made at once, unless it is a rebuild, which shows nothing until it is whole.
        """
        connection = self._connected()
        try:
            self._table, info = connection.open_table()
        except IndexMissingError:
            if not rebuild:
                self._table = connection.create_table(self._info, self._rows([]))
                upkeep.ensure_terms_index(self._table)
            return
        except FlyweightError:
            if not rebuild or not connection.holds_index():
                raise
            return
        if rebuild:
            return
        if info.metadata() != self._info.metadata() and not self._table.count_rows(f"NOT ({WRITER_ONLY})"):
            # An empty table, such as a failed first run leaves, binds nobody.
            self._table = connection.replace_table(self._rows([]))
        else:
            self._check(info)
        upkeep.ensure_terms_index(self._table)
        if not self._location.is_local and not self._table.count_rows(WRITER_ONLY):
            self.pour([], [])

    @property
    def generation(self) -> int:
        return 0 if self._table is None else self._table.version()

    def live_chunks(self) -> int:
        return 0 if self._table is None else self._table.count_rows(CHUNKS_ONLY)

    def known_files(self, path: str) -> None:
        """Writes what the table holds, file by file, to a database at `path`."""
        assert self._table is not None
        write_known_files(self._table, path)

    def pour(self, spools: list[str], replaced: list[str]) -> None:
        """Takes in finished pieces in one commit; older rows of the files at the paths `replaced` die in it."""
        if not replaced and self._location.is_local:
            # The lock beside the table keeps other writers out, and none of these rows is there yet.
            self._commit(lambda table: table.add(self._rows(spools)))
            return
        gone = of_files(replaced) if replaced else None
        self._commit(lambda table: table.merge(self._rows(spools), gone))

    def replace(self, spools: list[str]) -> None:
        """All that the table is, in one commit: what was there before serves readers until then."""
        self._table = self._connected().replace_table(self._rows(spools))
        upkeep.ensure_terms_index(self._table)

    def remove(self, paths: list[str]) -> None:
        """Deletes all rows of the files at `paths`, in one commit."""
        self._commit(lambda table: table.delete(of_files(paths)))

    def keep(self, begun: Callable[[], object]) -> None:
        settings = self._info.dimensions, begun
        self._commit(lambda table: upkeep.keep(table, *settings, is_local=self._location.is_local))

    def _rows(self, spools: list[str]) -> pa.RecordBatchReader:
        files = (file for spool in spools for file in read_spool(spool))
        first = None if self._location.is_local else writer_row(self._run, self._commits)
        return pa.RecordBatchReader.from_batches(self._schema, batches(files, self._schema, first=first))

    def _commit(self, change: Callable[[LanceTable], object]) -> None:
        """Makes a change to the newest version, again when another writer was faster. Raises StoreError."""
        for attempt in range(_ATTEMPTS):
            self._connected()
            assert self._table is not None
            try:
                self._table.checkout_latest()
                self._check(check_schema(self._location, self._table.schema()))
                change(self._table)
            except StoreError as error:
                if not _is_conflict(error.__cause__):
                    raise
                time.sleep(random.uniform(0, _PAUSE_S * 2**attempt))
            else:
                self._commits += 1
                return
        raise StoreConflictError(
            f"another process is writing the index at {self._location.uri} and was faster {_ATTEMPTS} times in a row: "
            "run again when it is done"
        )

    def _check(self, info: TableInfo) -> None:
        wanted, where = self._info, self._location.uri
        if info.metadata() == wanted.metadata():
            return
        if (info.embedder, info.dimensions) != (wanted.embedder, wanted.dimensions):
            raise IndexMismatchError(
                f"the index at {where} was made with {info.embedder} in {info.dimensions} dimensions, "
                f"not {wanted.embedder} in {wanted.dimensions}: keep to that, or repeat the command with --rebuild"
            )
        raise IndexMismatchError(
            f"the index at {where} is of {info.root}, not of {wanted.root}: choose another location or table, "
            "or repeat the command with --rebuild to make it anew"
        )

    def _connected(self) -> LanceConnection:
        """The connection, a new one when the credentials of the last are about to expire."""
        if self._connection is None or self._storage.expiring():
            self._connection = LanceConnection(self._location, self._storage.options())
            if self._table is not None:
                self._table, _ = self._connection.open_table()
        return self._connection


def _is_conflict(error: BaseException | None) -> bool:
    said = str(error).lower()
    return any(words in said for words in ("conflict", "incompatible transaction", "concurrent"))


class _Server:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._writer: TableWriter | None = None

    def serve(self) -> None:
        while (message := self._channel.receive()) is not None:
            try:
                self._channel.send("done", *self._answer(*message))
            except FlyweightError as error:
                self._channel.send("failed", type(error).__name__, str(error))
            except sqlite3.OperationalError as error:
                self._channel.send("failed", "IndexWriteError", f"cannot write the list of known files: {error}")
            except Exception as error:
                if os.environ.get("FLYWEIGHT_DEBUG"):
                    raise
                self._channel.send(
                    "failed",
                    "StoreError",
                    f"the store process failed: {type(error).__name__}: {error} "
                    "(this is a defect: FLYWEIGHT_DEBUG=1 shows its traceback)",
                )

    def _answer(self, kind: str, *values: Any) -> tuple[Any, ...]:
        if kind == "open":
            fields, embedder, dimensions, root, rebuild, known_path = values
            location = StoreLocation.from_fields(fields)
            self._writer = TableWriter(location, TableInfo(embedder, dimensions, root))
            self._writer.open(rebuild=rebuild)
            if not rebuild:
                self._writer.known_files(known_path)
        writer = self._writer
        assert writer is not None
        if kind == "pour":
            writer.pour(*values)
        elif kind == "replace":
            writer.replace(*values)
        elif kind == "remove":
            writer.remove(*values)
        elif kind == "keep":
            writer.keep(lambda: self._channel.send("phase", "merge"))
        elif kind == "state":
            return writer.generation, writer.live_chunks()
        return ()


def main() -> int:
    # At once with the parent: a commit that is cut off has not happened, one that goes on would meet the next writer.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides when to stop
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    try:
        _Server(Channel(0, answers)).serve()
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    os._exit(main())  # at once: LanceDB's threads may call back into an interpreter that is being taken apart

"""Every embedding that was ever paid for, on disk: so that nobody pays for it twice.

One SQLite file for each model and number of dimensions, in `$XDG_CACHE_HOME/flyweight/embeddings/` unless a directory
is given. A row is the blake2b-16 of the exact text that was sent and its vector (float32, length one) with a checksum
over both: a row that does not match counts as missing and is asked for anew. Texts are not kept. A row takes 4.6 KB at
1024 dimensions. Nothing is ever evicted; the directory may be deleted whenever no build is running, and all that is
lost is what it would cost to ask again.

Written in WAL mode with synchronous=NORMAL: a row survives the death of the process the moment `keep` returns; a power
failure may take the rows since the last checkpoint (4 MB, some 900 embeddings) and never more, nor damage the file
(https://sqlite.org/wal.html). WAL needs shared memory, so the directory must lie on this machine.

**Claims.** Before a text is sent it is claimed, in the transaction that finds it missing. A text that another living
gateway has claimed is waited for instead of asked again: two builds at once, or a resumed build beside the gateway of
the killed one, pay once. Claims of a gateway that has died are void (`claim_owners.py`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import time
import zlib

from flyweight.embed.claim_owners import ClaimOwners
from flyweight.errors import ConfigError, IndexWriteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeVar

    Result = TypeVar("Result")

KEY_BYTES = 16
_APPLICATION_ID = 0x466C7957  # "FlyW": what tells our file from another program's
_FORMAT = 1
_BUSY_MS = 30_000  # another gateway holds the write lock for milliseconds
_ROWS_AT_ONCE = 500
_CACHE_KIB = 512

_SCHEMA = f"""
BEGIN;
CREATE TABLE about (model TEXT NOT NULL, dimensions INTEGER NOT NULL);
CREATE TABLE embeddings (key BLOB NOT NULL, checksum INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE UNIQUE INDEX embeddings_by_key ON embeddings (key);
CREATE TABLE owners (number INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL);
CREATE TABLE claims (key BLOB PRIMARY KEY, owner INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


def default_directory() -> str:
    """Where embeddings are kept unless a directory is given (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "flyweight", "embeddings")


def cache_file(directory: str | None, model: str, dimensions: int) -> str:
    """The file that holds the embeddings of one model in one number of dimensions."""
    readable = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in model)[-64:].strip("-.")
    told_apart = hashlib.blake2b(model.encode(), digest_size=4).hexdigest()
    return os.path.join(directory or default_directory(), f"{readable}-{dimensions}-{told_apart}.sqlite")


def text_key(text: str) -> bytes:
    """What a text is known by: the blake2b of its UTF-8."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def count_kept(directory: str | None, model: str, dimensions: int, texts: Iterable[str]) -> int:
    """How many of the different `texts` need not be paid for: what a dry run says. Changes nothing, raises nothing:
    what cannot be read holds none."""
    path = cache_file(directory, model, dimensions)
    keys = {text_key(text) for text in texts}
    try:
        connection = sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=1.0)
    except sqlite3.Error:
        return 0
    try:
        return sum(1 for _ in _sound_rows(connection, list(keys), dimensions))
    except sqlite3.Error:
        return 0
    finally:
        connection.close()


class Found:
    """What is known of some texts. vectors: by key; claimed: to be asked by the caller; elsewhere: another living
    gateway is asking."""

    __slots__ = ("claimed", "elsewhere", "vectors")

    def __init__(self, vectors: dict[bytes, bytes], claimed: set[bytes], elsewhere: set[bytes]) -> None:
        self.vectors = vectors
        self.claimed = claimed
        self.elsewhere = elsewhere


class EmbeddingCache:
    """The embeddings of `model` in `dimensions`; for one thread. Closed, it gives up its claims.

    A file that is damaged is set aside under another name and a new one begun; `notes` says so. Raises ConfigError
    for a file that is not ours or cannot be opened, IndexWriteError for a full disk: rows that were kept stay kept.
    """

    def __init__(self, directory: str | None, model: str, dimensions: int) -> None:
        self.path = cache_file(directory, model, dimensions)
        self.notes: list[str] = []
        self._seen_version = 0
        self._model = model
        self._dimensions = dimensions
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            self._owners = ClaimOwners(f"{self.path}.lock")
        except OSError as error:
            raise ConfigError(_cannot_open(self.path, error.strerror or str(error))) from None
        try:
            self._open()
        except BaseException:
            self._owners.close()
            raise

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The vectors of those that are kept."""
        return self._guarded(lambda: dict(_sound_rows(self._connection, keys, self._dimensions)))

    def find_or_claim(self, keys: Sequence[bytes]) -> Found:
        """Looks texts up and claims what is missing, unless another living gateway has."""
        vectors = self.find(keys)
        missing = [key for key in keys if key not in vectors]
        if not missing:
            return Found(vectors, set(), set())

        def claim() -> Found:
            with _Transaction(self._connection):
                arrived = dict(_sound_rows(self._connection, missing, self._dimensions))
                wanted = [key for key in missing if key not in arrived]
                elsewhere = {key for key in wanted if self._living_owner(key)}
                claimed = {key for key in wanted if key not in elsewhere}
                self._connection.executemany(
                    "INSERT OR REPLACE INTO claims VALUES (?, ?)", [(key, self._number) for key in claimed]
                )
            return Found({**vectors, **arrived}, claimed, elsewhere)

        return self._guarded(claim)

    def keep(self, vectors: Mapping[bytes, bytes]) -> None:
        """Stores vectors by key; they are on their way to disk, and no longer claimed, when this returns."""
        rows = [(key, _checksum(key, vector), vector) for key, vector in vectors.items()]

        def store() -> None:
            with _Transaction(self._connection):
                self._connection.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)
                self._forget_claims(vectors)

        self._guarded(store)

    def release(self, keys: Iterable[bytes]) -> None:
        """Gives up claims: others may ask."""
        given_up = list(keys)

        def forget() -> None:
            with _Transaction(self._connection):
                self._forget_claims(given_up)

        if given_up:
            self._guarded(forget)

    def others_wrote(self) -> bool:
        """Whether another process has changed the file since this was last asked."""
        before = self._seen_version
        (self._seen_version,) = self._guarded(lambda: self._connection.execute("PRAGMA data_version").fetchone())
        return self._seen_version != before

    def owner_pid(self, key: bytes) -> int | None:
        """The process that claims a text."""
        row = self._guarded(
            lambda: self._connection.execute(
                "SELECT pid FROM claims JOIN owners ON number = owner WHERE key = ?", (key,)
            ).fetchone()
        )
        return None if row is None else int(row[0])

    def size_bytes(self) -> int:
        """What the file and its log take on disk."""
        total = 0
        for path in (self.path, f"{self.path}-wal"):
            try:
                total += os.stat(path).st_size
            except OSError:
                pass
        return total

    def close(self) -> None:
        try:
            with _Transaction(self._connection):
                self._connection.execute("DELETE FROM claims WHERE owner = ?", (self._number,))
                self._connection.execute("DELETE FROM owners WHERE number = ?", (self._number,))
        except sqlite3.Error:
            pass  # they are void once the lock is gone
        self._connection.close()
        self._owners.close()

    # Opening, and what goes wrong

    def _open(self) -> None:
        self._owners.begin_opening()
        try:
            try:
                self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise _told(error, self.path) from None
                self._set_aside(str(error))
                try:
                    self._connect()
                except sqlite3.DatabaseError as again:
                    raise _told(again, self.path) from None
        finally:
            self._owners.end_opening()

    def _connect(self) -> None:
        # The vectors say something of texts that may be secret: for the owner's eyes, as are the log and its index,
        # which SQLite makes like the file.
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise ConfigError(_cannot_open(self.path, error.strerror or str(error))) from None
        connection = sqlite3.connect(self.path, timeout=_BUSY_MS / 1000, isolation_level=None)
        try:
            self._check_it_is_ours(connection)  # before anything is changed
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute("PRAGMA mmap_size = 0")
            with _Transaction(connection):
                number = connection.execute("INSERT INTO owners (pid) VALUES (?)", (os.getpid(),)).lastrowid
                assert number is not None
                self._owners.live_as(number)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._number = number
        self._bury_the_dead()

    def _check_it_is_ours(self, connection: sqlite3.Connection) -> None:
        application, version = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables and application == 0:
            connection.executescript(_SCHEMA)
            connection.execute("INSERT INTO about VALUES (?, ?)", (self._model, self._dimensions))
            return
        if application != _APPLICATION_ID:
            raise ConfigError(f"{self.path} is another program's database: give another directory as embedding_cache")
        if version != _FORMAT:
            raise ConfigError(
                f"the embedding cache {self.path} is of format {version}, this build reads {_FORMAT}: "
                "delete it, or give another directory as embedding_cache"
            )
        about = connection.execute("SELECT model, dimensions FROM about").fetchone()
        if about != (self._model, self._dimensions):
            raise ConfigError(
                f"the embedding cache {self.path} holds {about}, not {(self._model, self._dimensions)}: "
                "it was renamed; delete it, or give another directory as embedding_cache"
            )

    def _bury_the_dead(self) -> None:
        with _Transaction(self._connection):
            for (number,) in self._connection.execute("SELECT number FROM owners").fetchall():
                if not self._owners.is_alive(number):
                    self._connection.execute("DELETE FROM claims WHERE owner = ?", (number,))
                    self._connection.execute("DELETE FROM owners WHERE number = ?", (number,))

    def _set_aside(self, reason: str) -> None:
        aside = f"{self.path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        for suffix in ("", "-wal", "-shm"):
            try:
                os.rename(self.path + suffix, aside + suffix)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise ConfigError(_cannot_open(self.path, error.strerror or str(error))) from None
        self.notes.append(
            f"the embedding cache {self.path} is damaged ({reason}) and was set aside as {aside}; a new one was begun, "
            "what the old one held is paid for again"
        )

    def _guarded(self, action: Callable[[], Result]) -> Result:
        try:
            return action()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise _told(error, self.path) from None
            reason = str(error)
        self._connection.close()
        self._owners.begin_opening()
        try:
            self._set_aside(reason)
            self._connect()
        except sqlite3.DatabaseError as again:
            raise _told(again, self.path) from None
        finally:
            self._owners.end_opening()
        try:
            return action()
        except sqlite3.DatabaseError as again:
            raise _told(again, self.path) from None

    def _living_owner(self, key: bytes) -> bool:
        row = self._connection.execute("SELECT owner FROM claims WHERE key = ?", (key,)).fetchone()
        return row is not None and row[0] != self._number and self._owners.is_alive(row[0])

    def _forget_claims(self, keys: Iterable[bytes]) -> None:
        self._connection.executemany(
            "DELETE FROM claims WHERE key = ? AND owner = ?", [(key, self._number) for key in keys]
        )


class _Transaction:
    """A write transaction from its first statement: none that reads before it writes can be overtaken."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
                return
            except sqlite3.Error:
                self._roll_back()
                raise
        self._roll_back()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # a full disk rolls back by itself
            self._connection.execute("ROLLBACK")


def _sound_rows(
    connection: sqlite3.Connection, keys: Sequence[bytes], dimensions: int
) -> Iterator[tuple[bytes, bytes]]:
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        some = keys[start : start + _ROWS_AT_ONCE]
        marks = ",".join("?" * len(some))
        for key, checksum, vector in connection.execute(
            f"SELECT key, checksum, vector FROM embeddings WHERE key IN ({marks})", some
        ):
            if len(vector) == 4 * dimensions and _checksum(key, vector) == checksum:
                yield key, vector


def _checksum(key: bytes, vector: bytes) -> int:
    return zlib.crc32(vector, zlib.crc32(key))


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _told(error: sqlite3.DatabaseError, path: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return IndexWriteError(
            f"the embedding cache {path} cannot grow: {os.strerror(errno.ENOSPC)}. What it holds is kept: free some "
            "space, or give another directory as embedding_cache, and run again"
        )
    if code == sqlite3.SQLITE_BUSY:
        return IndexWriteError(
            f"the embedding cache {path} has been locked by another program for {_BUSY_MS // 1000} s: end it and "
            "run again"
        )
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY):
        return IndexWriteError(f"the embedding cache {path} cannot be written: {error}")
    return ConfigError(_cannot_open(path, str(error)))


def _cannot_open(path: str, reason: str) -> str:
    return (
        f"the embedding cache {path} cannot be used: {reason}: give a directory that can be written as embedding_cache"
    )


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")

"""Indexes in object storage: an S3 server on loopback, our own credentials, writers that meet."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from source_tree import SourceTree
from store.lance_index import DIMENSIONS, LanceIndex
from store.s3_server import S3Server, s3_server
from store.table_peek import TablePeek

from flyweight.cli.embedder_options import Choice
from flyweight.embed.static import StaticEmbedder
from flyweight.errors import ConfigError, CredentialsError, StoreError, StoreUnreachableError
from flyweight.index.chunk import chunk
from flyweight.store.lancedb.client import StoreClient
from flyweight.store.lancedb.location import StoreLocation
from flyweight.store.lancedb.object_storage import ObjectStorage, fault
from flyweight.store.lancedb.writer import LanceStore

# Looked for, not imported: both would stay for the rest of the test run.
pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("lancedb", "moto", "flask_cors")), reason="needs lancedb and moto[server]"
)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as started:
        started.make_bucket("indexes")
        yield started


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user has them: in the environment."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def index(
    server: S3Server, tree: SourceTree, memory_path: Path, peek: TablePeek, request: pytest.FixtureRequest
) -> LanceIndex:
    tree.grow(12)
    uri = f"s3://indexes/{request.node.name}"
    return LanceIndex(tree, memory_path, peek, uri, server.options(), server.storage_options())


def test_an_index_in_a_bucket_follows_its_tree(index: LanceIndex) -> None:
    index.build()
    before = index.check()
    assert index.build().unchanged == 12
    assert index.describe()["version"] == before["version"]
    paths = sorted(index.tree.files)
    index.tree.write(paths[0], "def entirely_new():\n    return 1\n")
    index.tree.remove(paths[1])
    index.build()
    index.check()


def test_two_writers_at_once_leave_every_file_once(index: LanceIndex, memory_path: Path) -> None:
    """Both take up the same files and commit in turn, as on two machines that know nothing of each other."""
    stores = [LanceStore(index.uri, index.options) for _ in range(2)]
    embedder = StaticEmbedder(DIMENSIONS)
    texts = {path: data for path, data in index.tree.files.items() if path.endswith(".py")}
    try:
        for number, store in enumerate(stores):
            index.index_path = memory_path / f"index-{number}"
            index.index_path.mkdir()
            store.open(index.request(), embedder.name, embedder.dimensions)
        for part, path in enumerate(sorted(texts)):
            for number, store in enumerate(stores):
                text = texts[path]
                chunks = chunk(text, "python")
                piece = store.piece(f"piece-{part}-{number}")
                vectors = embedder.embed([text[c.start_byte : c.end_byte] for c in chunks])
                piece.add_file(path, "python", bytes([number]) * 16, 1, text, chunks, vectors)
                store.take(f"piece-{part}-{number}", piece.finish(), 1, len(chunks), [])
        for store in stores:
            store.publish(complete=True)
            store.finish(lambda phase: None)
    finally:
        for store in stores:
            store.close()
    rows = index.describe()["rows"]
    assert len({row["id"] for row in rows}) == len(rows)
    assert sorted(row["path"] for row in rows if row["ordinal"] == -1) == sorted(texts)


_ALWAYS_SLOWER = """
import sys
from flyweight.errors import StoreConflictError, StoreError
from flyweight.store.lancedb import pour
from flyweight.store.lancedb.client import StoreClient
from flyweight.store.lancedb.location import StoreLocation
from flyweight.store.lancedb.table import TableInfo

pour._PAUSE_S = 0.001
uri, spool = sys.argv[1:]
writer = pour.TableWriter(StoreLocation.parse(uri), TableInfo("model", 8, "/root"))
writer.open(rebuild=False)
before = writer.generation
tried = []

def beaten(rows, gone=None):
    tried.append(1)
    error = StoreError("Commit conflict for version 7")
    raise error from RuntimeError("lance error: Retryable commit conflict for version 7: too many concurrent writers")

writer._table.add = beaten
open(spool, "wb").close()
try:
    writer.pour([spool], [])
except StoreConflictError as error:
    print(len(tried), before == writer.generation, error)
"""


def test_a_conflict_that_does_not_go_away_is_an_error_of_its_own(memory_path: Path) -> None:
    outcome = subprocess.run(
        [sys.executable, "-P", "-c", _ALWAYS_SLOWER, str(memory_path / "table"), str(memory_path / "spool")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert outcome.stdout.startswith("6 True another process is writing the index at ")
    assert "run again when it is done" in outcome.stdout


def test_what_is_wrong_with_a_bucket_is_said_in_a_sentence(server: S3Server, index: LanceIndex) -> None:
    client = StoreClient(index.uri, index.options)
    index.uri = "s3://nowhere/index"
    with pytest.raises(StoreUnreachableError, match="there is no bucket 'nowhere': create it, or correct the URI"):
        index.build()
    named = Choice(None, {}, f"lancedb:{index.uri}", {**index.options})
    with pytest.raises(StoreUnreachableError, match="nowhere"):  # without the build, which would be told the same
        named.settings(str(index.index_path), None, needs_store=True)
    server.require_known_keys()
    try:
        with pytest.raises(StoreError, match=r"access is refused \(InvalidAccessKeyId\)") as raised:
            client.manifest()
    finally:
        client.close()
        server.require_known_keys(False)
    assert "secret" not in str(raised.value)


def test_without_keys_every_place_that_was_looked_in_is_named(
    index: LanceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CredentialsError, match="AWS_ACCESS_KEY_ID"):
        index.build()


def location(uri: str = "s3://bucket/index", **options: object) -> StoreLocation:
    return StoreLocation.parse(uri, options)


def test_keys_come_from_where_the_aws_tools_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
    storage = ObjectStorage(location(region="eu-west-1"))
    options = storage.options()
    assert options["aws_access_key_id"] == "key"
    assert options["aws_secret_access_key"] == "secret"
    assert options["aws_session_token"] == "session"
    assert options["aws_region"] == "eu-west-1"
    assert "aws_endpoint" not in options
    assert not storage.expiring()


def test_keys_among_the_options_are_used_as_they_are() -> None:
    given = {"aws_access_key_id": "mine", "aws_secret_access_key": "own", "aws_region": "eu-north-1"}
    options = ObjectStorage(location(**given)).options()
    assert {name: options[name] for name in given} == given
    assert "aws_session_token" not in options


def test_an_endpoint_of_one_s_own_is_reached_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")
    options = ObjectStorage(location(region="us-east-1")).options()
    assert options["aws_endpoint"] == "http://127.0.0.1:9000"
    assert options["aws_virtual_hosted_style_request"] == "false"
    assert options["allow_http"] == "true"
    secure = ObjectStorage(location(region="us-east-1", endpoint_url="https://minio.example")).options()
    assert "allow_http" not in secure


def test_keys_that_are_about_to_end_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = ObjectStorage(location(region="us-east-1"))
    storage.options()
    assert storage._used is not None
    for left_s, expected in ((30, True), (3600, False)):
        monkeypatch.setattr(type(storage._used), "expires_at_s", time.time() + left_s, raising=False)
        assert storage.expiring() is expected


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("endpoint_url", "http://user:word@host", "holds credentials"),
        ("timeout_s", "soon", "a number of seconds"),
        ("timeout_s", 0, "a number of seconds"),
    ],
)
def test_an_option_that_cannot_work_is_refused(option: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        location(**{option: value})
    assert "word" not in str(raised.value)


def test_a_directory_needs_no_options(tmp_path: Path) -> None:
    assert ObjectStorage(location(str(tmp_path))).options() == {}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("LanceError(IO): No space left on device (os error 28)", "no space is left"),
        ("Permission denied (os error 13)", "may not be written to"),
        ("status: 404, body: <Code>NoSuchBucket</Code>", "there is no bucket 'bucket'"),
        ("status: 403, body: <Code>SignatureDoesNotMatch</Code>", r"access is refused \(SignatureDoesNotMatch\)"),
        ("status: 400, body: <Code>ExpiredToken</Code>", "the credentials have expired"),
        ("status: 400, body: <Code>AuthorizationHeaderMalformed</Code>", "is in another region"),
        ("HttpError { kind: Connect, source: tcp connect error }", "cannot be reached"),
        ("operation timed out", "does not answer in time"),
    ],
)
def test_faults_of_storage_come_with_a_way_out(said: str, sentence: str) -> None:

    assert re.search(sentence, fault(location(), said) or "")


def test_other_faults_are_left_as_they_are() -> None:
    assert fault(location(), "lance error: LanceError(Schema)") is None

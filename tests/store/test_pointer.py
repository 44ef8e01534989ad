from __future__ import annotations

from pathlib import Path

import pytest
from source_tree import SourceTree

from flyweight.embed.static import StaticEmbedder
from flyweight.errors import IndexCorruptError, IndexWriteError
from flyweight.index.build import build
from flyweight.index.request import BuildRequest
from flyweight.store.pointer import read_pointer, remove_pointer, write_pointer


def test_a_pointer_says_where_the_index_is(tmp_path: Path) -> None:
    assert read_pointer(str(tmp_path)) is None
    write_pointer(str(tmp_path), "lancedb:s3://bucket/code", {"region": "eu-west-1", "table": "other"})
    assert read_pointer(str(tmp_path)) == ("lancedb:s3://bucket/code", {"region": "eu-west-1", "table": "other"})
    write_pointer(str(tmp_path), "lancedb:/var/lib/code", {})
    assert read_pointer(str(tmp_path)) == ("lancedb:/var/lib/code", {})
    remove_pointer(str(tmp_path))
    remove_pointer(str(tmp_path))
    assert read_pointer(str(tmp_path)) is None


def test_a_pointer_stands_until_the_index_that_takes_its_place_is_whole(tmp_path: Path) -> None:
    tree = SourceTree(tmp_path / "code")
    tree.grow(2)
    index_path = str(tmp_path / "index")
    (tmp_path / "index").mkdir()
    write_pointer(index_path, "lancedb:/var/lib/code", {})
    request = BuildRequest(str(tree.root), index_path, batch_size=32, memory_budget=1 << 30)
    for stopped in (True, False):
        stats = build(request, StaticEmbedder(64), lambda progress: None, lambda stopped=stopped: stopped)
        assert stats.interrupted == stopped
        assert (read_pointer(index_path) is None) != stopped


def test_a_pointer_holds_no_secrets(tmp_path: Path) -> None:
    options = {"aws_access_key_id": "AKID", "aws_secret_access_key": "secret", "aws_session_token": "session"}
    write_pointer(str(tmp_path), "lancedb:s3://bucket/code", {**options, "endpoint_url": "http://127.0.0.1:9"})
    assert read_pointer(str(tmp_path)) == ("lancedb:s3://bucket/code", {"endpoint_url": "http://127.0.0.1:9"})
    written = (tmp_path / "store").read_text()
    assert not [value for value in options.values() if value in written]


@pytest.mark.parametrize("place", ["/va r/100%/co\nde", "/caf\udce9", "/percent%0a"])
def test_any_path_comes_back_as_it_was(tmp_path: Path, place: str) -> None:
    write_pointer(str(tmp_path), f"lancedb:{place}", {})
    assert read_pointer(str(tmp_path)) == (f"lancedb:{place}", {})


@pytest.mark.parametrize("data", [b"", b"something else\n", b"flyweight-store 1\n", b"flyweight-store 1\nlancedb:/x"])
def test_a_file_that_is_no_pointer_is_said_to_be_damaged(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "store").write_bytes(data)
    with pytest.raises(IndexCorruptError, match="does not name a store"):
        read_pointer(str(tmp_path))


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(IndexWriteError, match="No such file or directory"):
        write_pointer(str(tmp_path / "none"), "lancedb:/x", {})

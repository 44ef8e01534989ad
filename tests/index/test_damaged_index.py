from __future__ import annotations

import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from answered_questions import answers, engine_for
from index_contents import expected_chunks, served_chunks
from source_tree import SourceTree

from flyweight import IndexStats, SearchConfig, SemanticSearchEngine
from flyweight._search import crc32c
from flyweight.errors import (
    FlyweightError,
    IndexCorruptError,
    IndexMismatchError,
    IndexMissingError,
    IndexVersionError,
)
from flyweight.index.manifest import MANIFEST_NAME, read_manifest

BuildIndex = Callable[..., IndexStats]


def test_flipped_bits_and_lost_tails_never_get_past_a_search(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    sound = answers(index_path)
    draw = random.Random(3)
    for path in (index_path / MANIFEST_NAME, index_path / read_manifest(str(index_path)).segments[0].name):
        intact = path.read_bytes()
        refused = 0
        for number in range(60):
            data = bytearray(intact)
            if number % 3:
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            else:
                del data[draw.randrange(len(data)) :]
            path.unlink()  # never in place: another test's reader may have the file mapped
            path.write_bytes(data)
            try:
                assert answers(index_path) == sound
            except FlyweightError as error:
                assert str(index_path) in str(error) or "fails its checksum" in str(error)
                refused += 1
        assert refused > 40
        path.unlink()
        path.write_bytes(intact)
    assert answers(index_path) == sound


def test_a_missing_segment_is_an_error_for_readers_and_made_up_for_by_the_next_run(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    (index_path / read_manifest(str(index_path)).segments[0].name).unlink()
    with pytest.raises(IndexCorruptError, match=r"doctor.*flyweight index"):
        engine_for(index_path).search("record")
    build_index(indexed)
    assert served_chunks(index_path) == expected_chunks(indexed.files)


@pytest.mark.parametrize("missing", [MANIFEST_NAME, "everything"])
def test_searching_without_an_index_says_how_to_make_one(index_path: Path, indexed: SourceTree, missing: str) -> None:
    if missing == "everything":
        for entry in index_path.iterdir():
            entry.unlink()
        index_path.rmdir()
    else:
        (index_path / missing).unlink()
    engine = engine_for(index_path)
    for _ in range(2):
        with pytest.raises(IndexMissingError, match=r"no index at .*run 'flyweight index"):
            engine.search("record")


def test_an_index_in_another_format_is_refused_and_replaced_by_a_rebuild(indexed: SourceTree, index_path: Path) -> None:
    path = index_path / MANIFEST_NAME
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(first.rpartition(b" ")[0] + b" 99\n" + rest)
    engine = SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=64))
    with pytest.raises(IndexVersionError, match=r"format 99.*--rebuild"):
        engine.search("record")
    with pytest.raises(IndexVersionError, match=r"format 99.*--rebuild"):
        engine.index(indexed.root)
    assert engine.index(indexed.root, rebuild=True).files == 40
    assert engine.search("record")


def test_a_segment_in_another_format_is_refused_and_made_anew_by_the_next_run(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    path = index_path / read_manifest(str(index_path)).segments[0].name
    data = bytearray(path.read_bytes())
    data[8:12] = (99).to_bytes(4, "little")
    data[60:64] = crc32c(bytes(data[:60])).to_bytes(4, "little")
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(IndexVersionError, match="format 99"):
        engine_for(index_path).search("record")
    assert build_index(indexed).added == 40
    assert served_chunks(index_path) == expected_chunks(indexed.files)


def test_an_index_with_more_dimensions_than_allowed_is_refused(tree: SourceTree, index_path: Path) -> None:
    tree.grow(3)
    SemanticSearchEngine(SearchConfig(index_path=index_path)).index(tree.root)
    small = SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=64))
    with pytest.raises(IndexMismatchError, match=r"256 dimensions.*64.*max_embedding_dim"):
        small.search("record")
    with pytest.raises(IndexMismatchError, match=r"--rebuild"):
        small.index(tree.root)


def test_an_index_by_another_embedder_is_refused(indexed: SourceTree, index_path: Path) -> None:
    path = index_path / MANIFEST_NAME
    body = path.read_bytes().rpartition(b"end ")[0]
    embedder = body.partition(b"embedder ")[2].partition(b"\n")[0]
    body = body.replace(embedder, b"other-model")
    path.write_bytes(body + f"end {crc32c(body):08x}\n".encode())
    engine = SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=64))
    with pytest.raises(IndexMismatchError, match=r"other-model.*--rebuild"):
        engine.search("record")
    with pytest.raises(IndexMismatchError, match=r"other-model.*--rebuild"):
        engine.index(indexed.root)


def test_no_bad_input_shows_a_traceback_of_the_builder(
    tree: SourceTree, index_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    tree.grow(2)
    engine = engine_for(index_path)
    with suppress(FlyweightError):
        engine.index(tree.root / "nowhere")
    index_path.mkdir()
    (index_path / MANIFEST_NAME).mkdir()
    with pytest.raises(FlyweightError):
        engine.index(tree.root)
    assert capfd.readouterr().err == ""
    assert signal.getsignal(signal.SIGINT) is handler

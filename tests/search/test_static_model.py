from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flyweight._search import StaticModel
from flyweight.embed.static import model_path
from flyweight.errors import FlyweightError
from training.model_file import read_model, write_model
from training.wordpiece import WordPiece

MODEL = StaticModel(model_path())
VOCABULARY, TABLE = read_model(Path(model_path()))
REFERENCE = WordPiece(VOCABULARY)

IDENTIFIER_PARTS = [
    "get",
    "HTTP",
    "Server",
    "URLs",
    "IDs",
    "As",
    "x",
    "X",
    "8",
    "4096",
    "_",
    "é",
    "É",
    "e\u0301",
    "ß",
    "日",
]
identifiers = st.lists(
    st.sampled_from(IDENTIFIER_PARTS),
    max_size=8,
).map("".join)
code_bytes = st.one_of(
    identifiers.map(lambda text: text.encode()),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=60),
    st.lists(st.sampled_from(b"aAs1 \xc3\xa9\xcc\x81\xcd\xff"), max_size=20).map(bytes),
)


def vector(text: bytes | str, dims: int = 256) -> npt.NDArray[np.float32]:
    return np.frombuffer(MODEL.embed(text, dims=dims), "<f4")


def reference_vector(text: bytes, dims: int) -> npt.NDArray[np.float32]:
    total = TABLE[REFERENCE.tokenize(text), :dims].sum(axis=0, dtype=np.float32)
    length = np.linalg.norm(total)
    return np.asarray(total / length if length else total, np.float32)


def cosine(one: str, other: str) -> float:
    return float(vector(one) @ vector(other))


@given(code_bytes)
@example(b"a" * 1000)
@example(b"A" * 1000 + b"b")
@example(b"abe\xcc\x81c caf\xc3\xa9")
def test_tokens_equal_those_of_the_reference(text: bytes) -> None:
    assert MODEL.tokenize(text) == REFERENCE.tokenize(text)


@given(code_bytes, st.sampled_from([64, 128, 256]))
def test_vector_is_the_normalized_sum_of_its_tokens_vectors(text: bytes, dims: int) -> None:
    np.testing.assert_allclose(vector(text, dims), reference_vector(text, dims), atol=1e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("getHTTPServer", ["get", "http", "server"]),
        ("parse_URLs", ["parse", "urls"]),
        ("utf8", ["utf", "8"]),
        ("Café", ["cafe"]),
        ("file.name", ["file", "name"]),
    ],
)
def test_identifiers_are_split_where_a_person_would(text: str, words: list[str]) -> None:
    assert "".join(MODEL.token(number) for number in MODEL.tokenize(text)).replace("##", "") == "".join(words)
    assert MODEL.tokenize(text) == MODEL.tokenize(" ".join(words))


def test_text_given_as_str_or_as_utf8_is_the_same() -> None:
    assert MODEL.embed("naïve parser") == MODEL.embed("naïve parser".encode())


def test_every_token_of_the_vocabulary_is_found_by_its_word() -> None:
    for number, word in enumerate(VOCABULARY):
        assert MODEL.token(number) == word
        assert word.startswith("##") or MODEL.tokenize(word) == [number]


def test_a_number_outside_the_vocabulary_is_dropped() -> None:
    assert MODEL.tokenize("927364518") == []


def test_token_beyond_the_vocabulary_is_refused() -> None:
    with pytest.raises(IndexError):
        MODEL.token(len(VOCABULARY))


@pytest.mark.parametrize("dims", [256, 128, 64])
def test_vectors_have_length_one_at_every_truncation(dims: int) -> None:
    assert np.linalg.norm(vector("read a configuration file", dims)) == pytest.approx(1, abs=1e-5)


def test_truncated_vector_is_the_leading_part_of_the_whole() -> None:
    leading = vector("read a file")[:64]
    np.testing.assert_allclose(vector("read a file", 64), leading / np.linalg.norm(leading), atol=1e-5)


@pytest.mark.parametrize("text", ["", " ", "+-*/", "日本語", b"\xff\xfe\x00"])
def test_text_without_known_tokens_is_the_zero_vector(text: str | bytes) -> None:
    assert not vector(text).any()


def test_a_long_word_takes_time_in_proportion_to_its_length() -> None:
    assert 0 < len(MODEL.tokenize(b"a" * 20_000_000)) <= 48
    assert len(MODEL.tokenize(b"openFile" * 1_000_000)) == 2_000_000


@pytest.mark.parametrize(
    ("one", "related", "unrelated"),
    [
        ("delete", "remove", "render"),
        ("authentication", "login password", "matrix multiplication"),
        ("parse json", "decode a json document", "draw a circle on the canvas"),
        ("async", "await coroutine", "font color"),
        ("mutex", "lock thread", "web page template"),
        (
            "sort a list",
            "def ordered(items): return sorted(items)",
            "def connect(host): socket.connect(host)",
        ),
    ],
)
def test_related_texts_are_nearer_than_unrelated_ones(one: str, related: str, unrelated: str) -> None:
    assert cosine(one, related) > cosine(one, unrelated) + 0.1


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    words = ["the", "file", "##s", "##name", "json", "1"]
    table = np.random.default_rng(0).normal(size=(len(words), 64)).astype(np.float32)
    path = tmp_path / "small.fwm"
    write_model(path, words, table, "small/1", "made for a test")
    return path


def test_a_written_model_is_read_back(small_model: Path) -> None:
    model = StaticModel(os.fspath(small_model))
    assert (model.id, model.dimensions) == ("small/1", 64)
    assert [model.token(number) for number in model.tokenize("the filenames 1 2 json")] == [
        "the", "file", "##name", "##s", "1", "json",
    ]  # fmt: skip


def test_any_flipped_bit_is_refused(small_model: Path) -> None:
    whole = small_model.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        small_model.write_bytes(damaged)
        with pytest.raises(FlyweightError):
            StaticModel(os.fspath(small_model))


def test_any_truncation_or_addition_is_refused(small_model: Path) -> None:
    whole = small_model.read_bytes()
    for length in (0, 1, 255, 256, *range(257, len(whole), 61), len(whole) - 1):
        small_model.write_bytes(whole[:length])
        with pytest.raises(FlyweightError):
            StaticModel(os.fspath(small_model))
    small_model.write_bytes(whole + b"\0")
    with pytest.raises(FlyweightError):
        StaticModel(os.fspath(small_model))


def test_damage_anywhere_in_the_shipped_model_is_refused(tmp_path: Path) -> None:
    whole = Path(model_path()).read_bytes()
    path = tmp_path / "damaged.fwm"
    for position in random.Random(0).sample(range(len(whole)), 12):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(FlyweightError):
            StaticModel(os.fspath(path))


def test_another_format_version_is_named_in_the_error(small_model: Path) -> None:
    damaged = bytearray(small_model.read_bytes())
    struct.pack_into("<I", damaged, 8, 7)
    small_model.write_bytes(damaged)
    with pytest.raises(FlyweightError, match="format 7"):
        StaticModel(os.fspath(small_model))


def test_a_missing_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FlyweightError, match=r"nowhere\.fwm"):
        StaticModel(os.fspath(tmp_path / "nowhere.fwm"))

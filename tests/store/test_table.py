"""What a table's schema says, and how paths and errors are put into words."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyweight.errors import IndexVersionError, StoreError
from flyweight.store.lancedb.location import StoreLocation
from flyweight.store.lancedb.table import (
    COLUMNS,
    TableInfo,
    check_schema,
    is_missing,
    path_of,
    row_id,
    stored_path,
    unusable,
)

LOCATION = StoreLocation.parse("lancedb:/db")
INFO = TableInfo("minilm-256/1", 64, "/code")
TYPES = {name: "fixed_size_list<item: float>[64]" if name == "vector" else kind for name, kind in COLUMNS}

raw_paths = st.binary(min_size=1, max_size=12).filter(lambda raw: b"\0" not in raw)


class MadeSchema:
    """As much of a schema as is looked at."""

    def __init__(self, types: dict[str, str], metadata: dict[str, str] | None) -> None:
        self.metadata = metadata
        self._types = types

    def field(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(type=self._types[name])


def test_what_is_written_down_is_read_back() -> None:
    for metadata in (INFO.metadata(), {key.encode(): value.encode() for key, value in INFO.metadata().items()}):
        info = check_schema(LOCATION, MadeSchema(TYPES, metadata))  # type: ignore[arg-type]
        assert (info.embedder, info.dimensions, info.root) == ("minilm-256/1", 64, "/code")


@pytest.mark.parametrize("metadata", [None, {}, {"format": "1"}, {"other.format": "1"}])
def test_a_table_that_says_nothing_of_us_is_foreign(metadata: dict[str, str] | None) -> None:
    with pytest.raises(StoreError, match=r"the table 'flyweight' at /db is not a Flyweight index"):
        check_schema(LOCATION, MadeSchema(TYPES, metadata))


@pytest.mark.parametrize("change", [{"flyweight.format": "2"}, {"flyweight.stemmer": "other"}])
def test_another_format_or_stemmer_is_not_read(change: dict[str, str]) -> None:
    with pytest.raises(IndexVersionError, match=r"written in format .*this build reads 1"):
        check_schema(LOCATION, MadeSchema(TYPES, {**INFO.metadata(), **change}))


@pytest.mark.parametrize("column", [name for name, _ in COLUMNS])
def test_a_column_that_is_missing_or_of_another_type_is_named(column: str) -> None:
    lacking = {name: kind for name, kind in TYPES.items() if name != column}
    for types in (lacking, {**TYPES, column: "double"}):
        with pytest.raises(StoreError, match=rf"lacks {column}, or has them in another type"):
            check_schema(LOCATION, MadeSchema(types, INFO.metadata()))


@given(raw_paths)
def test_any_path_is_stored_and_comes_back(raw: bytes) -> None:
    path = os.fsdecode(raw)
    text, kept = stored_path(path)
    assert text.encode()  # valid UTF-8
    assert path_of(text, kept) == path


@given(st.lists(st.tuples(raw_paths, st.integers(-1, 5)), unique=True))
def test_rows_have_ids_of_their_own(rows: list[tuple[bytes, int]]) -> None:
    assert len({row_id(os.fsdecode(raw), ordinal) for raw, ordinal in rows}) == len(rows)


def test_a_missing_table_is_told_from_other_trouble() -> None:
    assert is_missing(ValueError("Table 'flyweight' was not found"))
    assert not is_missing(ValueError("permission denied"))


def test_an_error_is_told_without_secrets_and_source_files() -> None:
    location = StoreLocation.parse("lancedb:s3://bucket", {"aws_secret_access_key": "hidden-1"})
    error = RuntimeError("lance error: signing with hidden-1 failed, /root/.cargo/registry/src/object.rs:12\nmore")
    said = str(unusable(location, error))
    assert "signing with … failed" in said
    assert ".cargo" not in said
    assert "more" not in said


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Not a directory (os error 20)", "not a directory"),
        ("lance error: Not found: db/data/0.lance", "missing or damaged, run 'flyweight index --rebuild'"),
        ("LanceError(IO): file size is too small", "missing or damaged, run 'flyweight index --rebuild'"),
    ],
)
def test_known_trouble_has_a_way_out(said: str, told: str) -> None:
    assert told in str(unusable(LOCATION, RuntimeError(said)))

"""Where a store is: what is understood, what is refused, and that secrets stay out of sight."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyweight.errors import ConfigError
from flyweight.store.lancedb.location import StoreLocation


def test_a_path_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    location = StoreLocation.parse("lancedb:index/db")
    assert location.uri == str(tmp_path / "index" / "db")
    assert location.is_local
    assert location.table_directory == f"{tmp_path}/index/db/flyweight.lance"


@pytest.mark.parametrize("spec", ["lancedb:file:///var/db", "lancedb:/var/db", "/var/db"])
def test_a_directory_has_several_spellings(spec: str) -> None:
    assert StoreLocation.parse(spec).spec == "lancedb:/var/db"


@pytest.mark.parametrize("uri", ["s3://bucket/prefix", "gs://bucket", "az://container/x"])
def test_object_storage_is_kept_as_it_is(uri: str) -> None:
    location = StoreLocation.parse(f"lancedb:{uri}")
    assert location.uri == uri
    assert not location.is_local


def test_a_relative_prefix_and_a_slash_at_the_end_mean_the_same_place() -> None:
    assert StoreLocation.parse("lancedb:s3://bucket/prefix/").uri == "s3://bucket/prefix"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("lancedb:", "lancedb:<directory>"),
        ("lancedb:a\0b", "lancedb:<directory>"),
        ("lancedb:db://cloud", "s3://"),
        ("lancedb:s3://", "names no bucket"),
        ("lancedb:s3://key:hidden@bucket/x", "holds credentials"),
    ],
)
def test_what_cannot_be_a_place_is_refused(spec: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        StoreLocation.parse(spec)
    assert "hidden" not in str(raised.value)


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown store option 'regoin'.*region"):
        StoreLocation.parse("lancedb:/db", {"regoin": "eu-west-1"})


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", "x'y", ".hidden", "é"])
def test_a_table_name_cannot_leave_its_directory(name: str) -> None:
    with pytest.raises(ConfigError, match="table's name"):
        StoreLocation.parse("lancedb:/db", {"table": name})


@pytest.mark.parametrize("value", [b"bytes", ["list"], "nul\0"])
def test_an_option_is_text_or_a_number(value: object) -> None:
    with pytest.raises(ConfigError, match="region must be text"):
        StoreLocation.parse("lancedb:/db", {"region": value})


SECRETS = {
    "aws_secret_access_key": "hidden-1",
    "aws_session_token": "hidden-2",
    "azure_storage_account_key": "hidden-3",
    "google_service_account_key": "hidden-4",
    "aws_access_key_id": "hidden-5",
}


def test_secrets_are_not_shown() -> None:
    location = StoreLocation.parse("lancedb:s3://bucket", {**SECRETS, "region": "eu-west-1", "allow_http": True})
    assert "hidden" not in repr(location)
    assert location.public_options() == {"region": "eu-west-1", "allow_http": "true"}
    with pytest.raises(ConfigError) as raised:
        StoreLocation.parse("lancedb:s3://bucket", {"aws_secret_access_key": ["hidden"]})
    assert "hidden" not in str(raised.value)


def test_a_child_process_gets_all_of_it() -> None:
    location = StoreLocation.parse("lancedb:s3://bucket", {**SECRETS, "table": "other"})
    copy = StoreLocation.from_fields(location.fields())
    assert (copy.uri, copy.table, copy.options) == (location.uri, "other", location.options)


def test_another_table_is_remembered() -> None:
    assert StoreLocation.parse("lancedb:/db", {"table": "other"}).public_options() == {"table": "other"}

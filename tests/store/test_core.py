"""Which versions of LanceDB are worked with: its core is no public interface."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyweight.errors import StoreError
from flyweight.store.lancedb.client import StoreClient
from flyweight.store.lancedb.core import NEWEST_MINOR, OLDEST_MINOR, check_version


@pytest.mark.parametrize("version", [f"0.{OLDEST_MINOR}.0", f"0.{NEWEST_MINOR}.7", f"0.{NEWEST_MINOR}.0-beta.1"])
def test_versions_that_are_known_to_work_are_taken(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize(
    "version", [f"0.{OLDEST_MINOR - 1}.9", f"0.{NEWEST_MINOR + 1}.0", f"1.{OLDEST_MINOR}.0", "", "x"]
)
def test_another_version_is_refused_with_the_range_and_a_way_out(version: str) -> None:
    with pytest.raises(StoreError) as raised:
        check_version(version)
    said = str(raised.value)
    assert f"LanceDB {version or 'of an unknown version'} is installed" in said
    assert f"0.{OLDEST_MINOR}" in said
    assert f"0.{NEWEST_MINOR}" in said
    assert "pip install 'flyweight[lancedb]'" in said


def test_a_resident_hears_of_the_version_before_the_core_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lancedb"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_lancedb.py").write_text("__version__ = '0.2.0'\n")  # nothing else: a call would be another error
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    client = StoreClient(str(tmp_path / "db"))
    with pytest.raises(StoreError, match=r"^LanceDB 0\.2\.0 is installed, this build works with 0\."):
        client.manifest()
    client.close()

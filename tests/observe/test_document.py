"""Captures that are read: what they are checked for, and what the errors say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flyweight.errors import PathError
from flyweight.observe.document import checked, read
from tests.observe.made_capture import made_capture


def content() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(made_capture(3)))
    return made


def test_a_capture_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "capture.json"
    path.write_text(json.dumps(made_capture(3)))
    assert read(path) == content()


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (b"", "cut short"),
        (b"\x00\xff", "no capture"),
        (b"[1, 2]", "no capture"),
        (b'{"format": "flyweight-snapshot/1"}', "'flyweight-snapshot/1' instead of the format"),
        (b'{"most_live": []}', "most_live"),
        (b"[" * 100_000, "no capture"),
    ],
)
def test_what_is_no_capture_is_called_none(tmp_path: Path, written: bytes, says: str) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(written)
    with pytest.raises(PathError, match="no capture") as caught:
        read(path)
    assert says in str(caught.value) and "memory.save('capture.json')" in str(caught.value)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = json.dumps(made_capture(2))
    path = tmp_path / "capture.json"
    for length in range(0, len(whole), 997):
        path.write_text(whole[:length])
        with pytest.raises(PathError, match=r"capture\.json is no capture, or was cut short"):
            read(path)


def test_a_newer_version_says_who_can_read_it() -> None:
    with pytest.raises(PathError, match="version 2, this build reads 1: read it with the flyweight that wrote it"):
        checked({**content(), "version": 2})
    with pytest.raises(PathError, match="version None"):
        checked({**content(), "version": None})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"gone\.json cannot be read: No such file"):
        read(tmp_path / "gone.json")


def damaged(*path: object, value: object = None) -> dict[str, Any]:
    """A capture with another value, or none, at the end of the path."""
    made = inner = content()
    for step in path[:-1]:
        inner = inner[step]  # type: ignore[index]
    if value is KeyError:
        del inner[path[-1]]  # type: ignore[arg-type]
    else:
        inner[path[-1]] = value  # type: ignore[index]
    return made


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (damaged("sites", value=KeyError), "sites is missing"),
        (damaged("sites", 1, "live_bytes", value=KeyError), r"sites\[1\].live_bytes is missing"),
        (damaged("sites", 1, "live_bytes", value="7"), r"sites\[1\].live_bytes is '7'"),
        (damaged("sites", 1, "live_bytes", value=True), r"sites\[1\].live_bytes is True"),
        (damaged("report", "python", value=[]), r"report.python is \[\]"),
        (damaged("attribution", "rows", 0, "kind", value=None), r"attribution.rows\[0\].kind is None"),
        (damaged("frames", 2, value=["a.py", 3]), r"frames\[2\] is \['a.py', 3\]"),
        (damaged("stacks", 0, "frames", 0, value=999), r"stacks\[0\] has a frame that is not in frames"),
        (damaged("stacks", 0, "site", value=3), r"stacks\[0\] has a site that is not in sites"),
        (damaged("timeline", "rss_bytes", value=[1]), "the columns of timeline differ in length"),
        (damaged("phases", 0, "components", "engine", value=1.5), r"phases\[0\].components.engine is 1.5"),
        (damaged("leaks", 0, "holders", "chains", 0, "links", 0, value=1), r"links\[0\] is 1"),
    ],
)  # fmt: skip
def test_damage_is_named_by_its_place(made: dict[str, Any], fault: str) -> None:
    with pytest.raises(PathError, match=f"the capture is a damaged capture: .*{fault}; capture again"):
        checked(made)


def test_parts_that_a_process_could_not_tell_are_allowed_to_be_none() -> None:
    bare = {"attribution": None, "timeline": None, "leaks": None, "steady": None}
    assert checked({**content(), **bare})["attribution"] is None


def test_keys_that_this_build_does_not_know_are_no_fault() -> None:
    assert checked({**content(), "weather": "fine"})

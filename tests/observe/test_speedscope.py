"""speedscope files, against the schema that speedscope publishes."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from hypothesis import given, settings

from flyweight.observe.document import Document
from flyweight.observe.speedscope import speedscope
from tests.observe.drawn_captures import captures
from tests.observe.made_capture import made_capture
from tests.observe.test_call_chains import totals

SCHEMA = json.loads((Path(__file__).with_name("data") / "speedscope-file-format-schema.json").read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


@settings(max_examples=40, deadline=None)
@given(captures())
def test_files_follow_the_schema_and_add_up(document: Document) -> None:
    content = json.loads(speedscope(document))
    VALIDATOR.validate(content)
    assert [sum(profile["weights"]) for profile in content["profiles"]] == totals(document)
    frames = len(content["shared"]["frames"])
    for profile in content["profiles"]:
        assert profile["endValue"] == sum(profile["weights"])
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(0 <= number < frames for sample in profile["samples"] for number in sample)


def test_the_schema_would_notice() -> None:
    content = json.loads(speedscope(made_capture(2)))
    del content["profiles"][0]["weights"]
    assert not VALIDATOR.is_valid(content)


def test_stacks_read_from_the_outermost() -> None:
    document = made_capture(1)
    content = json.loads(speedscope(document))
    first = [content["shared"]["frames"][number] for number in content["profiles"][0]["samples"][0]]
    assert [frame["name"] for frame in first] == ["main", "serve", "handle_0"]
    assert first[0] == {"name": "main", "file": "/srv/shop/app.py", "line": 90}

"""Every command of docs/lancedb.md, as a reader types it; what its errors say is in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("botocore")
pytest.importorskip("lancedb")
pytest.importorskip("moto")
pytest.importorskip("flask")
pytest.importorskip("flask_cors")

from sample_project import plant
from store.s3_server import s3_server

import flyweight
from flyweight.store.lancedb.table import COLUMNS
from tests.docs.error_table import listed_errors, says
from tests.docs.page import ROOT, Reader, is_as_expected, steps_of
from tests.docs.programs import AWS, PIP
from tests.standins.program import StandInProgram

STEPS = steps_of("lancedb.md")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What the steps of the page print."""
    home = tmp_path_factory.mktemp("lancedb-page") / "ada"
    plant(home / "bank")
    with StandInProgram("bedrock") as bedrock, s3_server() as storage:
        variables = {**bedrock.environment(), "AWS_ENDPOINT_URL_S3": storage.endpoint}
        reader = Reader(home, variables, {}, {"pip": PIP, "aws": AWS}, {})
        yield [reader.as_in_page(one) for one in reader.follow(STEPS)]


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[step.title for step in STEPS])
def test_a_step_prints_what_the_page_says(number: int, printed: list[str]) -> None:
    assert is_as_expected(printed[number], STEPS[number].printed), printed[number]


@pytest.fixture(scope="module")
def messages() -> list[str]:
    """The texts of the store, "…" for what is put into them."""
    found = []
    for path in (Path(flyweight.__file__).parent / "store").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


@pytest.mark.parametrize("listed", listed_errors("lancedb.md"))
def test_a_listed_error_is_one_of_the_store(listed: str, messages: list[str]) -> None:
    assert any(says(message, listed) for message in messages)


def test_every_column_is_described() -> None:
    page = (ROOT / "docs" / "lancedb.md").read_text(encoding="utf-8")
    rows = page.partition("\n| column |")[2].partition("\n\n")[0].splitlines()[2:]
    described = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert described == [name for name, _ in COLUMNS]

"""Every command of docs/aws.md, as a reader types it, and every error it lists."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("botocore")

from sample_project import plant

from tests.docs.page import Reader, is_as_expected, steps_of
from tests.docs.programs import PIP
from tests.standins.openai import OpenAIStandIn
from tests.standins.program import StandInProgram

STEPS = steps_of("aws.md")
KEYS = {"access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What the steps of the page print."""
    home = tmp_path_factory.mktemp("aws-page") / "ada"
    plant(home / "bank")
    with StandInProgram("bedrock") as bedrock, OpenAIStandIn(models={"nomic-embed-text": 768}) as ollama:
        bedrock.ask("/_credentials", {"credentials": [KEYS]})
        reader = Reader(
            home,
            {
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.endpoint,
                "AWS_EC2_METADATA_DISABLED": "true",
                "NO_PROXY": "localhost,127.0.0.1",
            },
            {"nobody can be reached": "export AWS_ENDPOINT_URL_BEDROCK_RUNTIME=http://127.0.0.1:1"},
            {"pip": PIP},
            {"http://localhost:11434": ollama.base_url.removesuffix("/v1")},
        )
        yield [reader.as_in_page(one) for one in reader.follow(STEPS)]


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[step.title for step in STEPS])
def test_a_step_prints_what_the_page_says(number: int, printed: list[str]) -> None:
    assert is_as_expected(printed[number], STEPS[number].printed), printed[number]

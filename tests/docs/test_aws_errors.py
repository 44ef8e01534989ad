"""Every error that docs/aws.md lists, provoked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("botocore")
pytest.importorskip("trustme")

from made_segment import MadeFile, write_index

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.embed.query_embedder import QueryEmbedder
from flyweight.embed.settings import EmbedderSettings
from flyweight.errors import EmbedderUnreachableError, FlyweightError
from tests.docs.error_table import listed_errors, says
from tests.standins.bedrock import V2, BedrockStandIn, clear_environment
from tests.standins.faults import Faults
from tests.standins.proxy import ProxyStandIn

ERRORS = listed_errors("aws.md")
Ask = Callable[..., None]


@pytest.fixture(scope="module")
def bedrock() -> Iterator[BedrockStandIn]:
    with BedrockStandIn() as service:
        yield service


@pytest.fixture
def ask(bedrock: BedrockStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Asks for the vector of a query, as a search does."""
    bedrock.set_environment(monkeypatch)

    def embed(spec: str = "titan", timeout_s: float = 60.0, **options: object) -> None:
        embedder = QueryEmbedder(EmbedderSettings.parse(spec, options), cache_entries=0, timeout_s=timeout_s)
        try:
            embedder.embed("where are retries handled")
        finally:
            embedder.close()

    yield embed
    bedrock.faults = Faults()
    bedrock.denied = set()
    bedrock.tells_time = True
    bedrock.control("/_settings", {"clock_offset_s": 0.0})


class Provocations:
    """One method an error; each ends with the error."""

    def __init__(self, ask: Ask, service: BedrockStandIn, patch: pytest.MonkeyPatch, directory: Path) -> None:
        self._ask = ask
        self._service = service
        self._patch = patch
        self._directory = directory

    def no_credentials(self) -> None:
        self._patch.delenv("AWS_ACCESS_KEY_ID")
        self._ask()

    def no_region(self) -> None:
        clear_environment(self._patch)
        self._ask()

    def no_profile(self) -> None:
        self._patch.setenv("AWS_PROFILE", "nobody")
        self._ask()

    def unknown_region(self) -> None:
        clear_environment(self._patch)
        self._ask(region="us-east1")

    def expired(self) -> None:
        self._service.faults = Faults({"expired_token": 1.0})
        self._ask()

    def wrong_secret(self) -> None:
        self._patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        self._ask()

    def refused_api_key(self) -> None:
        with BedrockStandIn(tls=True) as service:
            service.set_environment(self._patch)
            self._patch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-of-nobody")
            self._ask()

    def api_key_in_the_clear(self) -> None:
        self._patch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-of-nobody")
        self._ask()

    def denied(self) -> None:
        self._service.denied = {V2}
        self._ask()

    def unknown_model(self) -> None:
        self._ask("bedrock:amazon.titan-embed-text-v9")

    def other_region(self) -> None:
        self._ask(region="eu-west-1")

    def wrong_clock(self) -> None:
        self._service.tells_time = False
        self._service.control("/_settings", {"clock_offset_s": 3600.0})
        self._ask()

    def distrusted(self) -> None:
        with BedrockStandIn(tls=True) as service:
            self._ask(endpoint_url=service.endpoint)

    def proxy_wants_password(self) -> None:
        with ProxyStandIn(credentials=("ada", "lovelace")) as proxy:
            self._ask(endpoint_url="https://bedrock.test", proxy=f"http://127.0.0.1:{proxy.port}")

    def proxy_forbids(self) -> None:
        with ProxyStandIn(failure="forbidden") as proxy:
            self._ask(endpoint_url="https://bedrock.test", proxy=proxy.url)

    def no_proxy(self) -> None:
        self._ask(endpoint_url="https://bedrock.test", proxy="http://127.0.0.1:1")

    def out_of_time(self) -> None:
        self._service.faults = Faults({"unavailable": 1.0})
        self._ask(timeout_s=0.2)

    def not_asked_for_a_while(self) -> None:
        self._patch.setattr("flyweight.embed.circuit_breaker.FIRST_PAUSE_S", 1e6)
        embedder = QueryEmbedder(EmbedderSettings.parse("titan", {"endpoint_url": "http://127.0.0.1:1"}), 0, 60.0)
        for _ in range(2):
            with pytest.raises(EmbedderUnreachableError, match="Connection refused"):
                embedder.embed("one")
        embedder.embed("one")

    def another_embedder(self) -> None:
        files = [MadeFile("backoff.py", ["def wait(): pass"])]
        index = write_index(
            self._directory / "index", files, root=self._directory, embedder="minilm-0/1", dimensions=64
        )
        with SemanticSearchEngine(SearchConfig(index, embedder="titan")) as engine:
            engine.search("backoff")


PROVOCATIONS = [name for name in vars(Provocations) if not name.startswith("_")]


def test_each_listed_error_is_provoked() -> None:
    assert len(PROVOCATIONS) == len(ERRORS)


@pytest.mark.parametrize(("provocation", "listed"), list(zip(PROVOCATIONS, ERRORS, strict=False)))
def test_an_error_says_what_the_page_lists(
    provocation: str,
    listed: str,
    ask: Ask,
    bedrock: BedrockStandIn,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with pytest.raises(FlyweightError) as raised:
        getattr(Provocations(ask, bedrock, monkeypatch, tmp_path), provocation)()
    assert says(str(raised.value), listed), str(raised.value)

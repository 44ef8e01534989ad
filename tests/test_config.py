from __future__ import annotations

import math
from pathlib import Path

import pytest

from flyweight import FlyweightError, SearchConfig, SearchFilters
from flyweight.config import MAX_CACHE_ENTRIES, MAX_LIMIT, MIN_MEMORY_BUDGET, checked_limit
from flyweight.errors import ConfigError


def test_every_setting_has_a_default() -> None:
    config = SearchConfig()
    assert (config.index_path, config.cache_size, config.cache_ttl, config.batch_size) == (".flyweight", 50, 30.0, 32)
    assert (config.max_results, config.min_score, config.max_embedding_dim) == (10, 0.0, 256)
    assert config.memory_budget == 64 * 1024 * 1024
    assert (config.embedder, config.store, config.when_unreachable) == ("static", None, "lexical")
    assert (config.query_timeout_s, config.store_idle_s, config.in_process) == (5.0, 60.0, False)
    assert (config.embedding_cache, config.max_requests, config.max_tokens) == (None, None, None)


def test_settings_are_kept_and_shown(tmp_path: Path) -> None:
    config = SearchConfig(index_path=tmp_path, cache_size=0, cache_ttl=0, max_results=3, min_score=0.5)
    assert (config.index_path, config.cache_ttl, config.min_score) == (str(tmp_path), 0.0, 0.5)
    assert "max_results=3" in repr(config)


def test_a_setting_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError):
        SearchConfig(cachesize=3)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        SearchConfig().cachesize = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("index_path", value) for value in ("", "a\0b", None, 3, b"bytes", [])),
        *(("cache_size", value) for value in (-1, MAX_CACHE_ENTRIES + 1, 1.5, "5", True, None)),
        *(("cache_ttl", value) for value in (-1, math.nan, math.inf, "5", None, False)),
        *(("batch_size", value) for value in (0, -1, 5000, 2.0, None)),
        *(("max_results", value) for value in (0, -1, MAX_LIMIT + 1, "10", 3.0)),
        *(("min_score", value) for value in (-0.1, math.nan, math.inf, "0.5", None)),
        *(("max_embedding_dim", value) for value in (0, -64, 63, 100, 257, 512, 64.0, "64", True)),
        *(("memory_budget", value) for value in (0, -1, MIN_MEMORY_BUDGET - 1, 1e9, "64M")),
        *(("query_timeout_s", value) for value in (0, -1, 3601, math.nan, math.inf, "5", None, True)),
        *(("store_idle_s", value) for value in (0, -1, 3601, "60", None)),
        *(("when_unreachable", value) for value in ("", "degrade", None, 3)),
        *(("in_process", value) for value in (0, "yes", None)),
        *(("embedding_cache", value) for value in ("", "a\0b", 3, b"bytes")),
        *(("max_requests", value) for value in (0, -1, 1.5, "9", True)),
        *(("max_tokens", value) for value in (0, -1, 1.5, "9", True)),
        *(("embedder", value) for value in ("", "tytan", "titan:", "openai:", "openai:no-url#m", 3)),
        *(("embedder_options", value) for value in (3, "region", [1], {3: "x"})),
        *(("store", value) for value in ("", "segment", "lancedb", "sqlite:x", 3)),
        *(("store_options", value) for value in (3, "table", {3: "x"})),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        SearchConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [64, 128, 256])
def test_vectors_may_have_64_128_or_256_dimensions(value: int) -> None:
    assert SearchConfig(max_embedding_dim=value).max_embedding_dim == value


@pytest.mark.parametrize(
    ("embedder", "most", "dimensions"),
    [("titan", None, 1024), ("titan", 800, 512), ("titan:v1", None, 1536), ("openai:http://h:1#m", 768, 768)],
)
def test_a_remote_embedder_makes_as_many_dimensions_as_it_may(embedder: str, most: int | None, dimensions: int) -> None:
    settings = SearchConfig(embedder=embedder, max_embedding_dim=most).embedder_settings
    assert settings is not None and settings.dimensions == dimensions


@pytest.mark.parametrize(
    ("embedder", "most", "options"),
    [
        ("titan:v1", 1024, {}),
        ("titan", 100, {}),
        ("openai:http://h:1#m", 100, {}),
        ("titan", 512, {"dimensions": 1024}),
    ],
)
def test_dimensions_that_an_embedder_cannot_make_are_refused(
    embedder: str, most: int, options: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match="dimensions"):
        SearchConfig(embedder=embedder, max_embedding_dim=most, embedder_options=options)


def test_options_of_the_embedder_are_checked_by_name() -> None:
    with pytest.raises(ConfigError, match="regoin"):
        SearchConfig(embedder="titan", embedder_options={"regoin": "us-east-1"})
    with pytest.raises(ConfigError, match="region"):
        SearchConfig(embedder_options={"region": "us-east-1"})
    assert SearchConfig(embedder_options={"dimensions": 128}).max_embedding_dim == 128


def test_a_store_in_a_directory_stays_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert SearchConfig(store="lancedb:here").store == f"lancedb:{tmp_path}/here"


def test_options_of_the_store_are_checked_by_name() -> None:
    with pytest.raises(ConfigError, match="tabel"):
        SearchConfig(store="lancedb:x", store_options={"tabel": "code"})
    with pytest.raises(ConfigError, match="segments"):
        SearchConfig(store="segments", store_options={"table": "code"})


def test_a_config_as_text_shows_no_secret() -> None:
    config = SearchConfig(
        embedder="openai:http://h:1#m",
        embedder_options={"api_key": "sk-1", "proxy": "http://user:pass-2@proxy:1", "ca_bundle": "/ca.pem"},
        store="lancedb:s3://bucket/code",
        store_options={"aws_secret_access_key": "secret-3", "region": "eu-central-1"},
    )
    for text in (repr(config), repr(config.embedder_settings), repr(config.store_location)):
        assert not any(secret in text for secret in ("sk-1", "pass-2", "secret-3"))
    assert "/ca.pem" in repr(config) and "eu-central-1" in repr(config)
    unknown = SearchConfig(
        embedder=None, embedder_options={"api_key": "sk-1"}, store_options={"aws_session_token": "t-4"}
    )
    assert "sk-1" not in repr(unknown) and "t-4" not in repr(unknown)


@pytest.mark.parametrize("limit", [0, -1, -(2**40), MAX_LIMIT + 1, 2**70, 1.0, "3", True])
def test_a_limit_that_is_no_positive_number_is_refused(limit: object) -> None:
    with pytest.raises(ConfigError, match="limit"):
        checked_limit(limit, 10)  # type: ignore[arg-type]


def test_no_limit_is_the_default() -> None:
    assert checked_limit(None, 7) == 7
    assert checked_limit(1, 7) == 1


@pytest.mark.parametrize(
    ("given", "filed"),
    [
        ("python", ["python"]),
        ("Python", ["python"]),
        ("py", ["python"]),
        (" C++ ", ["cpp"]),
        ("C#", ["csharp"]),
        ("ts", ["typescript"]),
        (["c", "cpp"], ["c", "cpp"]),
        (("js", "tsx"), ["javascript", "tsx"]),
        ([], []),
        (None, []),
        ("golang", ["go"]),
    ],
)
def test_languages_are_understood_by_name_and_alias(given: object, filed: list[str]) -> None:
    assert SearchFilters(language=given).languages == filed  # type: ignore[arg-type]


@pytest.mark.parametrize("language", ["klingon", "", "py thon", "python\0", "\udcff", "x" * 100_000])
def test_an_unknown_language_is_refused_by_name(language: str) -> None:
    with pytest.raises(ConfigError, match="unknown language"):
        SearchFilters(language=language)


@pytest.mark.parametrize("field", ["paths", "exclude"])
@pytest.mark.parametrize("glob", ["", "[a", "a\\", "a\0b", "x" * 2000, "[!]"])
def test_a_bad_glob_is_refused_by_name(field: str, glob: str) -> None:
    with pytest.raises(ConfigError, match="pattern"):
        SearchFilters(**{field: [glob]})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="pattern"):
        SearchFilters(**{field: glob})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["language", "paths", "exclude"])
@pytest.mark.parametrize("value", [3, [3], [None], [b"bytes"], b"bytes", [["nested"]], 1.5, object()])
def test_filters_of_the_wrong_type_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        SearchFilters(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "0.5", True])
def test_a_least_score_that_makes_no_sense_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="min_score"):
        SearchFilters(min_score=value)  # type: ignore[arg-type]


def test_one_pattern_or_several_may_be_given() -> None:
    assert SearchFilters(paths="src/**").paths == ["src/**"]
    assert SearchFilters(paths=("a", "b"), exclude=iter(["c"])).exclude == ["c"]


def test_a_generous_number_of_patterns_is_accepted() -> None:
    assert len(SearchFilters(exclude=[f"dir{number}/**" for number in range(1000)]).exclude) == 1000


def test_every_refusal_is_a_flyweight_error() -> None:
    assert issubclass(ConfigError, FlyweightError)

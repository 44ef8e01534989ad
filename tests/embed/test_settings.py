from __future__ import annotations

import pytest

from flyweight.embed.settings import TITAN_V1, TITAN_V2, EmbedderSettings
from flyweight.errors import ConfigError

LOCAL = "openai:http://localhost:11434/v1#nomic-embed-text"
ARN = "arn:aws:bedrock:eu-west-1:123456789012:provisioned-model/abcdefghijkl"


def parse(spec: str, max_dimensions: int | None = None, **options: object) -> EmbedderSettings:
    return EmbedderSettings.parse(spec, options, max_dimensions)


@pytest.mark.parametrize(
    ("spec", "service", "model", "dimensions", "canonical"),
    [
        ("static", "static", "", 256, "static"),
        ("titan", "bedrock", TITAN_V2, 1024, f"bedrock:{TITAN_V2}"),
        ("titan:v2", "bedrock", TITAN_V2, 1024, f"bedrock:{TITAN_V2}"),
        ("titan:v1", "bedrock", TITAN_V1, 1536, f"bedrock:{TITAN_V1}"),
        (f"titan:{TITAN_V2}", "bedrock", TITAN_V2, 1024, f"bedrock:{TITAN_V2}"),
        (f"bedrock:{ARN}", "bedrock", ARN, 0, f"bedrock:{ARN}"),
        (LOCAL, "openai", "nomic-embed-text", 0, LOCAL),
        ("openai:http://localhost:11434#m", "openai", "m", 0, "openai:http://localhost:11434/v1#m"),
        ("openai:https://Host/api/#org/m:tag", "openai", "org/m:tag", 0, "openai:https://host/api#org/m:tag"),
    ],
)
def test_a_spec_names_service_and_model(spec: str, service: str, model: str, dimensions: int, canonical: str) -> None:
    found = parse(spec)
    assert (found.service, found.model, found.dimensions, found.spec) == (service, model, dimensions, canonical)
    assert found.is_remote == (service != "static")
    assert parse(found.spec).spec == found.spec


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "titan:",
        "Titan",
        "bedrock:",
        "bedrock:a b",
        "bedrock:a;b",
        "bedrock:a\nb",
        "static:v2",
        "other:model",
        "openai:",
        "openai:http://h",
        "openai:http://h#",
        "openai:h#m",
        "openai:http://h#a;b",
        "openai:http://h/?a#m",
    ],
)
def test_what_names_no_embedder_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError):
        parse(spec)


@pytest.mark.parametrize("spec", ["openai:http://me:secret@host/v1#m", "titan://me:secret@host", "x:me:secret@h"])
def test_a_password_in_a_spec_is_refused_and_not_quoted(spec: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(spec)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "most", "dimensions"),
    [
        ("titan", None, 1024),
        ("titan", 4096, 1024),
        ("titan", 1023, 512),
        ("titan", 512, 512),
        ("titan", 300, 256),
        ("titan:v1", 2000, 1536),
        ("static", 100, 64),
        (LOCAL, 768, 768),
    ],
)
def test_as_many_dimensions_as_are_allowed(spec: str, most: int | None, dimensions: int) -> None:
    assert parse(spec, most).dimensions == dimensions


@pytest.mark.parametrize(
    ("spec", "most", "options"),
    [
        ("titan", 255, {}),
        ("titan:v1", 1024, {}),
        ("titan", None, {"dimensions": 768}),
        ("titan", 512, {"dimensions": 1024}),
        ("static", None, {"dimensions": 100}),
        (LOCAL, None, {"dimensions": 100}),
        (LOCAL, None, {"dimensions": 8192}),
        (LOCAL, None, {"dimensions": 0}),
        (LOCAL, 0, {}),
        (LOCAL, True, {}),
    ],
)
def test_dimensions_that_cannot_be_had_are_refused(spec: str, most: int | None, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"dim"):
        parse(spec, most, **options)


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("titan", {"regoin": "us-east-1"}),
        ("titan", {"api_key": "k"}),
        (LOCAL, {"region": "us-east-1"}),
        ("static", {"region": "us-east-1"}),
    ],
)
def test_an_unknown_option_is_refused_with_the_known_ones(spec: str, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"the known ones are .*dimensions"):
        parse(spec, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"region": "us east"},
        {"region": "us-east-1.evil.example/"},
        {"region": 1},
        {"profile": ""},
        {"profile": "a\nb"},
        {"endpoint_url": "vpce.example"},
        {"endpoint_url": "https://me:secret@vpce.example"},
        {"endpoint_url": "https://me:secret@vpce.example\n"},
        {"proxy": "proxy:3128"},
        {"ca_bundle": 3},
        {"fips": "maybe"},
        {"normalize": 2},
        {"embedding_type": "int8"},
        {"timeout_s": 0},
        {"timeout_s": "nan"},
        {"timeout_s": float("inf")},
        {"timeout_s": -1},
        {"max_in_flight": 1.5},
        {"max_in_flight": True},
        {"max_requests_per_s": "many"},
        {"price_per_million_tokens": -0.1},
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))) as raised:
        parse("titan", **options)
    assert "secret" not in str(raised.value)


def test_options_may_be_the_text_of_a_command_line() -> None:
    found = parse(
        "titan",
        dimensions="512",
        normalize="false",
        fips="TRUE",
        timeout_s="2.5",
        max_in_flight="8",
        price_per_million_tokens="0",
        region=None,
    )
    assert (found.dimensions, found.normalize, found.fips) == (512, False, True)
    assert (found.timeout_s, found.max_in_flight, found.price_per_million_tokens) == (2.5, 8, 0.0)
    assert found.region is None


@pytest.mark.parametrize("options", [{"normalize": True}, {"embedding_type": "binary"}])
def test_version_one_has_no_forms(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="titan:v2"):
        parse("titan:v1", **options)


REMOTE = [
    parse("titan"),
    parse("titan:v1", region="us-west-2", profile="work"),
    parse("titan", 512, normalize=False, embedding_type="binary"),
    parse(f"bedrock:{ARN}", dimensions=512),
    parse(LOCAL, api_key="sk-1", proxy="http://me:pw@proxy:3128"),
    parse(LOCAL, 768),
    parse(LOCAL).with_dimensions(384),
]


@pytest.mark.parametrize("settings", [parse("static", 128), *REMOTE], ids=str)
def test_a_child_process_gets_the_same_from_text(settings: EmbedderSettings) -> None:
    fields = settings.fields()
    assert all(isinstance(value, str) for value in fields.values())
    found = EmbedderSettings.from_fields(fields)
    for name in EmbedderSettings.__slots__:
        if name != "options":
            assert getattr(found, name) == getattr(settings, name), name
    assert (found.spec, found.fields()) == (settings.spec, fields)


@pytest.mark.parametrize("settings", REMOTE, ids=str)
def test_an_index_remembers_what_its_queries_must_be_embedded_with(settings: EmbedderSettings) -> None:
    given = {"endpoint_url": "http://moved.example/v1"} if settings.service == "openai" else {}
    dimensions = settings.dimensions or 512
    found = EmbedderSettings.of_index(settings.name, dimensions, given)
    for name in ("service", "model", "normalize", "embedding_type", "name", "asks_for_dimensions"):
        assert getattr(found, name) == getattr(settings, name), name
    assert found.dimensions == dimensions
    assert settings.matches(settings.name, dimensions)
    assert found.matches(settings.name, dimensions)
    assert not found.matches(settings.name, dimensions - 8)


def test_embedders_whose_vectors_differ_have_different_names() -> None:
    specs = [
        parse("titan"),
        parse("titan:v1"),
        parse("titan", normalize=False),
        parse("titan", embedding_type="binary"),
    ]
    specs += [parse(LOCAL), parse("openai:http://localhost#other"), parse(LOCAL, dimensions=512), parse("bedrock:m")]
    names = [settings.name for settings in specs]
    assert len(set(names)) == len(names)
    assert parse("titan").matches(parse("titan").name, 1024)
    assert not parse("titan").matches(parse("titan:v1").name, 1024)


def test_a_service_that_moved_is_the_same_embedder() -> None:
    assert parse("openai:http://one.example/v1#m").name == parse("openai:https://two.example/api#m").name


def test_the_option_for_the_place_goes_before_that_in_the_spec() -> None:
    assert parse(LOCAL, endpoint_url="http://host:8080").spec == "openai:http://host:8080/v1#nomic-embed-text"


def test_an_index_of_a_service_says_how_to_name_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL"):
        EmbedderSettings.of_index("openai:m", 768, {})
    monkeypatch.setenv("OPENAI_BASE_URL", "http://host:8080/v1/")
    assert EmbedderSettings.of_index("openai:m", 768, {}).spec == "openai:http://host:8080/v1#m"


def test_the_static_embedder_is_that_of_an_index_without_a_service() -> None:
    settings = parse("static")
    found = EmbedderSettings.of_index(settings.name, 64)
    assert found.service == "static"
    assert found.matches(settings.name, 64)
    assert not parse("static", 64).matches(settings.name, 256)
    assert not found.matches("some other table", 64)


def test_secrets_are_not_shown() -> None:
    settings = parse(LOCAL, api_key="sk-very-secret", proxy="http://me:password@proxy:3128")
    assert "sk-very-secret" not in repr(settings)
    assert "password" not in repr(settings)
    assert "secret" not in settings.spec + settings.name
    assert settings.public_options == {}
    with pytest.raises(ConfigError) as raised:
        parse(LOCAL, api_key="sk-very-secret\n")
    assert "secret" not in str(raised.value)

"""Which embedder a user asked for, checked when it is named. Resident: loads no part of the embedder itself.

static                                  the table of token vectors that ships with the package
titan, titan:v1, titan:v2               Amazon Titan on Bedrock; "titan" is v2
titan:<model id>, bedrock:<model id>    another Bedrock model, or an ARN, that takes the same requests
openai:<base-url>#<model>               the OpenAI-compatible call; a URL without a path stands for .../v1
"""

from __future__ import annotations

from flyweight.embed.option_values import (
    SECRET_OPTIONS,
    choice_option,
    count_option,
    flag_option,
    name_option,
    number_option,
    path_option,
    text_option,
    url_option,
)
from flyweight.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TITAN_V1 = "amazon.titan-embed-text-v1"
TITAN_V2 = "amazon.titan-embed-text-v2:0"
STATIC_DIMENSIONS = (256, 128, 64)
TITAN_V1_DIMENSIONS = 1536
TITAN_V2_DIMENSIONS = (1024, 512, 256)
# Sketches and scans work on whole bytes of bits, and count them in 16 bits.
MAX_DIMENSIONS = 4096
DIMENSION_STEP = 8
MAX_REQUEST_S = 3600.0
DEFAULT_REQUEST_S = 30.0

_EVERY_REMOTE = (
    "ca_bundle",
    "dimensions",
    "endpoint_url",
    "max_in_flight",
    "max_requests_per_s",
    "price_per_million_tokens",
    "proxy",
    "timeout_s",
)
_KNOWN_OPTIONS = {
    "static": ("dimensions",),
    "bedrock": (*_EVERY_REMOTE, "dualstack", "embedding_type", "fips", "normalize", "profile", "region"),
    "openai": (*_EVERY_REMOTE, "api_key"),
}
_MODEL_NAMES = {"v1": TITAN_V1, "v2": TITAN_V2}
_WAY_OUT = (
    'the embedders are "static", "titan", "titan:v1", "titan:v2", "bedrock:<model id>" and "openai:<base-url>#<model>"'
)


class EmbedderSettings:
    """One embedder: which service, which model, how many dimensions, and how to reach it.

    service: "static", "bedrock" or "openai"; model: the service's name of it, "" for static.
    base_url: where an OpenAI-compatible service lies, else None.
    dimensions: 0 until the service has been asked (flyweight.embed.remote.with_known_dimensions).
    normalize: None unless it was given; embedding_type: "float" or "binary".
    spec: canonical, without secrets; options: as given, which may hold secrets: see public_options.

    Options, None where they were not given:
    region, profile: of AWS. endpoint_url: another place for the service. ca_bundle: certificates to trust in place of
    the system's. proxy: not the environment's. fips, dualstack: endpoints of AWS. timeout_s: of one request, 30.
    max_in_flight, max_requests_per_s: bounds while indexing. price_per_million_tokens: US dollars, for estimates.
    api_key: of an OpenAI-compatible service, else OPENAI_API_KEY.
    """

    __slots__ = (
        "api_key",
        "base_url",
        "ca_bundle",
        "dimensions",
        "dualstack",
        "embedding_type",
        "endpoint_url",
        "fips",
        "max_in_flight",
        "max_requests_per_s",
        "model",
        "normalize",
        "options",
        "price_per_million_tokens",
        "profile",
        "proxy",
        "region",
        "service",
        "timeout_s",
    )

    def __init__(self, service: str, model: str, base_url: str | None, options: Mapping[str, object]) -> None:
        known = _KNOWN_OPTIONS[service]
        given = {name: value for name, value in options.items() if value is not None}
        for name in given:
            if name not in known:
                raise ConfigError(
                    f"unknown option {name!r} of the {service} embedder; the known ones are {', '.join(sorted(known))}"
                )
        self.service = service
        self.model = model
        self.base_url = base_url
        self.options = given
        self.dimensions = 0
        self.region = name_option(given, "region")
        self.profile = text_option(given, "profile")
        self.endpoint_url = url_option(given, "endpoint_url")
        self.ca_bundle = path_option(given, "ca_bundle")
        self.proxy = url_option(given, "proxy", userinfo=True)
        self.fips = flag_option(given, "fips")
        self.dualstack = flag_option(given, "dualstack")
        self.normalize = flag_option(given, "normalize")
        self.embedding_type = choice_option(given, "embedding_type", ("float", "binary"))
        self.timeout_s = number_option(given, "timeout_s", MAX_REQUEST_S) or DEFAULT_REQUEST_S
        self.max_in_flight = count_option(given, "max_in_flight", 1024)
        self.max_requests_per_s = number_option(given, "max_requests_per_s", 1e6)
        self.price_per_million_tokens = number_option(given, "price_per_million_tokens", 1e6, zero=True)
        self.api_key = text_option(given, "api_key")
        if model == TITAN_V1 and ("normalize" in given or self.embedding_type != "float"):
            raise ConfigError("titan v1 has neither normalize nor embedding_type: use titan:v2")

    @staticmethod
    def parse(
        spec: str, options: Mapping[str, object] | None = None, max_dimensions: int | None = None
    ) -> EmbedderSettings:
        """What `spec` and `options` stand for, with at most `max_dimensions` dimensions (None: the embedder's own).

        Options may be values or, as the command line gives them, text ("true", "512"). Raises ConfigError.
        """
        if not isinstance(spec, str):
            raise ConfigError(f"an embedder is named by text, not {spec!r}: {_WAY_OUT}")
        kind, colon, rest = spec.partition(":")
        if kind == "static" and not colon:
            settings = EmbedderSettings("static", "", None, options or {})
        elif kind == "titan" and (rest or not colon):
            model = TITAN_V2 if not colon else _MODEL_NAMES.get(rest, rest)
            settings = EmbedderSettings("bedrock", _model_id(model), None, options or {})
        elif kind == "bedrock" and rest:
            settings = EmbedderSettings("bedrock", _model_id(rest), None, options or {})
        elif kind == "openai":
            url, _, model = rest.partition("#")
            settings = EmbedderSettings("openai", _openai_model(model), _base_url(url), options or {})
            if settings.endpoint_url is not None:
                settings.base_url = _base_url(settings.endpoint_url)
        else:
            raise ConfigError(f"unknown embedder {_shown(spec)}: {_WAY_OUT}")
        settings.dimensions = settings._chosen_dimensions(max_dimensions)
        return settings

    @staticmethod
    def of_index(embedder_name: str, dimensions: int, options: Mapping[str, object] | None = None) -> EmbedderSettings:
        """The embedder an index remembers. Raises ConfigError.

        An index does not say where an OpenAI-compatible service lies: the option endpoint_url or the environment
        variable OPENAI_BASE_URL does.
        """
        kind, colon, rest = embedder_name.partition(":")
        given = dict(options or {})
        model, *forms = rest.split(";")
        for option in ("dimensions", "embedding_type", "normalize"):
            given.pop(option, None)  # what the index says holds
        for form in forms:
            name, _, value = form.partition("=")
            given["embedding_type" if name == "type" else name] = value
        if not colon or kind not in ("bedrock", "openai"):
            settings = EmbedderSettings.parse("static", given, None)
        elif kind == "openai":
            import os

            url = given.get("endpoint_url") or os.environ.get("OPENAI_BASE_URL")
            if not url:
                raise ConfigError(
                    f"the index was made with {embedder_name} and does not say where that service lies: give the "
                    "embedder (openai:<base-url>#<model>), the option endpoint_url, or set OPENAI_BASE_URL"
                )
            settings = EmbedderSettings.parse(f"openai:{url}#{model}", given, None)
        else:
            settings = EmbedderSettings.parse(f"bedrock:{model}", given, None)
        if settings.is_remote:
            settings.dimensions = dimensions
        return settings

    @staticmethod
    def from_fields(fields: Mapping[str, str]) -> EmbedderSettings:
        """The inverse of `fields`."""
        options = {name[7:]: value for name, value in fields.items() if name.startswith("option.")}
        settings = EmbedderSettings.parse(fields["spec"], options)
        settings.dimensions = int(fields["dimensions"])
        return settings

    def fields(self) -> dict[str, str]:
        """All of it as text, for a child process, secrets included: a pipe may carry it, a command line may not."""
        given = {f"option.{name}": str(value) for name, value in self.options.items()}
        return {"spec": self.spec, "dimensions": str(self.dimensions), **given}

    def with_dimensions(self, dimensions: int) -> EmbedderSettings:
        """The same embedder once the service, or an index, has said how many dimensions it makes."""
        settings = EmbedderSettings(self.service, self.model, self.base_url, self.options)
        settings.dimensions = checked_dimensions(dimensions, self.spec)
        return settings

    @property
    def is_remote(self) -> bool:
        return self.service != "static"

    @property
    def spec(self) -> str:
        if self.service == "static":
            return "static"
        return f"bedrock:{self.model}" if self.base_url is None else f"openai:{self.base_url}#{self.model}"

    @property
    def name(self) -> str:
        """What an index remembers: vectors of embedders with the same name can be compared.

        A service that has moved to another host is the same embedder.
        """
        if self.service == "static":
            from flyweight.embed.static import StaticEmbedder

            return StaticEmbedder().name
        name = f"{self.service}:{self.model}"
        if self.normalize is False:
            name += ";normalize=false"
        if self.embedding_type != "float":
            name += f";type={self.embedding_type}"
        if self.asks_for_dimensions:
            name += f";dimensions={self.options['dimensions']}"
        return name

    @property
    def asks_for_dimensions(self) -> bool:
        """Whether a model whose own dimensions are not known here is asked for a number of them in each request."""
        return self.is_remote and self.model not in (TITAN_V1, TITAN_V2) and "dimensions" in self.options

    @property
    def public_options(self) -> dict[str, object]:
        """The options without secrets, as a file or a message may hold them."""
        return {name: value for name, value in self.options.items() if name not in SECRET_OPTIONS}

    def matches(self, name_in_index: str, dimensions: int) -> bool:
        """Whether queries embedded with this can be compared with an index's vectors.

        The static embedder serves an index of fewer dimensions than it was allowed.
        """
        if name_in_index != self.name:
            return False
        if self.service == "static":
            return dimensions <= self.dimensions
        return self.dimensions in (0, dimensions)

    def _chosen_dimensions(self, most: int | None) -> int:
        asked = count_option(self.options, "dimensions", 1 << 16)
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
            raise ConfigError(f"max_embedding_dim must be a positive whole number, not {most!r}")
        if asked is not None and most is not None and asked > most:
            raise ConfigError(f"dimensions={asked} are more than max_embedding_dim={most}: leave one of them out")
        if self.service == "static":
            return _one_of(STATIC_DIMENSIONS, asked, most, "the static embedder")
        if self.model == TITAN_V1:
            return _one_of((TITAN_V1_DIMENSIONS,), asked, most, "titan v1", " (titan:v2 makes 1024, 512 or 256)")
        if self.model == TITAN_V2:
            return _one_of(TITAN_V2_DIMENSIONS, asked, most, "titan v2")
        if asked is None and most is not None:
            asked = self.options["dimensions"] = most  # so that children, and queries to come, ask for the same
        return 0 if asked is None else checked_dimensions(asked, self.spec)

    def __repr__(self) -> str:
        shown = "".join(
            f", {name}={'***' if name in SECRET_OPTIONS else repr(value)}" for name, value in self.options.items()
        )
        return f"EmbedderSettings({self.spec!r}, dimensions={self.dimensions}{shown})"


def checked_dimensions(dimensions: int, spec: str) -> int:
    """`dimensions` if an index can hold such vectors; raises ConfigError."""
    if 0 < dimensions <= MAX_DIMENSIONS and dimensions % DIMENSION_STEP == 0:
        return dimensions
    raise ConfigError(
        f"{spec} with {dimensions} dimensions: an index holds vectors of up to {MAX_DIMENSIONS}, in steps of "
        f"{DIMENSION_STEP}; ask for others with the option dimensions, where the model can"
    )


def _one_of(offered: tuple[int, ...], asked: int | None, most: int | None, who: str, way_out: str = "") -> int:
    if asked is not None and asked not in offered:
        raise ConfigError(f"{who} makes {_listed(offered)} dimensions, not {asked}{way_out}")
    if asked is not None:
        return asked
    for dimensions in offered:
        if most is None or dimensions <= most:
            return dimensions
    raise ConfigError(f"{who} makes {_listed(offered)} dimensions, max_embedding_dim is {most}{way_out}")


def _listed(numbers: tuple[int, ...]) -> str:
    return " or ".join(str(number) for number in numbers)


def _model_id(model: str) -> str:
    if not model.isascii() or not model.replace("-", "").translate(_ID_MARKS).isalnum() or len(model) > 2048:
        raise ConfigError(
            f"{_shown(model)} is no Bedrock model id: such as {TITAN_V2}, or the ARN of a model or profile"
        )
    return model


_ID_MARKS = {ord(mark): None for mark in ".:/_"}


def _openai_model(model: str) -> str:
    if not model or not model.isprintable() or ";" in model or len(model) > 512:
        raise ConfigError(
            f"an OpenAI-compatible embedder is openai:<base-url>#<model>, and {model!r} is no model's name"
        )
    return model


def _base_url(text: str) -> str:
    from flyweight.aws.url import split_url

    url = split_url(text, "the base URL of an OpenAI-compatible embedder")
    return str(url) if url.path else f"{url}/v1"


def _shown(spec: str) -> str:
    """A spec as a message may show it: what stands before an @ may be a password."""
    _, at, tail = spec.rpartition("@")
    return repr(f"***@{tail}" if at else spec)

"""Amazon Titan Text Embeddings on Bedrock. Resident: requests are signed, or given an API key, and sent by our own
modules.

Wire format: Amazon Bedrock User Guide, "Amazon Titan Embeddings Text"; errors: Amazon Bedrock API Reference,
"InvokeModel".
"""

from __future__ import annotations

import time

from flyweight.aws import api_key, profiles
from flyweight.aws.api_key import ApiKey
from flyweight.aws.byte_stream import remaining_s
from flyweight.aws.clock import Clock, is_expired, is_time_refusal
from flyweight.aws.credentials import CredentialSource
from flyweight.aws.json_text import quoted
from flyweight.aws.signing import sign
from flyweight.aws.url import split_url
from flyweight.embed.pooled_embedder import PooledEmbedder
from flyweight.embed.remote import Answer, TemporarilyUnavailable, TextRefused, Throttled
from flyweight.embed.service_answer import (
    error_object,
    exchange,
    parsed_object,
    printable,
    refuse_by_status,
    retry_after_s,
)
from flyweight.embed.settings import TITAN_V1, TITAN_V2
from flyweight.embed.unit_vector import BadVector, checked_vector
from flyweight.errors import ConfigError, CredentialsError, EmbedderRefusedError, EmbedderUnreachableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.aws.credentials import Credentials
    from flyweight.aws.http_response import Response
    from flyweight.embed.settings import EmbedderSettings

    # What a request is let in with.
    Login = Credentials | ApiKey

# US dollars per million tokens, on demand, us-east-1 (aws.amazon.com/bedrock/pricing, 2025); option
# price_per_million_tokens for other prices.
_PRICES = {TITAN_V1: 0.10, TITAN_V2: 0.02}

_THROTTLED = (
    "ThrottlingException",
    "TooManyRequestsException",
    "ServiceQuotaExceededException",
    "ModelNotReadyException",
)
_PASSING = (
    "InternalFailure",
    "InternalServerException",
    "ModelErrorException",
    "ModelTimeoutException",
    "RequestTimeout",
    "ServiceUnavailable",
    "ServiceUnavailableException",
)
_OF_CREDENTIALS = (
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
)
# What a ValidationException says when no text would pass.
_OF_THE_MODEL = (
    "#/dimensions",
    "#/embeddingTypes",
    "#/normalize",
    "Operation not allowed",
    "extraneous key",
    "inference profile",
    "model ID",
    "model identifier",
    "on-demand throughput",
    "required key",
)


class TitanEmbedder(PooledEmbedder):
    """See flyweight.embed.remote.RemoteEmbedder.

    Raises ConfigError (no region, a bad endpoint), CredentialsError (files that cannot be read).
    """

    texts_per_request = 1

    def __init__(self, settings: EmbedderSettings) -> None:
        self._model = settings.model
        self._region = settings.region or _region_of_arn(settings.model) or profiles.region(None, settings.profile)
        endpoint = split_url(
            profiles.endpoint(
                "bedrock-runtime",
                self._region,
                settings.fips,
                settings.dualstack,
                settings.endpoint_url,
                settings.profile,
            ),
            "the endpoint of Bedrock",
        )
        self._host = endpoint.authority
        self._encrypted = endpoint.scheme == "https"
        self._path = f"{endpoint.path}/model/{_percent_encoded(settings.model)}/invoke"
        self._fields = _request_fields(settings)
        self._vector_type = settings.embedding_type
        ca_bundle = settings.ca_bundle or profiles.setting("ca_bundle", "AWS_CA_BUNDLE", settings.profile)
        self._clock = Clock()
        self._credentials = CredentialSource(
            settings.profile,
            self._region,
            clock=self._clock,
            ca_bundle=ca_bundle,
            proxy=settings.proxy,
            looked=(api_key.NOT_SET,),
        )
        super().__init__(settings, f"{endpoint.scheme}://{endpoint.authority}", ca_bundle)
        if self.price_per_million_tokens is None:
            self.price_per_million_tokens = _PRICES.get(settings.model)

    def request(self, texts: list[str], timeout_s: float) -> Answer:
        """One text, one exchange. Where the service refuses the credentials or the API key, or the time they were used
        at, a second follows with fresh ones. See flyweight.embed.remote.RemoteEmbedder."""
        (text,) = texts
        deadline = time.monotonic() + timeout_s
        body = f'{{"inputText":{quoted(text)}{self._fields}}}'.encode()
        renewed = corrected = False
        while True:
            login = self._login(deadline)
            signed_at_s = self._clock.now_s()
            response = self._invoke(body, login, signed_at_s, deadline - time.monotonic())
            if response.status == 200:
                return self._answer(response, text)
            kind, message = _fault(response, login)
            with_key = isinstance(login, ApiKey)
            if not with_key and is_time_refusal(kind, message):
                date = response.headers.get("date")
                if corrected or not self._clock.correct(signed_at_s, date):
                    raise self._clock.refusal(signed_at_s, date)
                corrected = True
            elif kind in _OF_CREDENTIALS and "valid region" in message:
                raise EmbedderRefusedError(
                    f"Bedrock at {self._host} is not in {self._region}: {message}: the option region, or AWS_REGION, "
                    "must name the region of the endpoint"
                )
            elif (
                kind in _OF_CREDENTIALS
                or is_expired(kind, message)
                or (with_key and api_key.is_about_the_key(response.status, message))
            ):
                self._replace(login, f"{kind}: {message}", deadline, again=renewed)
                renewed = True
            else:
                self._refuse(response, kind, message, login)

    def _replace(self, refused: Login, why: str, deadline: float, again: bool) -> None:
        """Sees to it that the next `_login` is another. again: it is the second that the service refuses.

        Raises CredentialsError, TemporarilyUnavailable.
        """
        with_key = isinstance(refused, ApiKey)
        whose = f"API key in {api_key.VARIABLE}" if with_key else "credentials"
        what = f"Bedrock in {self._region} does not accept the {whose}: {why}"
        if again:
            way_out = "renew them (aws sso login, or new keys), or choose others by AWS_PROFILE or the option profile"
            raise CredentialsError(f"{what}: {api_key.WAY_OUT if with_key else way_out}")
        try:
            self._login(deadline, refused=refused)
        except CredentialsError as error:
            raise CredentialsError(f"{what}; {error}") from None

    def _login(self, deadline: float, refused: Login | None = None) -> Login:
        """Raises CredentialsError where the place that what is `refused` came from still gives the same."""
        key = ApiKey.of_environment()
        if key is not None:
            if isinstance(refused, ApiKey) and refused.secret == key.secret:
                raise CredentialsError(api_key.WAY_OUT)
            return key
        try:
            left = remaining_s(deadline)
            if refused is None or isinstance(refused, ApiKey):
                return self._credentials.get(left)
            return self._credentials.renew(refused, left)
        except (EmbedderUnreachableError, TimeoutError) as error:
            raise TemporarilyUnavailable(f"no credentials for Bedrock in time: {error}") from None

    def _invoke(self, body: bytes, login: Login, now_s: float, timeout_s: float) -> Response:
        headers = {"Host": self._host, "Content-Type": "application/json", "Accept": "application/json"}
        if isinstance(login, ApiKey):
            if not self._encrypted:
                raise ConfigError(
                    f"a request to http://{self._host} would show the API key in {api_key.VARIABLE} to all on the way: "
                    f"give an endpoint_url that begins with https://, or unset {api_key.VARIABLE}: signed requests "
                    "hold no secret"
                )
            headers |= login.headers()
        else:
            headers |= sign("POST", self._path, "", headers, body, login, self._region, "bedrock", now_s)
        return exchange(self._pool, self._path, headers, body, max(timeout_s, 0.0))

    def _answer(self, response: Response, text: str) -> Answer:
        who = f"Bedrock in {self._region}"
        content = parsed_object(response, who)
        by_type = content.get("embeddingsByType")
        values = by_type.get(self._vector_type) if isinstance(by_type, dict) else None
        if values is None and self._vector_type == "float":
            values = content.get("embedding")
        tokens = content.get("inputTextTokenCount")
        if type(tokens) is not int or tokens < 0:
            tokens = self.estimate_tokens(text)
        try:
            if self._vector_type == "binary":
                values = _signs(values)
            return Answer([checked_vector(values, self.dimensions)], tokens)
        except BadVector as fault:
            raise TemporarilyUnavailable(f"{who} sent what cannot be used: {fault}") from None

    def _refuse(self, response: Response, kind: str, message: str, login: Login) -> None:
        """Raises what an error of the service stands for."""
        who = f"Bedrock in {self._region}"
        what = f"{who}: {kind}: {message}"
        if kind in _THROTTLED:
            raise Throttled(what, retry_after_s(response))
        if kind in _PASSING:
            raise TemporarilyUnavailable(what)
        if kind == "AccessDeniedException":
            needed = "bedrock:InvokeModel"
            if isinstance(login, ApiKey):
                needed += f" and bedrock:CallWithBearerToken (for the owner of {api_key.VARIABLE})"
            raise EmbedderRefusedError(
                f"{who} denies access to {self._model}: {message}: allow {needed} for it, and have it enabled in that "
                "region (Bedrock console, Model access)"
            )
        if kind == "ResourceNotFoundException" or (kind == "ValidationException" and _is_about_the_model(message)):
            raise EmbedderRefusedError(
                f"{who} does not embed with {self._model}: {message}: 'aws bedrock list-foundation-models --region "
                f"{self._region} --by-output-modality EMBEDDING' lists the models of the region; the option region "
                "names another"
            )
        if kind == "ValidationException":
            raise TextRefused(message)
        way_out = f"check what stands between this machine and {self._host}, and endpoint_url"
        refuse_by_status(response, who, way_out, _secrets(login))


def _request_fields(settings: EmbedderSettings) -> str:
    """All of a request's JSON but its text. Version 1 takes nothing else; of other models only what was asked for is
    said, because those that do not know a field refuse it."""
    fields = ""
    if settings.model == TITAN_V2 or settings.asks_for_dimensions:
        fields += f',"dimensions":{settings.dimensions}'
    normalize = settings.normalize
    if normalize is None and settings.model == TITAN_V2:
        normalize = True
    if normalize is not None:
        fields += f',"normalize":{"true" if normalize else "false"}'
    # Floats come by themselves; asked for, they come twice.
    if settings.embedding_type != "float":
        fields += f',"embeddingTypes":["{settings.embedding_type}"]'
    return fields


def _signs(bits: object) -> object:
    """The corner of a cube that a binary embedding stands for, so that cosines order as Hamming distances do."""
    if not isinstance(bits, list):
        return bits
    if not all(type(bit) is int and bit in (0, 1) for bit in bits):
        raise BadVector("a binary embedding holds other numbers than 0 and 1")
    return [2 * bit - 1 for bit in bits]


def _fault(response: Response, login: Login) -> tuple[str, str]:
    """Name and message of a service's error; ("", ...) for what is none of its."""
    content = error_object(response)
    kind = response.headers.get("x-amzn-errortype") or content.get("__type") or content.get("code") or ""
    message = content.get("message") or content.get("Message") or ""
    # Of a signature it does not accept the service quotes all that was signed, the session token too.
    message = str(message).partition("\n")[0].removesuffix(".")
    message = printable(message, _secrets(login))
    bare = str(kind).rpartition("#")[2].partition(":")[0]
    return (bare if bare.isidentifier() else ""), message or f"status {response.status}"


def _secrets(login: Login) -> tuple[str, ...]:
    if isinstance(login, ApiKey):
        return (login.secret,)
    return (login.secret_key, login.token or "", login.access_key)


def _is_about_the_model(message: str) -> bool:
    return any(words in message for words in _OF_THE_MODEL)


def _region_of_arn(model: str) -> str | None:
    parts = model.split(":")
    return parts[3] or None if parts[0] == "arn" and len(parts) > 5 else None


def _percent_encoded(text: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-._~" else f"%{ord(sign):02X}" for sign in text)

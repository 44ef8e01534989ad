"""Where object storage is and who we are to it: LanceDB's storage options, from ours and from the credentials found.

Options that begin with aws_, azure_ or google_ pass through as they are. Without a key among them, credentials for S3
come from where the AWS tools look (`flyweight.aws.credentials`).
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.aws.credentials import Credentials, CredentialSource
    from flyweight.store.lancedb.location import StoreLocation

_OURS = ("region", "profile", "endpoint_url", "allow_http", "timeout_s")
_RENEW_AHEAD_S = 120.0
# LanceDB's own patience is three minutes for each request.
_RETRIES = "4"
_RETRY_S = "20"


class ObjectStorage:
    """The storage options of one location, and when they have to be asked for again."""

    def __init__(self, location: StoreLocation) -> None:
        self._location = location
        self._source: CredentialSource | None = None
        self._used: Credentials | None = None

    def options(self) -> dict[str, str]:
        """LanceDB's storage options; none for a local directory. Raises CredentialsError, ConfigError."""
        given = self._location.options
        if self._location.is_local:
            return {}
        options = {key: value for key, value in given.items() if key not in _OURS}
        options.setdefault("client_max_retries", _RETRIES)
        options.setdefault("client_retry_timeout", _RETRY_S)
        options.setdefault("timeout", f"{max(1, round(self._location.timeout_s * 1000))}ms")
        options.setdefault("connect_timeout", "5s")
        if self._location.uri.startswith("s3://"):
            self._add_s3(options)
        return options

    def expiring(self) -> bool:
        """Whether the credentials in the options last handed out are about to end, or have."""
        return self._used is not None and (self._used.expires_at_s or float("inf")) < time.time() + _RENEW_AHEAD_S

    def _add_s3(self, options: dict[str, str]) -> None:
        from flyweight.aws import profiles

        given = self._location.options
        profile = given.get("profile")
        if "aws_region" not in options:
            options["aws_region"] = profiles.region(given.get("region"), profile)
        endpoint = options.get("aws_endpoint") or given.get("endpoint_url") or _configured_endpoint(profile)
        if endpoint:
            options["aws_endpoint"] = endpoint
            # A service of one's own is reached by one host name, whatever the bucket.
            options.setdefault("aws_virtual_hosted_style_request", "false")
            if given.get("allow_http", "") == "true" or endpoint.startswith("http://"):
                options["allow_http"] = "true"
        if not any(key in options for key in ("aws_access_key_id", "aws_skip_signature")):
            self._add_credentials(options)

    def _add_credentials(self, options: dict[str, str]) -> None:
        from flyweight.aws.credentials import CredentialSource

        if self._source is None:
            self._source = CredentialSource(profile=self._location.options.get("profile"))
        self._used = self._source.get()
        options["aws_access_key_id"] = self._used.access_key
        options["aws_secret_access_key"] = self._used.secret_key
        if self._used.token:
            options["aws_session_token"] = self._used.token


def _configured_endpoint(profile_name: str | None) -> str | None:
    from flyweight.aws.profiles import Profile

    of_environment = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if of_environment:
        return of_environment
    profile = Profile(profile_name)
    return profile.service_endpoint("s3") or profile.text("endpoint_url")


def fault(location: StoreLocation, said: str) -> str | None:
    """What a message of LanceDB's storage layer comes to, in a sentence with a way out; None when it is not known."""
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return "no space is left on its device: what was committed stands; make room and run again"
    if "Permission denied" in said or "Read-only file system" in said:
        return "it may not be written to: look at the permissions of the directory"
    if location.is_local:
        return None
    bucket = location.uri.partition("://")[2].partition("/")[0]
    if "NoSuchBucket" in said or "ContainerNotFound" in said or "bucket does not exist" in said:
        return f"there is no bucket {bucket!r}: create it, or correct the URI"
    if "ExpiredToken" in said or "token has expired" in said:
        return "the credentials have expired: renew them and run again"
    refused = next((code for code in _REFUSALS if code in said), "403" if "status: 403" in said else "")
    if refused:
        return (
            f"access is refused ({refused}): check the credentials, and that they may read and write bucket {bucket!r}"
        )
    if any(code in said for code in _WRONG_REGION):
        return f"bucket {bucket!r} is in another region: name it with the store option region=…"
    if "kind: Connect" in said or "dns error" in said or "tcp connect error" in said:
        endpoint = location.options.get("endpoint_url") or location.options.get("aws_endpoint") or "the service"
        return f"{endpoint} cannot be reached: check the network, and the store option endpoint_url"
    if "TimedOut" in said or "timed out" in said:
        return "it does not answer in time: run again, or give it longer with the store option timeout_s"
    return None


_REFUSALS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "InvalidToken", "AllAccessDisabled")
_WRONG_REGION = ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraint", "status: 301")

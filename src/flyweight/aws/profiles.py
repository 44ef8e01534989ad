"""What the environment and the shared configuration files say: profile, region, endpoint. Resident.

Places and their order are those of the AWS command line, so that what works there works here.
"""

from __future__ import annotations

import os

from flyweight.aws.config_file import ConfigFile
from flyweight.aws.shell_words import split_words
from flyweight.errors import ConfigError, CredentialsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from flyweight.aws.config_file import Settings

_DEFAULT = "default"
_FIPS = ("use_fips_endpoint", "AWS_USE_FIPS_ENDPOINT")
_DUALSTACK = ("use_dualstack_endpoint", "AWS_USE_DUALSTACK_ENDPOINT")
_IGNORE_ENDPOINTS = ("ignore_configured_endpoint_urls", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")


class Profile:
    """One profile of the shared files.

    name: the one asked for, else that of AWS_DEFAULT_PROFILE or AWS_PROFILE, else "default".
    settings: of both files, the credentials file's first; sub-sections are dictionaries.
    credentials_file, config_file: the files; keys, config_keys: this profile's settings in each of them alone.
    """

    __slots__ = ("_services", "config_file", "config_keys", "credentials_file", "keys", "name", "settings")

    def __init__(self, name: str | None = None) -> None:
        """Raises CredentialsError for a file that cannot be understood, or a profile named that is in neither."""
        environment = os.environ
        asked = name or environment.get("AWS_DEFAULT_PROFILE") or environment.get("AWS_PROFILE")
        self.name = asked or _DEFAULT
        self.config_file = ConfigFile(environment.get("AWS_CONFIG_FILE", "~/.aws/config"))
        self.credentials_file = ConfigFile(environment.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"))
        self._services: dict[str, Settings] = {}
        profiles: dict[str, Settings] = {}
        for kind, section, settings in _sections(self.config_file):
            (profiles if kind == "profile" else self._services)[section] = settings
        of_config, of_credentials = profiles.get(self.name), self.credentials_file.sections.get(self.name)
        if asked and of_config is None and of_credentials is None:
            known = sorted({*profiles, *self.credentials_file.sections})
            raise CredentialsError(
                f"there is no profile {asked!r} in {self.config_file.path} nor in {self.credentials_file.path}: "
                + (f"the profiles are {', '.join(known)}" if known else "they hold no profiles")
            )
        self.config_keys: Settings = of_config or {}
        self.keys: Settings = of_credentials or {}
        self.settings: Settings = {**self.config_keys, **self.keys}
        for file in (self.config_file, self.credentials_file):
            file.sections = {}  # those of hundreds of other profiles

    def text(self, name: str) -> str | None:
        """A setting of the profile that is text; None where there is none."""
        value = self.settings.get(name)
        return value if isinstance(value, str) else None

    def endpoint_url(self, service: str) -> str | None:
        """The endpoint of one's own for a service such as "bedrock-runtime", from the environment or this profile.

        Raises ConfigError.
        """
        if _flag(None, _IGNORE_ENDPOINTS, self):
            return None
        variables = (f"AWS_ENDPOINT_URL_{service.replace('-', '_').upper()}", "AWS_ENDPOINT_URL")
        of_environment = next((os.environ[name] for name in variables if os.environ.get(name)), None)
        return of_environment or self.service_endpoint(service) or self.text("endpoint_url")

    def service_endpoint(self, service: str) -> str | None:
        """The endpoint_url of a service in the `services` section the profile names. Raises ConfigError."""
        section = self.text("services")
        if section is None:
            return None
        services = self._services.get(section)
        if not services:
            raise ConfigError(
                f"profile {self.name!r} names services = {section}; {self.config_file.path} has none such"
            )
        settings = services.get(service.replace("-", "_"))
        return settings.get("endpoint_url") if isinstance(settings, dict) else None


def setting(name: str, variable: str, profile: str | None = None) -> str | None:
    """A setting from the environment variable, else from the profile; None where neither has it."""
    return os.environ.get(variable) or Profile(profile).text(name) or None


def region(explicit: str | None = None, profile: str | None = None) -> str:
    """The region to use: the one given, AWS_REGION, AWS_DEFAULT_REGION, the profile's.

    Raises ConfigError when there is none.
    """
    found = explicit or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not found:
        settings = Profile(profile)
        found = settings.text("region")
        if not found:
            raise ConfigError(
                "no AWS region is set: neither in AWS_REGION and AWS_DEFAULT_REGION nor as region of profile "
                f"{settings.name!r} in {settings.config_file.path}: name one, such as us-east-1"
            )
    return found


def endpoint(
    service: str,
    region: str,
    fips: bool | None = None,
    dualstack: bool | None = None,
    override: str | None = None,
    profile: str | None = None,
) -> str:
    """The base URL of a service, such as "bedrock-runtime", without a trailing slash.

    override: an endpoint of one's own (a VPC endpoint, a proxy, a server for tests); else that of
    AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, the profile's `services` section or its endpoint_url. With one, the
    region is only signed. fips, dualstack: None leaves them to environment and profile.
    Raises ConfigError for a region that no part of AWS has, or FIPS or dual stack with an endpoint of one's own.
    """
    from flyweight.aws.partitions import checked_region, partition_of

    settings = Profile(profile)
    fips = _flag(fips, _FIPS, settings)
    dualstack = _flag(dualstack, _DUALSTACK, settings)
    url = override or settings.endpoint_url(service)
    if url:
        for wanted, what, setting_name in ((fips, "FIPS", _FIPS[1]), (dualstack, "dual stack", _DUALSTACK[1])):
            if wanted:
                raise ConfigError(
                    f"{what} and an endpoint of one's own ({url}) exclude each other: give the URL of the {what} "
                    f"endpoint itself and leave {setting_name} out"
                )
        checked_region(region, known=False)
        return url.rstrip("/")
    checked_region(region)
    partition = partition_of(region)
    suffix = partition.dualstack_suffix if dualstack else partition.suffix
    return f"https://{service}{'-fips' if fips else ''}.{region}.{suffix}"


def _flag(given: bool | None, names: tuple[str, str], settings: Profile) -> bool:
    if given is not None:
        return given
    name, variable = names
    value = os.environ.get(variable)
    return (value if value is not None else settings.text(name) or "").lower() == "true"


def _sections(file: ConfigFile) -> Iterator[tuple[str, str, Settings]]:
    """Kind, name and settings of the sections of a config file that stand for something here.

    `[default]` needs no `profile` before it; other names without one are no profiles.
    """
    for header, settings in file.sections.items():
        if header == _DEFAULT:
            yield "profile", header, settings
        for kind in ("profile", "services"):
            if header.startswith(kind):
                try:
                    words = split_words(header)
                except ValueError:
                    words = []
                if len(words) == 2:
                    yield kind, words[1], settings

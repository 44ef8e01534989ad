"""Where a LanceDB table is: `lancedb:<uri>` and its options, checked. Read by the resident: imports nothing."""

from __future__ import annotations

import os

from flyweight.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "lancedb:"
TABLE = "flyweight"
_TIMEOUT_S = 30.0
_SCHEMES = ("s3", "gs", "az")
# Ours, then those that LanceDB's object storage understands by prefix (docs/lancedb.md).
_OPTIONS = ("table", "region", "profile", "endpoint_url", "allow_http", "timeout_s")
_STORAGE_PREFIXES = ("aws_", "azure_", "google_", "storage_")
_SECRET_WORDS = ("secret", "token", "password", "account_key", "access_key", "sas", "service_account", "credential")


class StoreLocation:
    """A table and how to reach it.

    uri: absolute path of a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`.
    table: name of the table within.
    options: what was given, as text, without `table`; may hold secrets, which `repr` and `public_options` leave out.
    """

    __slots__ = ("options", "table", "uri")

    def __init__(self, uri: str, table: str, options: dict[str, str]) -> None:
        self.uri = uri
        self.table = table
        self.options = options

    @staticmethod
    def parse(spec: str, options: Mapping[str, object] | None = None) -> StoreLocation:
        """Raises ConfigError for what cannot work. Relative paths are of the current directory."""
        given = {key: _text(key, value) for key, value in (options or {}).items() if value is not None}
        for key in given:
            if key not in _OPTIONS and not key.startswith(_STORAGE_PREFIXES):
                raise ConfigError(
                    f"unknown store option {key!r}: LanceDB stores know {', '.join(_OPTIONS)} and the options of "
                    f"object storage that begin with {', '.join(_STORAGE_PREFIXES)}"
                )
        for key in ("endpoint_url", "aws_endpoint"):
            if "@" in given.get(key, ""):
                raise ConfigError(f"store option {key} holds credentials: give them in the environment or in a profile")
        timeout_s = given.get("timeout_s", "1")
        if not timeout_s.replace(".", "", 1).isdecimal() or not timeout_s.strip("0."):
            raise ConfigError(f"store option timeout_s is a number of seconds, not {timeout_s!r}")
        table = given.pop("table", TABLE)
        if not table or table.startswith(".") or not all((c.isalnum() and c.isascii()) or c in "_-." for c in table):
            raise ConfigError(f"a table's name is of letters, digits, '_', '-' and '.', not {table!r}")
        return StoreLocation(_uri(spec), table, given)

    @property
    def spec(self) -> str:
        return PREFIX + self.uri

    @property
    def is_local(self) -> bool:
        return "://" not in self.uri

    @property
    def table_directory(self) -> str:
        """Of a local table."""
        return os.path.join(self.uri, self.table + ".lance")

    @property
    def timeout_s(self) -> float:
        """How long a request to object storage may take, and a search as a whole."""
        return float(self.options.get("timeout_s", _TIMEOUT_S))

    def public_options(self) -> dict[str, str]:
        """The options that may be written down: no secrets. With `table` where it is not the default."""
        public = {key: value for key, value in self.options.items() if not is_secret(key)}
        if self.table != TABLE:
            public["table"] = self.table
        return public

    def fields(self) -> dict[str, str]:
        """All of it, secrets included, for a child process: only over a private pipe or socket."""
        return {**self.options, "table": self.table, "uri": self.uri}

    @staticmethod
    def from_fields(fields: Mapping[str, str]) -> StoreLocation:
        options = dict(fields)
        return StoreLocation(options.pop("uri"), options.pop("table"), options)

    def __repr__(self) -> str:
        return f"StoreLocation({self.spec!r}, table={self.table!r}, options={self.public_options()!r})"


def is_secret(option: str) -> bool:
    return any(word in option for word in _SECRET_WORDS)


def _text(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)) or "\0" in str(value):
        shown = "" if is_secret(key) else f", not {value!r}"
        raise ConfigError(f"store option {key} must be text or a number{shown}")
    return str(value)


def _uri(spec: str) -> str:
    uri = spec[len(PREFIX) :] if spec.startswith(PREFIX) else spec
    if not uri or "\0" in uri:
        raise ConfigError(f"a LanceDB store is lancedb:<directory> or lancedb:s3://bucket/prefix, not {spec!r}")
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return os.path.abspath(os.path.expanduser(uri))
    if scheme == "file":
        return os.path.abspath(rest)
    authority = rest.partition("/")[0]
    if "@" in authority:
        raise ConfigError(
            f"the store's URI {scheme}://… holds credentials: give them in the environment, in a profile or as store "
            "options"
        )
    if scheme not in _SCHEMES:
        raise ConfigError(
            f"LanceDB stores are directories or {', '.join(name + '://' for name in _SCHEMES)} locations, not {uri!r}"
        )
    if not authority:
        raise ConfigError(f"the store's URI {uri!r} names no bucket: {scheme}://bucket/prefix")
    return uri.rstrip("/")

"""The places AWS credentials may be in, looked at in the order of the AWS SDK for Python. Resident.

What needs no network is read here; roles, single sign-on, containers and instances are left to a helper process
(flyweight.aws.resolver), which is gone again before a request is made.
"""

from __future__ import annotations

import os
import sys

from flyweight.aws.clock import parse_timestamp
from flyweight.aws.credentials import Credentials
from flyweight.aws.profiles import Profile
from flyweight.errors import CredentialsError, EmbedderError, EmbedderUnreachableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flyweight.aws.config_file import ConfigFile

    # Credentials, a longer way to them, or why there are none.
    Answer = Credentials | Callable[[], Credentials] | str

HELPER_TIMEOUT_S = 60.0
_HELPER = "flyweight.aws.resolver"
_TOKENS = ("aws_security_token", "aws_session_token")
_OLD_FILES = ("/etc/boto.cfg", "~/.boto")
_WAY_OUT = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, run 'aws configure' or 'aws sso login', or name another profile"
)


class Places:
    """profile, region, ca_bundle, proxy, looked: as CredentialSource has them."""

    __slots__ = ("_ca_bundle", "_looked", "_profile_name", "_proxy", "_region")

    def __init__(
        self,
        profile: str | None,
        region: str | None,
        *,
        ca_bundle: str | None = None,
        proxy: str | None = None,
        looked: tuple[str, ...] = (),
    ) -> None:
        self._profile_name = profile or None
        self._region = region
        self._ca_bundle = ca_bundle
        self._proxy = proxy
        self._looked = looked

    def look(self) -> Credentials | Callable[[], Credentials]:
        """Credentials, or what to call for them, which may take a minute.

        Raises CredentialsError, as does what is to be called, with every place and why it did not do; the latter also
        EmbedderUnreachableError.
        """
        try:
            profile = Profile(self._profile_name)
        except CredentialsError as error:
            raise CredentialsError(f"no AWS credentials: {error}") from None
        search = _Search(self, profile)
        return search.go()

    def ask_helper(self) -> dict[str, object]:
        """What the helper process answers: the fields of credentials, or "Failure" and its "Kind"."""
        from flyweight.aws.child_process import run_command
        from flyweight.aws.json_text import NotJson, parse, quoted

        settings = {
            "profile": self._profile_name,
            "region": self._region or os.environ.get("AWS_REGION"),
            "ca_bundle": self._ca_bundle,
            "proxy": self._proxy,
            "timeout_s": str(HELPER_TIMEOUT_S),
        }
        fields = (f"{quoted(name)}:{'null' if value is None else quoted(value)}" for name, value in settings.items())
        try:
            # -P: the directory the user stands in may hold a module named like one of ours.
            output = run_command(
                [sys.executable, "-P", "-m", _HELPER], text=f"{{{','.join(fields)}}}", timeout_s=HELPER_TIMEOUT_S
            )
        except TimeoutError:
            return {"Kind": "unreachable", "Failure": f"no answer within {HELPER_TIMEOUT_S:g} s"}
        except OSError as error:
            return {"Kind": "failed", "Failure": f"cannot start the helper process: {error.strerror}"}
        try:
            answer = parse(output.stdout)
        except NotJson:
            answer = None
        if not isinstance(answer, dict):
            said = "".join(f": {line}" for line in output.stderr.splitlines()[-1:])
            return {"Kind": "failed", "Failure": f"the helper process ended with status {output.status}{said[:300]}"}
        return answer

    def __repr__(self) -> str:
        return f"profile={self._profile_name!r}, region={self._region!r}"


class _Search:
    """One look at all places; the answers so far become the list in the error."""

    def __init__(self, places: Places, profile: Profile) -> None:
        self._places = places
        self._profile = profile
        self._named = places._profile_name is not None
        self._looked = [*places._looked]

    def go(self) -> Credentials | Callable[[], Credentials]:
        for name, look in (
            ("environment", self._environment),
            ("role to assume", self._role),
            ("web identity", self._web_identity),
            ("single sign-on", self._single_sign_on),
            (f"credentials file {self._profile.credentials_file.path}", self._credentials_file),
            ("login session", self._login),
            ("credential_process", self._process),
            (f"config file {self._profile.config_file.path}", self._config_file),
            ("older files", self._old_files),
            ("container", self._container),
            ("instance metadata", self._instance),
        ):
            try:
                answer = look()
            except CredentialsError as error:
                raise self._failed(name, str(error)) from None
            if not isinstance(answer, str):
                return answer
            self._looked.append(f"{name}: {answer}")
        raise self._nothing()

    def _environment(self) -> Answer:
        if self._named:
            return "passed over, as a profile was named"
        access_key = os.environ.get("AWS_ACCESS_KEY_ID")
        if not access_key:
            return "AWS_ACCESS_KEY_ID is not set"
        secret_key = os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not secret_key:
            raise CredentialsError("AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not")
        expiration = os.environ.get("AWS_CREDENTIAL_EXPIRATION")
        expires_at_s = parse_timestamp(expiration) if expiration else None
        if expiration and expires_at_s is None:
            raise CredentialsError(
                f"AWS_CREDENTIAL_EXPIRATION is {expiration!r}, not a time such as 2026-01-31T23:59:59Z"
            )
        token = os.environ.get("AWS_SECURITY_TOKEN") or os.environ.get("AWS_SESSION_TOKEN")
        return Credentials(access_key, secret_key, token, expires_at_s, "the environment")

    def _role(self) -> Answer:
        settings = self._profile.settings
        if "role_arn" in settings and "web_identity_token_file" not in settings:
            return self._by_helper("role to assume")
        return self._not_in_profile("role_arn")

    def _web_identity(self) -> Answer:
        variable = None if self._named else os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
        if variable or (variable is None and self._profile.settings.get("web_identity_token_file")):
            return self._by_helper("web identity")
        unset = "" if self._named else "AWS_WEB_IDENTITY_TOKEN_FILE is not set, "
        return unset + self._not_in_profile("web_identity_token_file")

    def _single_sign_on(self) -> Answer:
        if "sso_account_id" in self._profile.settings or "sso_role_name" in self._profile.settings:
            return self._by_helper("single sign-on")
        return self._not_in_profile("sso_account_id")

    def _credentials_file(self) -> Answer:
        return self._keys(self._profile.credentials_file, self._profile.keys)

    def _login(self) -> Answer:
        if "login_session" in self._profile.settings:
            return self._by_helper("login session")
        return self._not_in_profile("login_session")

    def _process(self) -> Answer:
        command_line = self._profile.text("credential_process")
        return self._not_in_profile("credential_process") if command_line is None else self._by_process(command_line)

    def _config_file(self) -> Answer:
        return self._keys(self._profile.config_file, self._profile.config_keys)

    def _old_files(self) -> Answer:
        if "AWS_CREDENTIAL_FILE" in os.environ:
            return self._by_helper("older files")
        paths = [os.environ["BOTO_CONFIG"]] if "BOTO_CONFIG" in os.environ else _OLD_FILES
        if any(os.path.isfile(os.path.expanduser(path)) for path in paths):
            return self._by_helper("older files")
        return f"AWS_CREDENTIAL_FILE is not set, no {' and no '.join(paths)}"

    def _container(self) -> Answer:
        for variable in ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
            if variable in os.environ:
                return self._by_helper("container")
        return "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor _FULL_URI is set"

    def _instance(self) -> Answer:
        if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            return "switched off by AWS_EC2_METADATA_DISABLED"
        return self._by_helper("instance metadata")

    def _keys(self, file: ConfigFile, settings: Mapping[str, object]) -> Answer:
        """Keys that stand in a file itself."""
        if file.fault:
            return file.fault
        access_key, secret_key = settings.get("aws_access_key_id"), settings.get("aws_secret_access_key")
        if access_key is None:
            return f"no aws_access_key_id in profile {self._profile.name!r}"
        token = next((settings[name] for name in _TOKENS if name in settings), "")
        if not isinstance(access_key, str) or not isinstance(secret_key, str) or not isinstance(token, str):
            raise CredentialsError(
                f"profile {self._profile.name!r} has an aws_access_key_id and no aws_secret_access_key"
            )
        return Credentials(access_key, secret_key, token, None, file.path)

    def _not_in_profile(self, name: str) -> str:
        return f"no {name} in profile {self._profile.name!r}"

    def _by_process(self, command_line: str) -> Callable[[], Credentials]:
        def fetch() -> Credentials:
            from flyweight.aws.credential_process import credentials_of_process

            try:
                return credentials_of_process(command_line, f"credential_process of profile {self._profile.name!r}")
            except CredentialsError as error:
                raise self._failed("credential_process", str(error)) from None

        return fetch

    def _by_helper(self, place: str) -> Callable[[], Credentials]:
        def fetch() -> Credentials:
            from flyweight.aws.credential_process import credentials_of_fields

            fields = self._places.ask_helper()
            kind, failure = fields.get("Kind"), str(fields.get("Failure"))
            if kind == "credentials":
                try:
                    return credentials_of_fields(fields, "the helper process", place)
                except CredentialsError as error:
                    raise self._failed(place, str(error)) from None
            # The last place is asked on a guess: most machines are no instances.
            if kind == "none" or (place == "instance metadata" and kind in ("no botocore", "unreachable")):
                self._looked.append(f"{place}: {failure}")
                if place == "older files":  # botocore has looked in what comes after them as well
                    for name, look in (("container", self._container), ("instance metadata", self._instance)):
                        answered = look()
                        self._looked.append(f"{name}: {answered if isinstance(answered, str) else failure}")
                raise self._nothing()
            raise self._failed(place, failure, EmbedderUnreachableError if kind == "unreachable" else CredentialsError)

        return fetch

    def _failed(self, place: str, why: str, kind: type[EmbedderError] = CredentialsError) -> EmbedderError:
        before = f"; looked before that, in this order:{self._listed()}" if self._looked else ""
        return kind(f"no AWS credentials: {place}: {why}{before}")

    def _nothing(self) -> CredentialsError:
        return CredentialsError(f"no AWS credentials; looked, in this order:{self._listed()}\n{_WAY_OUT}")

    def _listed(self) -> str:
        return "".join(f"\n  {number}. {line}" for number, line in enumerate(self._looked, 1))

"""Profile, region and endpoint, held against what a botocore session makes of the same files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("botocore")
import botocore.session
from botocore.exceptions import BotoCoreError
from shared_files import SharedFiles

from flyweight.aws.places import Places
from flyweight.aws.profiles import Profile, endpoint, region, setting
from flyweight.errors import ConfigError, CredentialsError

SETTINGS = st.dictionaries(
    st.sampled_from(
        [
            "region",
            "aws_access_key_id",
            "aws_secret_access_key",
            "aws_session_token",
            "aws_security_token",
            "endpoint_url",
        ]
    ),
    st.sampled_from(["one", "two", "a=b", '"quoted"']),
    max_size=5,
).map(lambda values: "".join(f"{name} = {value}\n" for name, value in values.items()))
CONFIG_NAMES = (
    "default",
    "profile default",
    "profile work",
    "profile 'work'",
    "profilex work",
    "profile",
    "work",
    "sso-session work",
)
CREDENTIALS_NAMES = ("default", "work", "profile work", "other")


def a_file(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    sections = st.dictionaries(st.sampled_from(names), SETTINGS, max_size=4)
    return sections.map(lambda found: "".join(f"[{name}]\n{values}" for name, values in found.items()))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=60
)
@given(a_file(CONFIG_NAMES), a_file(CREDENTIALS_NAMES), st.sampled_from([None, "default", "work", "other"]))
def test_settings_and_keys_are_those_of_a_session(
    shared_files: SharedFiles, config: str, credentials: str, name: str | None
) -> None:
    shared_files.config(config)
    shared_files.credentials(credentials)
    session = botocore.session.Session(profile=name)
    try:
        expected = session.get_scoped_config()
    except BotoCoreError:
        with pytest.raises(CredentialsError, match="no profile"):
            Profile(name)
        return
    assert Profile(name).settings == expected
    try:
        theirs = session.get_credentials()
    except BotoCoreError:
        theirs = None
    try:
        ours = Places(name, None).look()
    except CredentialsError:
        assert theirs is None
    else:
        assert theirs is not None
        assert (ours.access_key, ours.secret_key, ours.token) == (theirs.access_key, theirs.secret_key, theirs.token)


def test_the_credentials_file_comes_before_the_config_file(shared_files: SharedFiles) -> None:
    shared_files.config("[default]\nregion = eu-west-1\noutput = json\n")
    shared_files.credentials("[default]\nregion = eu-west-2\n")
    assert Profile().settings == {"region": "eu-west-2", "output": "json"}


def test_the_profile_of_the_environment(shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_files.config("[profile one]\nregion = eu-west-1\n[profile two]\nregion = eu-west-2\n")
    monkeypatch.setenv("AWS_PROFILE", "one")
    assert region() == "eu-west-1"
    assert region(profile="two") == "eu-west-2"
    monkeypatch.setenv("AWS_DEFAULT_PROFILE", "two")
    assert region() == "eu-west-2"


def test_files_in_other_places(shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("[default]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    assert region() == "eu-west-3"


def test_an_unknown_profile_names_those_there_are(shared_files: SharedFiles) -> None:
    shared_files.config("[profile one]\n[default]\n")
    shared_files.credentials("[two]\n")
    with pytest.raises(CredentialsError, match=r"no profile 'three'.*default, one, two"):
        Profile("three")


def test_the_region_comes_from_the_first_that_has_one(
    shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_files.config("[default]\nregion = eu-west-1\n")
    assert region() == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert region() == "eu-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert region() == "eu-west-3"
    assert region("us-east-1") == "us-east-1"


def test_without_a_region_the_error_says_where_one_may_be_set(shared_files: SharedFiles) -> None:
    with pytest.raises(ConfigError, match=r"AWS_REGION.*AWS_DEFAULT_REGION.*profile 'default'.*\.aws/config"):
        region()


def test_a_setting_of_the_environment_comes_before_the_profiles(
    shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert setting("ca_bundle", "AWS_CA_BUNDLE") is None
    shared_files.config("[default]\nca_bundle = /a.pem\n")
    assert setting("ca_bundle", "AWS_CA_BUNDLE") == "/a.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", "/b.pem")
    assert setting("ca_bundle", "AWS_CA_BUNDLE") == "/b.pem"


ENDPOINTS = """
[default]
services = local
endpoint_url = http://profile.example/
[services local]
bedrock_runtime =
  endpoint_url = http://service.example
"""


def test_the_endpoint_comes_from_the_first_that_has_one(
    shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(override: str | None = None) -> str:
        return endpoint("bedrock-runtime", "us-east-1", override=override)

    assert found() == "https://bedrock-runtime.us-east-1.amazonaws.com"
    shared_files.config("[default]\nendpoint_url = http://profile.example/\n")
    assert found() == "http://profile.example"
    shared_files.config(ENDPOINTS)
    assert found() == "http://service.example"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all.example")
    assert found() == "http://all.example"
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://one.example")
    assert found() == "http://one.example"
    assert found("https://vpce-1.example/") == "https://vpce-1.example"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert found() == "https://bedrock-runtime.us-east-1.amazonaws.com"
    assert found("https://vpce-1.example") == "https://vpce-1.example"


def test_a_services_section_that_is_not_there(shared_files: SharedFiles) -> None:
    shared_files.config("[default]\nservices = local\n")
    with pytest.raises(ConfigError, match="services = local"):
        endpoint("bedrock-runtime", "us-east-1")


@pytest.mark.parametrize("by", ["environment", "profile", "argument"])
def test_fips_and_dual_stack(shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    if by == "environment":
        monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "TRUE")
        monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    elif by == "profile":
        shared_files.config("[default]\nuse_fips_endpoint = true\nuse_dualstack_endpoint = true\n")
    wanted = True if by == "argument" else None
    assert endpoint("bedrock-runtime", "us-east-1", wanted, wanted) == "https://bedrock-runtime-fips.us-east-1.api.aws"
    assert endpoint("bedrock-runtime", "us-east-1", False, False) == "https://bedrock-runtime.us-east-1.amazonaws.com"


@pytest.mark.parametrize(("fips", "dualstack"), [(True, None), (None, True)])
def test_fips_and_dual_stack_exclude_an_endpoint_of_ones_own(
    shared_files: SharedFiles, fips: bool | None, dualstack: bool | None
) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        endpoint("bedrock-runtime", "us-east-1", fips, dualstack, "https://vpce-1.example")

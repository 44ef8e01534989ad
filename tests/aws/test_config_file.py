"""The shared files' dialect, held against botocore's reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("botocore")
from botocore.configloader import raw_config_parse
from botocore.exceptions import ConfigParseError

from flyweight.aws.config_file import ConfigFile
from flyweight.errors import CredentialsError

NAMES = ("default", "profile a", 'profile "a b"', "services x", "DEFAULT", "a]b", "]")
SETTINGS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["key", "KEY2", "s3", "a b", ""]),
    st.sampled_from(["=", " = ", ":", " : ", ""]),
    st.sampled_from(["", "value", '"quoted"', "a=b:c # no comment", "ä ; no comment"]),
    st.sampled_from(["", " ", "\r"]),
)
OTHERS = ("", "   ", "# comment", "  ; comment", "[]", "[unclosed", "]", "[x] rest", "\u00a0", "\x0c key=v", "\u2028")
LINES = st.one_of(st.sampled_from(NAMES).map("[{}]".format), SETTINGS, st.sampled_from(OTHERS))
FILES = st.lists(st.builds("{}{}".format, st.sampled_from(["", "", "", " ", "  ", "\t"]), LINES), max_size=12)


def ours(path: Path) -> object:
    try:
        return ConfigFile(str(path)).sections
    except CredentialsError:
        return "refused"


def botocores(path: Path) -> object:
    try:
        return raw_config_parse(str(path))
    except ConfigParseError:
        return "refused"


@settings(max_examples=200, deadline=None)
@given(FILES)
def test_random_files_read_as_botocore_reads_them(scratch_path: Path, lines: list[str]) -> None:
    path = scratch_path / "config"
    path.write_text("[default]\n" + "\n".join(lines), "utf-8")
    assert ours(path) == botocores(path)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("[]=:#; \n\r\tabA\"'\\\u0085ü\x1c"), max_size=40))
def test_random_text_reads_as_botocore_reads_it(scratch_path: Path, text: str) -> None:
    path = scratch_path / "config"
    path.write_text(text, "utf-8")
    assert ours(path) == botocores(path)


def test_a_file_as_users_write_it(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        "# who we are\n"
        "[default]\n"
        "region = eu-central-1   # stays part of the value\n"
        "OUTPUT: json\n"
        "\n"
        "[profile build]\n"
        "credential_process = \"/opt/my tools/keys\" --as 'build job'\n"
        "s3 =\n"
        "    addressing_style = path\n"
        "    ; not this\n"
        "    max_concurrent_requests=5\n"
        "services = local\n"
        "[services local]\n"
        "bedrock_runtime =\n"
        "  endpoint_url = http://localhost:8000\n"
    )
    assert ConfigFile(str(path)).sections == {
        "default": {"region": "eu-central-1   # stays part of the value", "output": "json"},
        "profile build": {
            "credential_process": "\"/opt/my tools/keys\" --as 'build job'",
            "s3": {"addressing_style": "path", "max_concurrent_requests": "5"},
            "services": "local",
        },
        "services local": {"bedrock_runtime": {"endpoint_url": "http://localhost:8000"}},
    }
    assert ours(path) == botocores(path)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("region = x\n", "line 1: a setting before"),
        ("[a]\nx = 1\n[a]\n", "line 3: a second section"),
        ("[a]\nx = 1\nX = 2\n", "line 3: a second x"),
        ("[a]\nnonsense\n", "line 2: neither"),
        ("[a]\ns3 =\n  nonsense\n", "below s3"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(CredentialsError, match=where) as raised:
        ConfigFile(str(path))
    assert str(path) in str(raised.value)


def test_the_text_of_a_broken_line_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("[default]\naws_secret_access_key wJalrXUtnFEMI\n")
    with pytest.raises(CredentialsError) as raised:
        ConfigFile(str(path))
    assert "wJalrXUtnFEMI" not in str(raised.value)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"[default]\nregion = \xff\n")
    with pytest.raises(CredentialsError, match="UTF-8"):
        ConfigFile(str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    file = ConfigFile(str(tmp_path / "none"))
    assert (file.sections, file.fault) == ({}, "no such file")


def test_a_path_with_home_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KIND", "work")
    (tmp_path / "aws-work").write_text("[default]\na = b\n")
    assert ConfigFile("~/aws-$KIND").sections == {"default": {"a": "b"}}

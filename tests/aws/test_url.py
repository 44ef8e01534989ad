from __future__ import annotations

import pytest

from flyweight.aws.url import split_url
from flyweight.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://host", ("http", "host", 80, "", "host")),
        ("HTTPS://Host.Example/", ("https", "host.example", 443, "", "host.example")),
        ("https://host:8443/v1/", ("https", "host", 8443, "/v1", "host:8443")),
        ("http://[::1]:11434/v1", ("http", "::1", 11434, "/v1", "[::1]:11434")),
        ("http://[::1]", ("http", "::1", 80, "", "[::1]")),
    ],
)
def test_a_url_has_parts(url: str, parts: tuple[str, str, int, str, str]) -> None:
    found = split_url(url, "the URL")
    assert (found.scheme, found.host, found.port, found.path, found.authority) == parts


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "ftp://host",
        "http://",
        "http:///path",
        "http://host:0",
        "http://host:port",
        "http://host:65536",
        "http://host/?query",
        "http://host/#part",
        "http://ho st",
        "http://höst",
        "http://[::1",
        "http://host\n",
    ],
)
def test_what_is_no_url_is_refused_by_the_name_of_the_setting(url: str) -> None:
    with pytest.raises(ConfigError, match="the URL must"):
        split_url(url, "the URL")


@pytest.mark.parametrize("url", ["http://me:secret@host", "ftp://me:secret@host", "http://me:secret@host:port"])
def test_a_password_is_neither_allowed_nor_quoted(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        split_url(url, "the URL")
    assert "secret" not in str(raised.value)


def test_where_a_password_is_allowed_the_text_of_a_url_leaves_it_out() -> None:
    found = split_url("http://me:se%40cret@proxy:3128", "the proxy", userinfo=True)
    assert found.userinfo == "me:se%40cret"
    assert str(found) == "http://proxy:3128"

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from flyweight.aws.api_key import VARIABLE, ApiKey
from flyweight.errors import CredentialsError


@pytest.mark.parametrize("show", [repr, str, lambda key: f"{key}", lambda key: f"{[key]}"])
def test_no_text_of_it_shows_the_key(show: Callable[[object], str]) -> None:
    assert "hidden" not in show(ApiKey("hidden"))
    assert VARIABLE in show(ApiKey("hidden"))


def test_it_does_not_get_into_a_pickle() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(ApiKey("hidden"))


@pytest.mark.parametrize("value", ["hidden\n", " hidden", "hid den", "hidden\x00", "hidden ü"])
def test_what_no_header_can_hold_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(CredentialsError, match=VARIABLE) as raised:
        ApiKey(value)
    assert "hid" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert ApiKey.of_environment() is None
    monkeypatch.setenv(VARIABLE, "bedrock-api-key-of-the-tests")
    key = ApiKey.of_environment()
    assert key is not None and key.headers() == {"Authorization": "Bearer bedrock-api-key-of-the-tests"}

"""The values of an embedder's options, checked: as they are, or as the text of a command line. Resident."""

from __future__ import annotations

from flyweight.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Neither messages nor files show these; a proxy's URL may hold a password.
SECRET_OPTIONS = ("api_key", "proxy")


def text_option(given: Mapping[str, object], name: str) -> str | None:
    """Text on one line; None where the option was not given, as with all of these. Each raises ConfigError."""
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value or not value.isprintable():
        shown = "what was given" if name in SECRET_OPTIONS or "@" in str(value) else repr(value)
        raise ConfigError(f"the embedder's option {name} must be text on one line, not {shown}")
    return value


def name_option(given: Mapping[str, object], name: str) -> str | None:
    """Text that becomes part of a host name."""
    text = text_option(given, name)
    if text is not None and not (text.isascii() and text.replace("-", "").isalnum()):
        raise ConfigError(f"the embedder's option {name} must be a name such as us-east-1, not {text!r}")
    return text


def path_option(given: Mapping[str, object], name: str) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    path = value if isinstance(value, str) else getattr(value, "__fspath__", lambda: None)()
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigError(f"the embedder's option {name} must be the path of a file, not {value!r}")
    return path


def url_option(given: Mapping[str, object], name: str, *, userinfo: bool = False) -> str | None:
    text = text_option(given, name)
    if text is not None:
        from flyweight.aws.url import split_url

        split_url(text, f"the embedder's option {name}", userinfo=userinfo)
    return text


def flag_option(given: Mapping[str, object], name: str) -> bool | None:
    value = given.get(name)
    if value is None or isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) else ""
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ConfigError(f"the embedder's option {name} must be true or false, not {value!r}")


def choice_option(given: Mapping[str, object], name: str, choices: tuple[str, ...]) -> str:
    value = given.get(name, choices[0])
    if value not in choices:
        raise ConfigError(f"the embedder's option {name} must be {' or '.join(choices)}, not {value!r}")
    return str(value)


def number_option(given: Mapping[str, object], name: str, most: float, *, zero: bool = False) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    number = -1.0
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            pass
    if not (0 <= number <= most) or (number == 0 and not zero):
        raise ConfigError(
            f"the embedder's option {name} must be a {'' if zero else 'positive '}number up to {most:g}, not {value!r}"
        )
    return number


def count_option(given: Mapping[str, object], name: str, most: int) -> int | None:
    number = number_option(given, name, most)
    if number is not None and number != int(number):
        raise ConfigError(f"the embedder's option {name} must be a whole number, not {given[name]!r}")
    return None if number is None else int(number)

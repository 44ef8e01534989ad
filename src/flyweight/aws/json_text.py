"""JSON read and written by the interpreter's own scanner. Resident: `json` would bring `re` and `enum`, 1.1 MB."""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\n\r"


class NotJson(ValueError):
    """The text is no JSON, or not all of one value."""


class _Rules:
    """What the scanner wants to know. NaN and Infinity, which `json` lets pass, are no JSON (RFC 8259, section 6)."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> None:
        raise NotJson(f"{name} is no number")


_scan = _json.make_scanner(_Rules)  # type: ignore[arg-type]


def parse(data: bytes) -> Any:
    """The value that `data` spells in UTF-8. Raises NotJson."""
    try:
        text = data.decode()
        start = len(text) - len(text.lstrip(_SPACE))
        value, end = _scan(text, start)
    except UnicodeDecodeError:
        raise NotJson("it is not UTF-8") from None
    except StopIteration:
        raise NotJson("it ends too early, or is something else altogether") from None
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except SystemError:  # the scanner wants json.decoder's exception, and without that module sets none (3.11)
        raise NotJson("it ends too early, or something in it is not JSON") from None
    except ValueError as error:
        raise NotJson(str(error)) from None
    if text[end:].strip(_SPACE):
        raise NotJson(f"something follows it at character {end}")
    return value


def quoted(text: str) -> str:
    """A JSON string, in ASCII. Half a surrogate pair, which is no character, becomes a replacement character."""
    return _json.encode_basestring_ascii(text.encode("utf-8", "replace").decode())

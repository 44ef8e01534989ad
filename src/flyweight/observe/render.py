"""The formats a capture can become, in one table; `python -m flyweight.observe.render CAPTURE OUT` makes one of them.

`flyweight.memory.save` runs it as a child, so that no report is made in the measured process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from flyweight.errors import ConfigError, FlyweightError, PathError
from flyweight.observe.document import Document, read
from flyweight.observe.sections import DEFAULT_TOP_N


@dataclass(frozen=True)
class Wish:
    """What a report may be asked for. top_n: rows of its tables; by: what orders sites, and what collapsed stacks
    count: live, peak, bytes or count."""

    top_n: int = DEFAULT_TOP_N
    by: str = "live"


@dataclass(frozen=True)
class Format:
    """suffixes: of file names that ask for it. write: text, or bytes where the format is no text."""

    name: str
    suffixes: tuple[str, ...]
    write: Callable[[Document, Wish], str | bytes]


def _terminal(document: Document, wish: Wish) -> str:
    from flyweight.observe.terminal import terminal

    return terminal(document, wish.top_n, wish.by)


def _markdown(document: Document, wish: Wish) -> str:
    from flyweight.observe.markdown import markdown

    return markdown(document, wish.top_n, wish.by)


def _json(document: Document, wish: Wish) -> str:
    return json.dumps(document, separators=(",", ":")) + "\n"


def _html(document: Document, wish: Wish) -> str:
    from flyweight.observe.html import html

    return html(document)


def _pprof(document: Document, wish: Wish) -> bytes:
    from flyweight.observe.pprof import pprof

    return pprof(document)


def _speedscope(document: Document, wish: Wish) -> str:
    from flyweight.observe.speedscope import speedscope

    return speedscope(document)


def _collapsed(document: Document, wish: Wish) -> str:
    from flyweight.observe.collapsed import collapsed

    return collapsed(document, wish.by)


def _openmetrics(document: Document, wish: Wish) -> str:
    from flyweight.observe.openmetrics import openmetrics

    return openmetrics(document)


FORMATS = {
    format.name: format
    for format in (
        Format("terminal", (".txt",), _terminal),
        Format("markdown", (".md",), _markdown),
        Format("html", (".html",), _html),
        Format("pprof", (".pb.gz",), _pprof),
        Format("speedscope", (".speedscope.json",), _speedscope),
        Format("collapsed", (".collapsed",), _collapsed),
        Format("openmetrics", (".prom",), _openmetrics),
        Format("json", (".json",), _json),  # after the longer suffix
    )
}


def format_of(path: str) -> Format:
    """The format that a file's name asks for. Raises ConfigError when it asks for none."""
    for found in FORMATS.values():
        if path.endswith(found.suffixes):
            return found
    known = ", ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)
    raise ConfigError(f"{path} does not say which format it is to have: its name must end in one of {known}")


def rendered(document: Document, format: Format, wish: Wish) -> bytes:
    """The report or export as it belongs in a file."""
    content = format.write(document, wish)
    # Names of files need not be valid Unicode.
    return content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")


def write(path: str, content: bytes) -> None:
    """Writes a file that appears when it is complete. Raises PathError."""
    draft = f"{path}.{os.getpid()}.tmp"
    try:
        with open(draft, "wb") as file:
            file.write(content)
        os.replace(draft, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(draft)
        raise PathError(f"the report cannot be written to {path}: {error.strerror}") from None


def main() -> None:
    """CAPTURE OUT: makes of a capture what the other file's name says."""
    try:
        if len(sys.argv) != 3:
            raise ConfigError("say CAPTURE OUT: a capture and the file to make of it")
        capture, path = sys.argv[1:]
        write(path, rendered(read(capture), format_of(path), Wish()))
    except FlyweightError as error:
        sys.exit(f"flyweight: {error}")


if __name__ == "__main__":
    main()

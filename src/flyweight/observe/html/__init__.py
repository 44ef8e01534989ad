"""A capture as one HTML page that needs nothing else: no server, no network, no other file.

The page holds its style, its program and its data. Names in a capture come from the watched program, so they are
hostile until shown otherwise: the data is JSON in which no tag can be spelled, the program writes text and never
markup, and the page's content security policy lets nothing else run and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from importlib.resources import files

from flyweight import __version__
from flyweight.observe.document import Document
from flyweight.observe.html.packing import pack

# One concept a file, in the order in which they build on one another.
SCRIPTS = (
    "flyweight.js",
    "format.js",
    "elements.js",
    "palette.js",
    "tooltip.js",
    "capture.js",
    "tables.js",
    "summary.js",
    "timeline.js",
    "treemap.js",
    "call_tree.js",
    "icicle.js",
    "icicle_view.js",
    "leaks.js",
    "sections.js",
    "page.js",
)
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_LONGEST_TITLE = 120


def html(document: Document) -> str:
    """The page that shows a capture, ready to be written as UTF-8.

    Parts of the capture that are null or empty are shown as such, with the reason and the way to get them. A capture of
    5,000 sites makes a page of less than 3 MB.
    """
    style = _part("style.css")
    script = "\n".join(map(_part, SCRIPTS))
    parts = {
        "title": _title(document),
        "policy": _policy(script, style),
        "style": style,
        "script": script,
        "version": escape(__version__),
        "data": embedded(pack(document)),
    }
    # In one pass: what is put in is not searched for places again.
    return _PLACE.sub(lambda place: parts[place[1]], _part("page.html"))


def embedded(value: object) -> str:
    """JSON for a data element of a page: ASCII, and without the characters that a tag or a comment could begin with.

    >>> embedded({"name": "</script>"})
    '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _policy(script: str, style: str) -> str:
    """What the page may do: run this script, use this style, and nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _title(document: Document) -> str:
    words = " ".join(document["program"]["arguments"])
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in words)
    if len(text) > _LONGEST_TITLE:
        text = text[: _LONGEST_TITLE - 1] + "…"
    return escape(f"Memory of {text}" if text.strip() else "Memory report")

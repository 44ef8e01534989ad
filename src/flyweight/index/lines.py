"""Cuts text by its lines: files without a grammar, stretches a syntax tree leaves too long, and Markdown."""

from __future__ import annotations

import re

from flyweight.index.syntax import qualified
from flyweight.index.units import Symbol, Unit

# A cut may lie this share of the target before or after it.
_SLACK = 3
_CLOSERS = (b"}", b")", b"]", b"end", b"else", b"fi", b"done")
_DEFINITION_START = re.compile(rb"\n\r?\n(?=[^\s})\]])")
_MARK = re.compile(
    rb"^ {0,3}(?:(?P<fence>`{3,}|~{3,})|(?P<level>#{1,6})[ \t]+(?P<title>[^\r\n]*)"
    rb"|(?P<under>=+|-+)[ \t]*\r?$)",
    re.MULTILINE,
)
_FRONT_MATTER = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*\r?\n.*?^---[ \t]*\r?$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_LONG_TITLE = 480  # bytes in which to look for the characters
_TITLE_LIMIT = 120
_COMMENTS = (b"--", b"#", b"//", b"/*", b"*")
_KINDS = {"proc": "procedure"}


def spans(source: bytes, start: int, end: int, target: int, hard: int) -> list[tuple[int, int]]:
    """Cuts `source[start:end]` into consecutive spans of about `target` and never more than `hard` bytes.

    A span ends, near the target, after an empty line if there is one, else before the least indented line; a
    line is cut only if it is longer than a span may be, and then between the characters of valid UTF-8.
    """
    found = []
    most = min(hard, target + target // _SLACK)
    while end - start > most:
        left = end - start
        # Little enough left to share evenly: no stub at the end.
        aim = target if left > 3 * target else -(-left // -(-left // target))
        cut = start + _cut(source[start : min(end, start + hard)], aim, hard)
        found.append((start, cut))
        start = cut
    if start < end:
        found.append((start, end))
    return found


def _cut(text: bytes, aim: int, hard: int) -> int:
    """Where to end a span that begins `text`, as an offset in 1..hard."""
    low, high = aim - aim // _SLACK, min(aim + aim // _SLACK, len(text) - 1)
    best, best_rank = 0, (9, 0, 0)
    at = text.find(b"\n", low, high) + 1
    while at:
        body = text[at:].lstrip(b" \t")
        if body[:1] not in (b"\n", b"\r"):
            after_blank = (
                text[:at].rstrip(b" \t\r").endswith(b"\n\n") or not text[text.rfind(b"\n", 0, at - 1) + 1 : at].strip()
            )
            rank = (
                2 * (not after_blank) + body.startswith(_CLOSERS),
                len(text) - at - len(body),
                abs(at - aim),
            )
            if rank < best_rank:
                best, best_rank = at, rank
        at = text.find(b"\n", at, high) + 1
    if best:
        return best
    before = text.rfind(b"\n", 0, low) + 1
    if before and not text[:before].isspace():
        return before
    after = text.find(b"\n", max(low, before), hard) + 1
    return after or _cut_line(text, aim)


def _cut_line(text: bytes, aim: int) -> int:
    for mark in (b" ", b";", b",", b"}"):
        cut = text.rfind(mark, aim // 2, aim) + 1
        if cut:
            return cut
    cut = aim
    while cut > max(1, aim - 3) and text[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut if text[cut] & 0xC0 != 0x80 else aim


def windows(source: bytes, size: int) -> list[tuple[int, int]]:
    """Cuts a source into stretches of at most `size` bytes that can be parsed one by one.

    Each begins, where possible, at an unindented line after an empty one, most likely with a new definition.
    """
    found = []
    start = 0
    while len(source) - start > size:
        low, high = start + size // 2, start + size
        cut = 0
        for match in _DEFINITION_START.finditer(source, low, high):
            cut = match.end()
        cut = cut or source.rfind(b"\n", low, high) + 1 or start + _cut_line(source[start : high + 1], size)
        found.append((start, cut))
        start = cut
    found.append((start, len(source)))
    return found


def headline_units(source: bytes, headlines: re.Pattern[bytes]) -> list[Unit]:
    """The definitions of a source, told by their first lines; `headlines` has groups `kind` and `name`."""
    starts = []
    for match in headlines.finditer(source):
        start = match.start()
        while (line := source.rfind(b"\n", 0, max(0, start - 1)) + 1) < start:
            if not source[line:start].lstrip().startswith(_COMMENTS):
                break
            start = line
        scopes, name = qualified(match["name"].decode("utf-8", "replace"))
        kind = _KINDS.get(word := match["kind"].split()[0].decode().lower(), word)
        starts.append((start, Symbol(name, ".".join(scopes), kind, start, start)))
    units = []
    end = len(source)
    for start, symbol in reversed(starts):
        symbol.end = end
        units.append(Unit(start, end, None, [symbol]))
        end = start
    if end > 0:
        units.append(Unit(0, end, None, []))
    return units[::-1]


def markdown_units(source: bytes) -> list[Unit]:
    """The sections of a Markdown text: a heading is a symbol, the headings above it are its scope."""
    units: list[Unit] = []
    path: list[tuple[int, Symbol]] = []
    start = 0
    for at, level, title in _headings(source):
        if at > start:
            units.append(Unit(start, at, None, [path[-1][1]] if path else []))
        while path and path[-1][0] >= level:
            path.pop()
        scope = ".".join(symbol.name for _, symbol in path)
        path.append((level, Symbol(title, scope, "heading", at, at)))
        start = at
    if start < len(source):
        units.append(Unit(start, len(source), None, [path[-1][1]] if path else []))
    for unit in units:
        for symbol in unit.symbols:
            symbol.end = unit.end
    return units


def _headings(source: bytes) -> list[tuple[int, int, str]]:
    """Offset, level and text of every heading outside fenced code."""
    found = []
    fence = b""
    front = _FRONT_MATTER.match(source)
    for match in _MARK.finditer(source, front.end() if front else 0):
        mark = match["fence"]
        if mark:
            if not fence:
                fence = mark
            elif mark.startswith(fence):
                fence = b""
        elif fence:
            continue
        elif match["level"]:
            title = _title(match["title"][:_LONG_TITLE].rstrip().rstrip(b"#"))
            if title:
                found.append((match.start(), len(match["level"]), title))
        else:
            line = source.rfind(b"\n", 0, max(0, match.start() - 1)) + 1
            title = _title(source[line : match.start()]) if match.start() - line <= _LONG_TITLE else ""
            if title and not title.startswith(("#", ">", "|", "-", "*", "=", "+")):
                found.append((line, 1 if match["under"][:1] == b"=" else 2, title))
    return found


def _title(raw: bytes) -> str:
    return _LINK.sub(r"\1", raw.decode("utf-8", "replace")).strip(" \t\r\n*_`")[:_TITLE_LIMIT]

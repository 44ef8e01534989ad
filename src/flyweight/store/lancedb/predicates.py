"""Filters as predicates of LanceDB: path globs as regular expressions, everything quoted.

Our globs match bytes, LanceDB's expressions characters. For paths of ASCII both say the same. For others an include
admits more than its glob and an exclude refuses less, never the other way, and `admits` has the last word on what comes
back. A path that is not UTF-8 is left to `admits` altogether.
"""

from __future__ import annotations

import os

from flyweight._search import glob_matches
from flyweight.store.lancedb.table import stored_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NOTHING = r"[^\x{0}-\x{10FFFF}]"
_ASCII_NAME = r"[\x{0}-\x{2E}\x{30}-\x{7F}]"  # one byte of a name: no slash
_NOT_ASCII = r"[^\x{0}-\x{7F}]"
_SLASH = ord("/")


def where(languages: Sequence[str], include: Sequence[str], exclude: Sequence[str]) -> str | None:
    """The predicate for rows that these filters may admit; None when they admit all."""
    terms = []
    if languages:
        terms.append(f"language IN ({', '.join(quoted(name) for name in languages)})")
    if include:
        terms.append("(raw_path IS NOT NULL OR " + " OR ".join(_matches(glob, admit=True) for glob in include) + ")")
    terms += [f"(raw_path IS NOT NULL OR NOT {_matches(glob, admit=False)})" for glob in exclude]
    return " AND ".join(terms) or None


def admits(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether the globs admit the path: the rule itself, as an index of segments applies it."""
    raw = os.fsencode(path)
    if include and not any(glob_matches(glob, raw) for glob in include):
        return False
    return not any(glob_matches(glob, raw) for glob in exclude)


def quoted(text: str) -> str:
    """A string literal. There are no escapes but the doubled quote."""
    return "'" + text.replace("'", "''") + "'"


def of_files(paths: Sequence[str]) -> str:
    """The predicate for all rows of the files at `paths`, at least one, and for no others."""
    stored = [stored_path(path) for path in paths]
    plain = ", ".join(quoted(path) for path, raw_path in stored if raw_path is None)
    raw = ", ".join(f"X'{raw_path.hex()}'" for _, raw_path in stored if raw_path is not None)
    terms = [f"(path IN ({plain}) AND raw_path IS NULL)"] if plain else []
    return " OR ".join([*terms, f"raw_path IN ({raw})"] if raw else terms)


def glob_expression(glob: str, *, admit: bool) -> str:
    """A regular expression (Rust's, of the crate regex) for the paths a glob matches: at least those (`admit`) or at
    most those, the same where the path is ASCII."""
    try:
        pattern = os.fsencode(glob)
    except UnicodeEncodeError:  # a surrogate that stands for no byte: glob_matches takes it so too
        pattern = glob.encode("utf-8", "replace")
    while len(pattern) > 1 and pattern.endswith(b"/"):
        pattern = pattern[:-1]
    anchored = b"/" in pattern
    pattern = pattern.removeprefix(b"./").removeprefix(b"/")
    try:
        pattern.decode()
    except UnicodeDecodeError:  # a wildcard may stand for the rest of a character that the glob begins
        return "(?s)^.*" if admit else _NOTHING
    body = "".join(_pieces(pattern, admit))
    start = "" if anchored else "(?:.*/)?"
    return rf"(?s)^{start}(?:{body})(?:/.*)?\z"


def _matches(glob: str, *, admit: bool) -> str:
    return f"regexp_like(path, {quoted(glob_expression(glob, admit=admit))})"


def _pieces(pattern: bytes, admit: bool) -> Iterator[str]:
    """Wildcards that stand beside each other are taken together: a character of several bytes may be shared out among
    them in any way."""
    run: list[str] = []  # expressions of wildcards, for ASCII
    literal = bytearray()
    at_name = True  # at the start of a path or after a slash
    position = 0

    def flush() -> Iterator[str]:
        if literal:
            yield _literal(bytes(literal))
            literal.clear()
        if run:
            yield _wildcards(run, admit)
            run.clear()

    while position < len(pattern):
        char = pattern[position : position + 1]
        if pattern[position : position + 2] == b"**":
            if literal:
                yield from flush()
            position += 2
            if at_name and pattern[position : position + 1] == b"/":
                run.clear()  # of `**` alone: as in ours, the one that follows takes its place
                yield "(?:[^/]*/)*"
                position += 1
            else:
                run.append(".*")
            continue  # what follows begins where this began, should it stand for nothing
        if char in (b"*", b"?", b"["):
            if literal:
                yield from flush()
            if char == b"*":
                run.append("[^/]*")
                position += 1
            elif char == b"?":
                run.append(_ASCII_NAME)
                position += 1
            else:
                ranges, negated, position = _set(pattern, position)
                run.append(_set_expression(ranges, negated))
            at_name = False
            continue
        if run:
            yield from flush()
        if char == b"\\" and position + 1 < len(pattern):
            position += 1
            char = pattern[position : position + 1]
        literal += char
        at_name = char == b"/"
        position += 1
    yield from flush()


def _wildcards(run: list[str], admit: bool) -> str:
    exact = "".join(run)
    if not admit or all(_is_ascii_set(piece) or piece.endswith("*") for piece in run):
        return exact
    anything = ".*" if ".*" in run else "[^/]*"
    return f"(?:{exact}|{anything}{_NOT_ASCII}{anything})"


def _is_ascii_set(expression: str) -> bool:
    return expression.startswith("[") and expression != _ASCII_NAME and not expression.startswith("[^")


def _literal(text: bytes) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_/ ") else f"\\x{{{ord(c):X}}}" for c in text.decode())


def _set(pattern: bytes, begin: int) -> tuple[list[tuple[int, int]], bool, int]:
    """The ranges of bytes of the set that begins at `begin`, whether it is negated, and where it ends."""
    position = begin + 1
    negated = pattern[position : position + 1] in (b"!", b"^")
    position += negated
    ranges = []
    first = True
    while position < len(pattern) and (first or pattern[position : position + 1] != b"]"):
        first = False
        if pattern[position : position + 1] == b"\\" and position + 1 < len(pattern):
            position += 1
        low = high = pattern[position]
        position += 1
        if position + 1 < len(pattern) and pattern[position : position + 1] == b"-" and pattern[position + 1] != 0x5D:
            high = pattern[position + 1]
            position += 2
        ranges.append((low, high))
    return ranges, negated, position + 1


def _set_expression(ranges: list[tuple[int, int]], negated: bool) -> str:
    members = {byte for byte in range(1, 256) if byte != _SLASH and any(a <= byte <= b for a, b in ranges) != negated}
    starts = [byte for byte in sorted(members) if byte < 0x80 and byte - 1 not in members]
    inside = ""
    for start in starts:
        end = start
        while end + 1 in members and end + 1 < 0x80:
            end += 1
        inside += f"\\x{{{start:X}}}-\\x{{{end:X}}}"
    expression = f"[{inside}]" if inside else _NOTHING
    # A set that takes bytes of 0x80 and above may meet a piece of a character: marked by a group, see _is_ascii_set.
    return expression if max(members, default=0) < 0x80 else f"(?:{expression})"

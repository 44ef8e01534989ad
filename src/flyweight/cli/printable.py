"""Text from files, made safe to print: nothing in it can move the cursor, split a line or fail to encode."""

from __future__ import annotations

# C0 but tab and newline, DEL, C1.
_CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}


def printable_path(path: str) -> str:
    r"""A path on one line; control characters and bytes that are not UTF-8 as escapes.

    >>> printable_path("a\nb"), printable_path("caf\udce9.py")
    ('a\\nb', 'caf\\xe9.py')
    """
    if path.isprintable():
        return path
    return "".join(char if char.isprintable() else _escape(char) for char in path)


def printable_text(text: str) -> str:
    """Source text with control characters made visible; tabs and line breaks stay."""
    return text.replace("\r\n", "\n").translate(_CONTROLS)


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # how Python spells an undecodable byte
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")

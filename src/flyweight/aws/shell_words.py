"""Splits a command line into words as a POSIX shell would. Resident: `shlex` would bring `re` and `collections`."""

from __future__ import annotations

_BLANKS = " \t\r\n"


def split_words(text: str) -> list[str]:
    """The words of `text`: quotes and backslashes are taken as a shell takes them, nothing is expanded.

    Raises ValueError for a quote that is not closed or a backslash at the end.
    """
    words: list[str] = []
    word: str | None = None  # None between words; an empty one may be quoted
    quote = ""
    characters = iter(text)
    for character in characters:
        if character == quote:
            quote = ""
        elif character == "\\" and quote != "'":
            escaped = next(characters, None)
            if escaped is None:
                raise ValueError("a backslash at the end")
            # Between double quotes a backslash means itself, except before a quote or another one.
            word = (word or "") + ("\\" if quote and escaped not in '"\\' else "") + escaped
        elif quote:
            word = (word or "") + character
        elif character in "\"'":
            quote = character
            word = word or ""
        elif character not in _BLANKS:
            word = (word or "") + character
        elif word is not None:
            words.append(word)
            word = None
    if quote:
        raise ValueError(f"a {quote} that is not closed")
    if word is not None:
        words.append(word)
    return words

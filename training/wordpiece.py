"""The tokenizer of the native core (`native/search/wordpiece.cpp`) in plain Python: slow, short, and the
reference that its tests compare with."""

from __future__ import annotations

import re

MAX_WORD_BYTES = 48

# U+00C0..U+017F without accents; a blank separates.
_LATIN = (
    b"AAAAAAACEEEEIIIIDNOOOOO OUUUUYTs"
    b"aaaaaaaceeeeiiiidnooooo ouuuuyty"
    b"AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGg"
    b"GgGgHhHhIiIiIiIiIiIiJjKkkLlLlLlL"
    b"lLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSs"
    b"SsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs"
)
_TWO_BYTE_LATIN = re.compile(rb"[\xc3-\xc5][\x80-\xbf]")
_COMBINING_MARK = re.compile(rb"([A-Za-z])(?:\xcc[\x80-\xbf]|\xcd[\x80-\xaf])")
# A plural of capitals (URLs), capitals before a capitalized word (HTTP in HTTPServer), a word, capitals, a
# number.
_WORD = re.compile(rb"[A-Z]{2,}s(?![a-z])|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def _unaccented(match: re.Match[bytes]) -> bytes:
    lead, tail = match.group()
    position = ((lead & 0x1F) << 6 | (tail & 0x3F)) - 0xC0
    return _LATIN[position : position + 1]


def words(text: bytes) -> list[str]:
    """The words of a text, lower-case; identifiers are split where the case changes and at digits."""
    latin = _TWO_BYTE_LATIN.sub(_unaccented, text) if not text.isascii() else text
    latin = _COMBINING_MARK.sub(rb"\1", latin)
    return [word.decode("ascii").lower() for word in _WORD.findall(latin)]


class WordPiece:
    """Greedy longest match of words against a vocabulary whose continuation pieces begin with `##`."""

    def __init__(self, vocabulary: list[str]) -> None:
        self._numbers = {word: number for number, word in enumerate(vocabulary)}
        self._longest = max(len(word.removeprefix("##")) for word in vocabulary)
        self._pieces: dict[str, list[int]] = {}

    def pieces(self, word: str) -> list[int]:
        found = self._pieces.get(word)
        if found is None:
            found = self._pieces[word] = self._cut(word[:MAX_WORD_BYTES])
        return found

    def _cut(self, word: str) -> list[int]:
        if word.isdigit():
            return [self._numbers[word]] if word in self._numbers else []
        tokens = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                number = self._numbers.get(prefix + word[start:end])
                if number is not None:
                    tokens.append(number)
                    start = end
                    break
            else:
                start += 1
        return tokens

    def tokenize(self, text: bytes) -> list[int]:
        return [token for word in words(text) for token in self.pieces(word)]

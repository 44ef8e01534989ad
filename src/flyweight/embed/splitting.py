"""Texts cut so that a model can take them, and how many tokens they come to. Resident and builder."""

from __future__ import annotations

# The limits of Titan (Amazon Bedrock User Guide, "Amazon Titan Text Embeddings models"): 8,192 tokens and 50,000
# characters. The tokenizers of services are not known here, and random text takes up to 2.5 times the tokens that
# the estimate gives it: a piece may come to 0.4 of the limit.
MAX_TOKENS = 8192
MAX_CHARACTERS = 50_000
_MAX_ESTIMATE = int(MAX_TOKENS * 0.4)

_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123))
_DIGITS = bytes(range(48, 58))
_SPACES = b" \t\n\r\v\f"
_OTHER = bytes(range(128, 256))


def estimate_tokens(text: str) -> int:
    """About as many tokens as a subword tokenizer makes of `text`; at least 1 unless it is empty.

    English prose comes to 4.6 characters a token, which is what Titan's documentation says, code to about 3.5.
    """
    return _estimate(text.encode("utf-8", "replace"))


def pieces(text: bytes) -> list[str]:
    """`text` decoded, and cut at line ends into pieces within the limits; a line beyond them is cut in two, and again.

    [] for blank text. Bytes that are not UTF-8 become replacement characters.
    """
    decoded = text.decode("utf-8", "replace")
    if not decoded.strip():
        return []
    if len(text) <= _MAX_ESTIMATE or _fits(decoded):
        return [decoded]
    found: list[str] = []
    lines: list[str] = []
    tokens = characters = 0
    for line in _short_lines(decoded):
        more = estimate_tokens(line)
        if lines and (tokens + more > _MAX_ESTIMATE or characters + len(line) > MAX_CHARACTERS):
            found.append("".join(lines))
            lines, tokens, characters = [], 0, 0
        lines.append(line)
        tokens += more
        characters += len(line)
    found.append("".join(lines))
    return [piece for piece in found if piece.strip()]


def _short_lines(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    if len(lines) == 1 and not _fits(text):
        middle = len(text) // 2
        space = text.rfind(" ", middle - middle // 4, middle) + 1
        cut = space or middle
        return _short_lines(text[:cut]) + _short_lines(text[cut:])
    return [part for line in lines for part in ([line] if _fits(line) else _short_lines(line))]


def _fits(text: str) -> bool:
    return len(text) <= MAX_CHARACTERS and estimate_tokens(text) <= _MAX_ESTIMATE


def _estimate(text: bytes) -> int:
    size = len(text)
    without = text.translate(None, _LETTERS)
    letters = size - len(without)
    rest = without.translate(None, _DIGITS)
    digits = len(without) - len(rest)
    marks = rest.translate(None, _SPACES)
    spaces = len(rest) - len(marks)
    others = len(marks) - len(marks.translate(None, _OTHER))
    marks_alone = len(marks) - others
    estimate = letters / 4 + digits / 2 + 0.8 * marks_alone + others / 2 + spaces / 50 + 0.5 * text.count(b"\n")
    return max(int(estimate + 0.999), len(text.split()), min(size, 1))

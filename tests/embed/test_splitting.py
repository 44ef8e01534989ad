from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.embed.splitting import MAX_CHARACTERS, MAX_TOKENS, estimate_tokens, pieces

PROSE = "The resident answers queries from immutable files that are mapped into memory, and never parses source. "
CODE = "    def find(self, path: str) -> KnownFile | None:\n        return self._files.get(os.fsencode(path), None)\n"


def test_a_short_text_is_one_piece_as_it_is() -> None:
    assert pieces(b"def f():\n    return 1\n") == ["def f():\n    return 1\n"]


def test_a_blank_text_has_no_pieces() -> None:
    assert pieces(b"") == []
    assert pieces(b" \n\t\r\n" * 10_000) == []


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert pieces(b"caf\xe9") == ["caf\ufffd"]


def test_a_long_text_is_cut_at_line_ends() -> None:
    text = CODE * 500
    found = pieces(text.encode())
    assert len(found) > 1
    assert "".join(found) == text
    assert all(piece.endswith("\n") for piece in found)


def test_a_line_beyond_the_limits_is_cut_between_words_where_it_has_some() -> None:
    found = pieces((PROSE * 500).encode())
    assert "".join(found) == PROSE * 500
    assert all(piece.endswith(" ") for piece in found)
    assert "".join(pieces(b"x" * 200_000)) == "x" * 200_000


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["word ", "x", "(){};", "0123456789abcdef", "\n", "日本語", "é", "🦋", "\t", "\x00", " "]),
            st.integers(1, 9000),
        ),
        max_size=5,
    )
)
def test_every_piece_is_within_the_limits_and_nothing_is_lost(parts: list[tuple[str, int]]) -> None:
    text = "".join(part * times for part, times in parts)
    found = pieces(text.encode())
    for piece in found:
        assert piece.strip()
        assert len(piece) <= MAX_CHARACTERS
        assert estimate_tokens(piece) <= MAX_TOKENS / 2
    assert "".join("".join(found).split()) == "".join(text.split())


def test_what_tokenizers_dislike_most_stays_within_the_limit() -> None:
    """Random base64 comes to at most 0.75 tokens a character, digits and signs to one, emoji to four."""
    draw = random.Random(1)
    base64 = "".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=100_000))
    for text, per_character in ((base64, 0.75), ("9" * 50_000, 1), ("(" * 50_000, 1), ("🦋" * 20_000, 4)):
        for piece in pieces(text.encode()):
            assert len(piece) * per_character <= MAX_TOKENS * 1.25


def test_prose_comes_to_the_documented_characters_per_token() -> None:
    assert 4.2 <= len(PROSE) / estimate_tokens(PROSE) <= 5.2
    assert 3.0 <= len(CODE) / estimate_tokens(CODE) <= 4.5
    assert estimate_tokens("") == 0
    assert estimate_tokens("x") == 1

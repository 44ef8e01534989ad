"""Which words get a row: those of the teacher that code or questions use, and words of code that it lacks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from training.pairs import Pair
from training.wordpiece import WordPiece, words

# The teacher's vocabulary is ordered by frequency in English: its first half is what questions are made of,
# seen in code or not.
COMMON_ENGLISH = 15_000
MIN_COUNT_IN_CODE = 3
MIN_COUNT_OF_NUMBER = 100
# A word of code is worth a row when several projects use it; one project's own names are not.
MIN_PACKAGES = 3
MIN_COUNT_OF_NEW_WORD = 8
NEW_WORD_LETTERS = range(3, 25)
# Beyond this many times in one definition a word says nothing more about how common it is.
MAX_COUNT_IN_PAIR = 5


def _is_word(text: str) -> bool:
    return text.isascii() and text.isalpha()


def choose(teacher: list[str], pairs: Iterable[Pair]) -> list[str]:
    """The model's vocabulary: the useful part of the teacher's, then new words, most frequent first."""
    counts: Counter[str] = Counter()
    packages: defaultdict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        for word, count in Counter(words(f"{pair.sentence} {pair.code}".encode())).items():
            counts[word] += min(count, MAX_COUNT_IN_PAIR)
            packages[word].add(pair.package)
    cutter = WordPiece(teacher)
    pieces: Counter[str] = Counter()
    for word, count in counts.items():
        for number in cutter.pieces(word):
            pieces[teacher[number]] += count

    def kept(rank: int, word: str) -> bool:
        if word.isascii() and word.isdigit():
            return counts[word] >= MIN_COUNT_OF_NUMBER
        if word.startswith("##"):
            # Single letters stay whatever their count, so that every word can be cut into pieces.
            return _is_word(word[2:]) and (pieces[word] > 0 or len(word) == 3)
        common = rank < COMMON_ENGLISH or counts[word] >= MIN_COUNT_IN_CODE or len(word) == 1
        return _is_word(word) and common

    known = set(teacher)
    new = [
        word
        for word, count in counts.items()
        if word not in known
        and _is_word(word)
        and len(word) in NEW_WORD_LETTERS
        and count >= MIN_COUNT_OF_NEW_WORD
        and len(packages[word]) >= MIN_PACKAGES
    ]
    new.sort(key=lambda word: (-counts[word], word))
    return [word for rank, word in enumerate(teacher) if kept(rank, word)] + new

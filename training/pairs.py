"""Pairs of a sentence and the code it describes: a doc comment and the definition that bears it."""

from __future__ import annotations

import ast
import os
import random
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from training.archives import archive_path, source_files, sources

MAX_CODE_CHARACTERS = 2000
MAX_SENTENCE_CHARACTERS = 300
MAX_BODY_LINES = 80
# One package must not set the tone, nor one sentence that a generator wrote thousands of times.
MAX_PAIRS_PER_PACKAGE = 5000
MAX_PAIRS_PER_LANGUAGE_PACKAGE = 8000
MAX_SAME_SENTENCE = 2

_HASH_LANGUAGES = {".rb"}
_SLASH_LANGUAGES = {".go", ".rs", ".java", ".kt", ".swift", ".php"}
_SLASH_LANGUAGES |= {".js", ".mjs", ".jsx", ".ts", ".tsx"}
_SLASH_LANGUAGES |= {".c", ".h", ".cc", ".cpp", ".hpp", ".m", ".mm"}
EXTENSIONS = frozenset({".py"} | _SLASH_LANGUAGES | _HASH_LANGUAGES)

# A sentence that speaks about the file, its tools or its licence and not about the code.
_NOT_ABOUT_CODE = re.compile(
    r"copyright|licen[sc]e|eslint|rubocop|nolint|@internal|todo|fixme|generated|deprecated|http|:nodoc:", re.I
)
_PYTHON_DETAILS = re.compile(r"\n\s*\n|\n\s*(?:Parameters|Args|Returns|Arguments|:param|>>>|Example)")
_COMMENT_DETAILS = re.compile(
    r"\s*(?:[@\\](?!brief|desc|summary)\w|#+ (?:Example|Errors|Panics|Safety|Arguments)|```|call-seq|Example)"
)
_COMMENT_MARK = re.compile(r"^(?:/\*\*?!?<?|//[/!]?<?|\*/|\*(?!\*)|#+)\s?")
_ATTRIBUTE = re.compile(r"^\s*(?:@\w|#\[|\[\[)")
_DECLARATION = re.compile(
    r"^\s*(?:(?:export|default|public|private|protected|internal|open|override|static|final|abstract|async|inline|constexpr"
    r"|virtual|unsafe|const|extern|def|class|struct|enum|trait|interface|function|fun|suspend|type|var|module)\b"
    r"|template|pub|func|fn |impl"
    r"|[\w:<>,&*\[\] .$~]*\(|[\w.$]+ *[=:] *(?:function|\(|async))"
)
_CLOSING = re.compile(r"\s*(?:\}|end\b|\))")
_OPENING = re.compile(r"\s*(?:\{|where\b|:|\))")


class Pair(NamedTuple):
    sentence: str
    code: str
    package: str


def _usable(sentence: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in sentence)
    return (
        sentence.isascii()
        and len(sentence) >= 12
        and len(sentence.split()) >= 3
        and letters >= 0.85 * len(sentence)
        and not _NOT_ABOUT_CODE.search(sentence)
    )


def docstring_pairs(text: str) -> Iterator[tuple[str, str]]:
    """First paragraph of each docstring, and the definition without it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    lines = text.split("\n")
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        documentation = ast.get_docstring(node)
        if not documentation:
            continue
        sentence = " ".join(_PYTHON_DETAILS.split(documentation.strip())[0].split())
        string = node.body[0]
        code = lines[node.lineno - 1 : string.lineno - 1] + lines[string.end_lineno or 0 : node.end_lineno]
        if len(sentence) <= MAX_SENTENCE_CHARACTERS and len(code) >= 3:
            yield sentence, "\n".join(code)


def _first_paragraph(comment: list[str]) -> str:
    kept: list[str] = []
    for line in comment:
        plain = _COMMENT_MARK.sub("", line.strip()).removesuffix("*/").rstrip()
        if _COMMENT_DETAILS.match(plain) or (kept and not plain.strip()):
            break
        kept.append(re.sub(r"[@\\](?:brief|desc|description|summary)\b", "", plain))
    text = " ".join(" ".join(kept).split())
    text = re.sub(r"\{@\w+\s+([^}]*)\}", r"\1", text)
    text = re.sub(r"</?\w+[^>]*>", " ", text)
    text = re.sub(r"\[`?([^\]`]*)`?\](?:\([^)]*\))?", r"\1", text)
    text = " ".join(text.replace("`", " ").split())
    if len(text) > 200:
        first = re.match(r"(.{40,}?[.!?])(?: |$)", text)
        text = first.group(1) if first else text
    return text[:MAX_SENTENCE_CHARACTERS]


def _comment_end(lines: list[str], start: int, hashes: bool) -> int:
    """The line after the comment that begins at `start`, or `start` if none does."""
    first = lines[start].lstrip()
    end = start
    if not hashes and first.startswith(("/**", "/*!")):
        while end < len(lines) and "*/" not in lines[end]:
            end += 1
        return end + 1
    mark = "#" if hashes else "//"
    while end < len(lines) and lines[end].lstrip().startswith(mark):
        end += 1
    return end


def _definition_end(lines: list[str], start: int) -> int:
    """The line after the definition that begins at `start`, by indentation."""
    indent = len(lines[start]) - len(lines[start].lstrip())
    end = start + 1
    while end < len(lines) and end - start < MAX_BODY_LINES:
        line = lines[end]
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth <= indent:
            if depth == indent and _CLOSING.match(line):
                return end + 1
            if depth < indent or not _OPENING.match(line):
                return end
        end += 1
    return end


def comment_pairs(text: str, hashes: bool) -> Iterator[tuple[str, str]]:
    """First paragraph of each comment that stands directly above a definition, and that definition."""
    lines = text.split("\n")
    position = 0
    while position < len(lines):
        end = _comment_end(lines, position, hashes)
        if end == position:
            position += 1
            continue
        comment, position = lines[position:end], end
        start = end
        while start < len(lines) and _ATTRIBUTE.match(lines[start]):
            start += 1
        if start >= len(lines) or not _DECLARATION.match(lines[start]):
            continue
        stop = _definition_end(lines, start)
        if stop - start >= 3:
            yield _first_paragraph(comment), "\n".join(lines[end:stop])


def _pairs_of(name: str, text: str) -> Iterator[tuple[str, str]]:
    extension = os.path.splitext(name)[1]
    return docstring_pairs(text) if extension == ".py" else comment_pairs(text, extension in _HASH_LANGUAGES)


def mine(folder: Path, seed: int = 0) -> list[Pair]:
    """The usable pairs of the packages in `folder`, shuffled, without the excess of any one of them."""
    pairs: list[Pair] = []
    for source in sources():
        path = archive_path(source, folder)
        if path is None:
            raise FileNotFoundError(f"{source.name} {source.version} is not in {folder}: run with --fetch")
        found = {
            (sentence, code[:MAX_CODE_CHARACTERS]): None
            for name, text in source_files(path, EXTENSIONS)
            for sentence, code in _pairs_of(name, text)
            if _usable(sentence)
        }
        pairs += [Pair(sentence, code, source.name) for sentence, code in found]
        print(f"{source.registry} {source.name} {source.version}: {len(found)} pairs", flush=True)
    random.Random(seed).shuffle(pairs)
    per_package: Counter[str] = Counter()
    per_sentence: Counter[str] = Counter()
    kept = []
    for pair in pairs:
        whole_language = pair.package in ("rust-src", "golang-1.19-src")
        limit = MAX_PAIRS_PER_LANGUAGE_PACKAGE if whole_language else MAX_PAIRS_PER_PACKAGE
        if per_package[pair.package] < limit and per_sentence[pair.sentence.lower()] < MAX_SAME_SENTENCE:
            per_package[pair.package] += 1
            per_sentence[pair.sentence.lower()] += 1
            kept.append(pair)
    return kept

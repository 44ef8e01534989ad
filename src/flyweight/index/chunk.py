"""Cuts one file into chunks: along its syntax tree if there is a grammar for it, along its lines if not."""

from __future__ import annotations

from flyweight.index.grammars import grammar, has_grammar
from flyweight.index.lines import markdown_units, windows
from flyweight.index.outline import outline
from flyweight.index.packing import pack
from flyweight.index.units import Unit

TARGET_BYTES = 1500
# A tree takes 12 to 43 times its source (measured: Go 12, C++ 23, Python 23, Haskell 43): this keeps it to 8
# MB.
PARSE_LIMIT_BYTES = 192 * 1024


class Chunk:
    """Part of a file: `data[start_byte:end_byte]`, lines `start_line` to `end_line` (1-based, inclusive).

    `symbol` is the main definition in it (or the one it continues), `scope` the scopes around that joined
    with dots, `kind` what it is (function, class ...; empty for plain text). `symbols` are the names of all
    definitions that begin in the chunk, the main one first.
    """

    __slots__ = ("end_byte", "end_line", "kind", "scope", "start_byte", "start_line", "symbol", "symbols")

    def __init__(
        self,
        start_byte: int,
        end_byte: int,
        start_line: int,
        end_line: int,
        symbol: str,
        scope: str,
        kind: str,
        symbols: tuple[str, ...],
    ) -> None:
        self.start_byte = start_byte
        self.end_byte = end_byte
        self.start_line = start_line
        self.end_line = end_line
        self.symbol = symbol
        self.scope = scope
        self.kind = kind
        self.symbols = symbols

    def __repr__(self) -> str:
        name = f"{self.scope}.{self.symbol}" if self.scope else self.symbol
        return f"<Chunk {self.start_line}-{self.end_line} {self.kind} {name}>"


def chunk(data: bytes, language: str, *, target_bytes: int = TARGET_BYTES) -> list[Chunk]:
    """Cuts a file into chunks of about `target_bytes` and at most twice that.

    The chunks are in order, do not overlap and hold every byte of `data` that is not white space. A
    definition with its comments stays whole up to one and a half times the target. `language` is a name as
    `language.detect` gives it; a language without a grammar, or a file that mostly fails to parse, is cut by
    lines.

    Raises `BuildError` when the grammar of a supported language is not installed.
    """
    chunks: list[Chunk] = []
    limit, hard = target_bytes * 3 // 2, target_bytes * 2
    line, counted = 1, 0
    parses = has_grammar(language)
    for base, stop in windows(data, PARSE_LIMIT_BYTES) if parses else [(0, len(data))]:
        source = data[base:stop]
        units = outline(grammar(language), source, target_bytes, limit) if parses else []
        if not units:
            # Once a stretch of a large file has defeated the parser, the rest is not given another chance to.
            parses = False
            units = markdown_units(source) if language == "markdown" else [Unit(0, len(source), None, [])]
        for piece in pack(units, source, target_bytes, hard):
            text = source[piece.start : piece.end]
            body = text.lstrip()
            if not body:
                continue
            # Blank lines at both ends are dropped; the indentation of the first line stays.
            start = base + piece.end - len(body)
            end = base + piece.start + len(text.rstrip())
            indented = data.rfind(b"\n", counted, start) + 1
            if (indented or not counted) and end - indented <= hard:
                start = indented
            line += data.count(b"\n", counted, start)
            start_line = line
            line += data.count(b"\n", start, end)
            counted = end
            main = piece.main
            chunks.append(
                Chunk(
                    start,
                    end,
                    start_line,
                    line,
                    main.name if main is not None else "",
                    main.scope if main is not None else "",
                    main.kind if main is not None else "",
                    tuple(dict.fromkeys(symbol.name for symbol in piece.symbols)),
                )
            )
    return chunks

"""Results as plain text, for pipes: a line of fields separated by tabs, then the code, indented."""

from __future__ import annotations

import os

import click

from flyweight.cli.printable import printable_path, printable_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight import SearchHit


def display(hits: list[SearchHit], tree: str, lines: int) -> None:
    """Prints each hit: place, language, symbol, score, and the first `lines` lines of its text."""
    for hit in hits:
        click.echo("\t".join([place(hit, tree), hit.language, qualified_symbol(hit) or "-", f"{hit.score:.3f}"]))
        for line in snippet(hit, lines):
            click.echo(f"    {line}".rstrip())


def place(hit: SearchHit, tree: str) -> str:
    """`path:first-last`, the path as seen from the current directory when that lies in the tree."""
    here = os.path.realpath(os.getcwd())
    path = os.path.join(tree, hit.path)
    if (here + os.sep).startswith(tree.rstrip(os.sep) + os.sep):
        path = os.path.relpath(path, here)
    return f"{printable_path(path)}:{hit.start_line}-{hit.end_line}"


def qualified_symbol(hit: SearchHit) -> str:
    """The symbol after the scopes around it: `Ledger.post`; empty when the hit defines nothing."""
    name = f"{hit.scope}.{hit.symbol}" if hit.scope and hit.symbol else hit.symbol
    return printable_path(name)


def snippet(hit: SearchHit, lines: int) -> list[str]:
    """The first `lines` lines of a hit's text, safe to print."""
    return printable_text(hit.text).split("\n", lines)[:lines] if lines else []

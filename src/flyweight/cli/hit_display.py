"""Results on a terminal: headings in colour and code with its syntax highlighted."""

from __future__ import annotations

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from flyweight.cli.hit_listing import place, qualified_symbol, snippet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight import SearchHit

# The lexers' names of languages that they call otherwise.
_LEXERS = {
    "commonlisp": "common-lisp",
    "opencl": "c",
    "gomod": "go",
    "vlang": "v",
    "vb": "vbnet",
    "svelte": "html",
}


def display(hits: list[SearchHit], tree: str, lines: int) -> None:
    """Prints each hit: place, language, symbol, score, and the first `lines` lines of its text."""
    console = Console(highlight=False)
    for number, hit in enumerate(hits):
        if number and lines:
            console.print()
        console.print(_heading(hit, tree), soft_wrap=True)
        shown = snippet(hit, lines)
        if shown:
            console.print(_code(hit, shown))


def _heading(hit: SearchHit, tree: str) -> Text:
    heading = Text(place(hit, tree), style="bold cyan")
    heading.append(f"  {hit.language}", style="not bold default dim")
    symbol = qualified_symbol(hit)
    if symbol:
        heading.append(f"  {symbol}", style="bold magenta")
    heading.append(f"  {hit.score:.3f}", style="not bold yellow")
    return heading


def _code(hit: SearchHit, shown: list[str]) -> Syntax:
    # The terminal's own colours: readable on a light ground and on a dark one.
    return Syntax(
        "\n".join(shown),
        _LEXERS.get(hit.language, hit.language),
        theme="ansi_dark",
        background_color="default",
        line_numbers=True,
        start_line=hit.start_line,
        tab_size=4,
    )

"""`flyweight search`: asks an index a question."""

from __future__ import annotations

import sys

import click

from flyweight.cli.index_location import chosen_index, index_command, tree_of
from flyweight.config import SearchConfig, SearchFilters
from flyweight.engine import SemanticSearchEngine
from flyweight.errors import ConfigError
from flyweight.index.language_names import canonical, suggestions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight import SearchHit
    from flyweight.index.manifest import Manifest

_NOTHING_FOUND = 1  # as grep does


@click.command("search", short_help="Find code by what it means.")
@click.argument("query", nargs=-1, required=True, metavar="QUERY...")
@click.option("-k", "--limit", type=int, default=10, metavar="N", show_default=True, help="Results at most.")
@click.option(
    "-l",
    "--language",
    "languages",
    multiple=True,
    metavar="NAME",
    help="Only this language; may be repeated.",
)
@click.option("--path", "paths", multiple=True, metavar="GLOB", help="Only paths that match; may be repeated.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No paths that match; may be repeated.")
@click.option(
    "--min-score", type=float, default=0.0, metavar="X", help="Only results that score X or more, of about 1."
)
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0),
    default=6,
    metavar="N",
    show_default=True,
    help="Lines shown of each.",
)
@click.option("--no-text", is_flag=True, help="Show where, not what: one line a result.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with all there is to know of each result.")
@click.option(
    "--index",
    "index_option",
    metavar="DIR",
    help="The index.  [default: the nearest .flyweight here or above]",
)
def command(
    query: tuple[str, ...],
    limit: int,
    languages: tuple[str, ...],
    paths: tuple[str, ...],
    exclude: tuple[str, ...],
    min_score: float,
    lines: int,
    no_text: bool,
    as_json: bool,
    index_option: str | None,
) -> None:
    """Find the pieces of code that answer QUERY best, best first.

    The words of a query may say what the code does or name what it defines; quotes are not needed. Globs are
    matched against paths from the top of the indexed tree, as in a .gitignore: '*' stays within a name, '**'
    crosses directories, and the name of a directory stands for all that is beneath it.

    Paths are printed as seen from where you are; with --json, from the top of the tree. Exit status: 0 when
    something was found, 1 when nothing was, 2 when the search could not be made.

    \b
    Examples:
      flyweight search where are retries handled
      flyweight search parse_header -l c -l cpp
      flyweight search "open database connection" --path 'src/**' --exclude '*_test.go'
      flyweight search error handling -k 20 --no-text | cut -f1
    """
    question = " ".join(query).strip()
    if not question:
        raise ConfigError("the query is empty: say what to look for")
    for name in languages:
        _check_language(name)
    filters = SearchFilters(language=languages or None, paths=paths, exclude=exclude, min_score=min_score)
    index_path = chosen_index(index_option)
    # One question is asked: nothing to remember for another.
    with SemanticSearchEngine(SearchConfig(index_path=index_path, cache_size=0)) as engine:
        hits = engine.search(question, limit=limit, filters=filters)
        tree = tree_of(engine.manifest, index_path)
        _print(hits, tree, 0 if no_text else lines, as_json=as_json)
        hint = _hint(engine.manifest, index_path, tree, hits)
    if not hits:
        click.echo(
            f"nothing found for {question!r}{' with these filters' if paths or exclude or languages else ''}",
            err=True,
        )
    if hint:
        click.secho(hint, fg="yellow", err=True)
    if not hits:
        sys.exit(_NOTHING_FOUND)


def _print(hits: list[SearchHit], tree: str, lines: int, *, as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps([hit.as_dict() for hit in hits], indent=2))
        return
    if sys.stdout.isatty():
        from flyweight.cli.hit_display import display
    else:
        from flyweight.cli.hit_listing import display
    display(hits, tree, lines)


def _check_language(name: str) -> None:
    if canonical(name) is not None:
        return
    meant = suggestions(name)
    way_out = f"did you mean {' or '.join(meant)}?" if meant else "'flyweight status' lists the languages of an index"
    raise ConfigError(f"unknown language {name!r}: {way_out}")


def _hint(manifest: Manifest, index_path: str, tree: str, hits: list[SearchHit]) -> str | None:
    """What is amiss with the index, in one line."""
    update = index_command(tree, index_path)
    if not manifest.complete:
        from flyweight.index.checkup import writer_of

        if writer_of(index_path):
            return "note: this index is still being made; there may be more to find when it is done"
        return f"note: this index is incomplete: '{update}' goes on where it was interrupted"
    if tree != manifest.root:
        return f"note: this tree was indexed at {manifest.root}: '{update} --rebuild' corrects that"
    from flyweight.cli.freshness import outdated_files

    outdated = outdated_files(hits, tree, index_path)
    if not outdated:
        return None
    what = f"{outdated[0]} has" if len(outdated) == 1 else f"{len(outdated)} of these files have"
    return f"note: {what} changed since: '{update}' brings the index up to date"

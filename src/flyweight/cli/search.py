"""`flyweight search`: asks an index a question."""

from __future__ import annotations

import os
import sys

import click

from flyweight.cli.embedder_options import Choice, embedder_and_store_options
from flyweight.cli.index_location import index_command, index_to_read, tree_of
from flyweight.cli.printable import printable_path
from flyweight.config import SearchConfig, SearchFilters
from flyweight.engine import SemanticSearchEngine
from flyweight.errors import ConfigError
from flyweight.index.language_names import canonical, suggestions
from flyweight.index.manifest import Manifest, manifest_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.index.reader import IndexInfo
    from flyweight.results import SearchResults

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
@embedder_and_store_options
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
    choice: Choice,
) -> None:
    """Find the pieces of code that answer QUERY best, best first.

    The words of a query may say what the code does or name what it defines; quotes are not needed. Globs are
    matched against paths from the top of the indexed tree, as in a .gitignore: '*' stays within a name, '**'
    crosses directories, and the name of a directory stands for all that is beneath it.

    Paths are printed as seen from where you are; with --json, from the top of the tree. Exit status: 0 when
    something was found, 1 when nothing was, 2 when the search could not be made.

    The index says which embedder and which store it has. When a service that embeds queries is out of reach,
    the words of the query decide alone; a note says so, and each result of --json has "degraded": true.

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
    index_path = index_to_read(index_option, choice.store)
    config = SearchConfig(
        index_path=index_path,
        cache_size=0,  # one question is asked: nothing to remember for another
        embedder=choice.embedder,
        embedder_options=choice.embedder_options,
        store=choice.store,
        store_options=choice.store_options,
    )
    with SemanticSearchEngine(config) as engine:
        hits = engine.search(question, limit=limit, filters=filters)
        index = engine.manifest
        tree = tree_of(index, index_path)
        _print(hits, tree, 0 if no_text else lines, as_json=as_json)
        hint = _hint(index, index_path, tree, hits)
    if not hits:
        click.echo(f"nothing found for {question!r}{_reason(filters, index, index_path, tree)}", err=True)
    if hits.degraded:
        click.secho(f"note: answered by the words of the query alone: {hits.reason}", fg="yellow", err=True)
    if hint:
        click.secho(hint, fg="yellow", err=True)
    if not hits:
        sys.exit(_NOTHING_FOUND)


def _print(hits: SearchResults, tree: str, lines: int, *, as_json: bool) -> None:
    if as_json:
        import json

        more = {"degraded": True} if hits.degraded else {}
        click.echo(json.dumps([{**hit.as_dict(), **more} for hit in hits], indent=2))
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


def _reason(filters: SearchFilters, index: IndexInfo, index_path: str, tree: str) -> str:
    """Why nothing may have been found, as far as it can be told."""
    if not index.live_chunks:
        listing = index_command(tree, index_path, "--dry-run")
        return f": the index holds nothing; '{listing}' says why each file is left out"
    narrowed = " with these filters" if filters.paths or filters.exclude or filters.languages else ""
    score = f" that scores {filters.min_score:g} or more" if filters.min_score else ""
    top = f": paths are matched from the top of {printable_path(tree)}" if filters.paths else ""
    return narrowed + score + top


def _hint(index: IndexInfo, index_path: str, tree: str, hits: SearchResults) -> str | None:
    """What is amiss with the index, in one line."""
    update = index_command(tree, index_path)
    indexed_ns = 0  # when a store was written to is not known: all files are looked into
    if isinstance(index, Manifest):
        indexed_ns = os.stat(manifest_path(index_path)).st_mtime_ns
        if not index.complete:
            from flyweight.index.checkup import writer_of

            if writer_of(index_path):
                return "note: this index is still being made; there may be more to find when it is done"
            return f"note: this index is incomplete: '{update}' goes on where it was interrupted"
    if tree != index.root:
        return f"note: this tree was indexed at {index.root}: '{update} --rebuild' corrects that"
    from flyweight.cli.freshness import outdated_files

    outdated = outdated_files(hits, tree, indexed_ns) if os.path.isdir(tree) else []
    if not outdated:
        return None
    what = f"{outdated[0]} has" if len(outdated) == 1 else f"{len(outdated)} of these files have"
    return f"note: {what} changed since: '{update}' brings the index up to date"

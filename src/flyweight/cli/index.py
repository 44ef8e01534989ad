"""`flyweight index`: brings an index up to date, or says what it would take in."""

from __future__ import annotations

import os
import signal
import sys

import click

from flyweight.cli.embedder_options import Choice, embedder_and_store_options, most_dimensions
from flyweight.cli.index_location import INDEX_NAME, find_index, index_command
from flyweight.cli.printable import printable_path
from flyweight.cli.quantity import count_text, duration_text, size_bytes, size_text, tally
from flyweight.config import DEFAULT_MEMORY_BUDGET, MIN_MEMORY_BUDGET, SearchConfig
from flyweight.errors import FlyweightError, IndexWriteError, PathError
from flyweight.index.manifest import read_manifest
from flyweight.store import SEGMENTS
from flyweight.store.lancedb.location import StoreLocation
from flyweight.store.pointer import read_pointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from flyweight.cli.progress_bar import ProgressBar, ProgressLines
    from flyweight.embed.settings import EmbedderSettings
    from flyweight.index.estimate import Estimate
    from flyweight.index.stats import IndexStats

_TERMINATED = 128
_UNEMBEDDED_SHOWN = 10


@click.command("index", short_help="Index a directory, or bring its index up to date.")
@click.argument("path", default=".", metavar="[PATH]")
@click.option("--index", "index_option", metavar="DIR", help="Where the index lies.  [default: PATH/.flyweight]")
@click.option(
    "--memory-budget",
    type=size_bytes,
    metavar="SIZE",
    default=f"{DEFAULT_MEMORY_BUDGET >> 20}M",
    show_default=True,
    help="Private memory of all builder processes together.",
)
@click.option(
    "--dimensions",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="Length of the vectors: fewer make a smaller index that finds a little less.  "
    "[default: as the index has, as many as the embedder makes in a new one]",
)
@embedder_and_store_options
@click.option("--max-requests", type=click.IntRange(1), metavar="N", help="Ask the embedding service at most N times.")
@click.option(
    "--max-tokens", type=click.IntRange(1), metavar="N", help="Pay the embedding service for at most N tokens."
)
@click.option("--workers", type=click.IntRange(1, 256), metavar="N", help="Processes.  [default: one per core]")
@click.option("--rebuild", is_flag=True, help="Start afresh; until that is done searches see the old index.")
@click.option("--dry-run", is_flag=True, help="List what would be indexed and what not, with the reason, and stop.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as a JSON object (a dry run: one a line).")
def command(
    path: str,
    index_option: str | None,
    memory_budget: int,
    dimensions: int | None,
    choice: Choice,
    max_requests: int | None,
    max_tokens: int | None,
    workers: int | None,
    rebuild: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Index the directory PATH (default: the one you are in), or bring its index up to date.

    Files are chosen as git would choose them; a .flyweightignore, written like a .gitignore, leaves out more.
    Only what changed since the last time is read again. Stop it whenever you like: what is indexed so far can
    be searched, and the next run goes on from there. What an embedding service was paid for is kept, also if the
    run is killed.

    \b
    Examples:
      flyweight index                           the current directory
      flyweight index ~/src/app --dry-run       what would be indexed?
      flyweight index --index /var/tmp/app.idx  keep the index elsewhere
      flyweight index --memory-budget 128M      more memory, larger steps
      flyweight index --embedder titan --region us-east-1 --dry-run
                                                what would Amazon Titan cost?
      flyweight index --store lancedb:s3://bucket/code
                                                keep the index in a LanceDB table
    """
    if memory_budget < MIN_MEMORY_BUDGET:
        raise click.UsageError(f"--memory-budget must be {MIN_MEMORY_BUDGET >> 20}M or more")
    tree = os.path.realpath(path)
    if os.path.isfile(tree):
        raise PathError(f"cannot index {path!r}: it is a file; name the directory it is in")
    index_path = os.path.realpath(index_option) if index_option else os.path.join(tree, INDEX_NAME)
    settings = choice.settings(index_path, dimensions, needs_store=not dry_run)
    if dry_run:
        from flyweight.cli.plan_listing import list_plan

        present = index_path if choice.is_of_segments(index_path) and not rebuild else None
        estimate = _estimate(settings, present) if settings.is_remote else None
        list_plan(tree, as_json=as_json, estimate=estimate)
        return
    if path == "." and index_option is None and not quiet:
        _point_out_enclosing_index(tree)
    config = SearchConfig(
        index_path=index_path,
        memory_budget=memory_budget,
        max_embedding_dim=most_dimensions(settings),
        embedder=settings.spec,
        embedder_options=settings.options,
        store=choice.store,
        store_options=choice.store_options,
        max_requests=max_requests,
        max_tokens=max_tokens,
    )
    try:
        stats = _run(config, tree, rebuild=rebuild, workers=workers or 0, quiet=quiet)
        if stats.interrupted:
            raise KeyboardInterrupt
    except IndexWriteError as error:
        if index_option is None and choice.is_of_segments(index_path):
            raise IndexWriteError(f"{error}; --index DIR keeps the index elsewhere") from None
        raise
    except KeyboardInterrupt:
        if not quiet:
            click.echo(_interruption(tree, index_path, choice, rebuild=rebuild), err=True)
        raise
    if as_json:
        import json

        store, stored_bytes = _stored(index_path)
        outcome = {"root": tree, "index": index_path, "store": store, **stats.as_dict(), "size_bytes": stored_bytes}
        click.echo(json.dumps(outcome))
    elif not quiet:
        click.echo(_summary(stats, tree, index_path, choice, rebuild=rebuild))


def _run(config: SearchConfig, tree: str, *, rebuild: bool, workers: int, quiet: bool) -> IndexStats:
    from flyweight.engine import SemanticSearchEngine

    with SemanticSearchEngine(config) as engine:
        if quiet:
            with _OrderlyStop(None):
                return engine.index(tree, rebuild=rebuild, workers=workers)
        from flyweight.cli.progress_bar import progress_display

        with progress_display() as display, _OrderlyStop(display):
            return engine.index(tree, progress=display, rebuild=rebuild, workers=workers)


class _OrderlyStop:
    """While in effect, a signal to end reaches the builder, which commits what it has before it exits."""

    def __init__(self, display: ProgressBar | ProgressLines | None) -> None:
        self._display = display
        self._before: dict[int, object] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._stop)

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._display is not None and number == signal.SIGINT:
            self._display.stopping()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(_TERMINATED + number)


def _estimate(settings: EmbedderSettings, index_path: str | None) -> Estimate:
    from flyweight.embed.remote import remote_embedder
    from flyweight.index.estimate import Estimate

    return Estimate(settings, remote_embedder(settings), index_path=index_path)


def _point_out_enclosing_index(tree: str) -> None:
    found = find_index(tree)
    if found is not None and os.path.dirname(found) != tree:
        click.secho(
            f"note: {os.path.dirname(found)} has an index already, which covers this directory; this makes another one",
            fg="yellow",
            err=True,
        )


def _summary(stats: IndexStats, tree: str, index_path: str, choice: Choice, *, rebuild: bool) -> str:
    abandoned = rebuild and bool(stats.stopped)
    outcome = f"{count_text(stats.files, 'file')}, {count_text(stats.chunks, 'chunk')},"
    if abandoned:
        outcome = f"not rebuilt, {count_text(stats.chunks, 'chunk')} as before,"
    lines = [f"{click.style(printable_path(tree), bold=True)}: {outcome} in {duration_text(stats.seconds)}"]
    changes = [(stats.added, "added"), (stats.changed, "changed"), (stats.removed, "removed")]
    parts = [f"{count:,} {name}" for count, name in changes if count]
    if not parts and stats.files and not stats.stopped:
        lines.append("  nothing has changed")
    elif parts and not abandoned:
        lines.append("  " + ", ".join([*parts, f"{stats.unchanged:,} unchanged"]))
    if stats.skipped:
        lines.append(f"  skipped: {tally(stats.skipped)}")
    lines += _service_lines(stats)
    if parts:
        store = f", {size_text(stats.store_private_bytes)} in the store's own" if stats.store_private_bytes else ""
        lines.append(
            f"  memory: at most {size_text(stats.peak_private_bytes)} in all builder processes together{store}"
        )
    if stats.stopped:
        again = _again(tree, index_path, choice, rebuild=rebuild)
        lines.append(click.style(f"  stopped early: {stats.stopped} ('{again}')", fg="yellow"))
    lines += [click.style(f"  note: {note}", fg="yellow") for note in stats.notes]
    lines.append(f"  index: {_place(index_path)}")
    if not stats.files and not stats.stopped:
        listing = index_command(tree, os.path.join(tree, INDEX_NAME), "--dry-run")
        lines.append(f"  there is nothing to search: '{listing}' says why each file is left out")
    return "\n".join(lines)


def _service_lines(stats: IndexStats) -> list[str]:
    lines = []
    if stats.requests or stats.cached_embeddings:
        lines.append(
            f"  embedding: {count_text(stats.requests, 'request')}, {count_text(stats.tokens, 'token')}; "
            f"{count_text(stats.cached_embeddings, 'chunk')} paid for already"
        )
    if stats.unembedded_chunks:
        head = f"  {count_text(stats.unembedded_chunks, 'chunk')} without a vector, found by their words only:"
        lines.append(click.style(head, fg="yellow"))
        for path, first_line, last_line, reason in stats.unembedded[:_UNEMBEDDED_SHOWN]:
            lines.append(f"    {printable_path(path)}:{first_line}-{last_line}: {reason}")
        if stats.unembedded_chunks > _UNEMBEDDED_SHOWN:
            lines.append(f"    and {stats.unembedded_chunks - _UNEMBEDDED_SHOWN:,} more; the next run tries them again")
    return lines


def _place(index_path: str) -> str:
    store, stored_bytes = _stored(index_path)
    place = printable_path(index_path)
    if store != SEGMENTS:
        place = f"{printable_path(store)}, which {place} points to"
    return place if stored_bytes is None else f"{place}, {size_text(stored_bytes)}"


def _stored(index_path: str) -> tuple[str, int | None]:
    """The store, and how much lies in it: None where that is not on this machine."""
    found = read_pointer(index_path)
    if found is None:
        return SEGMENTS, _bytes_below(index_path)
    location = StoreLocation.parse(*found)
    return location.spec, _bytes_below(location.table_directory) if location.is_local else None


def _again(tree: str, index_path: str, choice: Choice, *, rebuild: bool) -> str:
    return index_command(tree, index_path, *choice.arguments(), *(["--rebuild"] if rebuild else []))


def _interruption(tree: str, index_path: str, choice: Choice, *, rebuild: bool) -> str:
    again = _again(tree, index_path, choice, rebuild=rebuild)
    if rebuild:
        return f"Interrupted: what could be searched before still can; '{again}' starts the rebuild again."
    go_on = f"'{again}' goes on from there"
    if read_pointer(index_path) is not None:
        return f"Interrupted: what is indexed so far can be searched already; {go_on}."
    try:
        chunks = read_manifest(index_path).live_chunks
    except FlyweightError:
        chunks = 0
    if not chunks:
        return f"Interrupted before anything was indexed: '{again}' starts again."
    return f"Interrupted: {count_text(chunks, 'chunk')} can be searched already; {go_on}."


def _bytes_below(directory: str) -> int:
    return sum(
        os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(directory) for name in names
    )

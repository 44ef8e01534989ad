"""`flyweight bench`: measures Flyweight on your own code, beside its peers."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from flyweight.errors import FlyweightError
from flyweight.observe.bench.comparison import compare
from flyweight.observe.bench.configurations import EMBEDDERS, STORES, configurations
from flyweight.observe.bench.job import DEFAULT_FILES, DEFAULT_LANGUAGE, QUERIES, job_of
from flyweight.observe.bench.line_process import ProcessEnded
from flyweight.observe.bench.measurement import Effort
from flyweight.observe.bench.writers import WRITERS, terminal


@click.group("bench", short_help="Measure what it costs, on your own code.")
def command() -> None:
    """Measure Flyweight on your own code, beside its peers.

    \b
    Examples:
      flyweight bench memory
      flyweight bench memory ~/src/axum --files 50
    """


@command.command("memory", short_help="Memory of an engine: by phase, query and component.")
@click.argument("path", required=False, default=".", metavar="[PATH]")
@click.option(
    "--files",
    type=click.IntRange(1, 100_000),
    default=DEFAULT_FILES,
    metavar="N",
    show_default=True,
    help="Take the N largest files of the language.",
)
@click.option(
    "-l", "--language", default=DEFAULT_LANGUAGE, metavar="NAME", show_default=True, help="Language of these."
)
@click.option(
    "--queries",
    multiple=True,
    metavar="TEXT",
    help="A query to ask; may be repeated.  [default: five]",
)
@click.option(
    "--embedder",
    "embedders",
    multiple=True,
    type=click.Choice(list(EMBEDDERS)),
    help="Only this embedder; may be repeated.  [default: static, and Titan's first version]",
)
@click.option(
    "--store",
    "stores",
    multiple=True,
    type=click.Choice(list(STORES)),
    help="Only this store; may be repeated.  [default: all]",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(WRITERS)),
    default="terminal",
    show_default=True,
    help="Of the output.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to a file.",
)
@click.option("--peers/--no-peers", default=True, show_default=True, help="Also measure the peers that are installed.")
@click.option(
    "--peers-python",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The interpreter that has the peers.  [default: the one that runs this]",
)
@click.option("--quick", is_flag=True, help="Fewer repeats, shorter watching.")
def memory(
    path: str,
    files: int,
    language: str,
    queries: tuple[str, ...],
    embedders: tuple[str, ...],
    stores: tuple[str, ...],
    format_name: str,
    output: Path | None,
    peers: bool,
    peers_python: Path | None,
    quick: bool,
) -> None:
    """Measure what an engine costs on files below PATH (default: here), phase by phase, and explain it.

    Each configuration runs twice, each time in a process of its own: once as any program would run it, measured from
    outside, and once under the profiler, which says what that memory is. Titan is a stand-in on loopback, asked over
    TLS. Peers (LanceDB with boto3, Chroma, semble) do the same job where they are installed. Nothing leaves the
    machine.

    \b
    Examples:
      flyweight bench memory ~/src/axum
      flyweight bench memory --language python --files 50 --quick
      flyweight bench memory --peers-python .venv-peers/bin/python --format markdown -o memory.md
    """
    if output is not None and not output.absolute().parent.is_dir():
        raise click.UsageError(f"there is no directory for --output {output}")
    for query in queries:
        if not query.strip() or not query.isprintable():
            raise click.UsageError(f"--queries {query!r} is not a line of text")
    job = job_of(path, files, language, queries or QUERIES)
    effort = Effort.quick() if quick else Effort()
    python = str(peers_python.absolute() if peers_python is not None else sys.executable) if peers else None
    try:
        document = compare(job, configurations(embedders, stores), effort, python, _say)
    except ProcessEnded as error:
        raise FlyweightError(f"{error}: nothing was measured") from None
    if output is not None:
        output.write_text(WRITERS[format_name](document), encoding="utf-8")
        click.echo(f"wrote {output}", err=True)
    elif format_name == "terminal" and sys.stdout.isatty():
        from rich.console import Console

        terminal(document, Console())
    else:
        click.echo(WRITERS[format_name](document), nl=False)


def _say(message: str) -> None:
    click.secho(f"measuring {message}", dim=True, err=True)

"""`flyweight report`: what a capture says, for people or for other tools."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from flyweight.errors import ConfigError
from flyweight.memory.sites import ORDERS
from flyweight.observe.document import read
from flyweight.observe.render import FORMATS, Wish, format_of, rendered, write
from flyweight.observe.sections import DEFAULT_TOP_N

_BINARY = ("pprof",)


@click.command("report", short_help="Make a report or an export of a capture.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(FORMATS)),
    help="What to make of it.  [default: what the name of -o says, else terminal]",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write it to a file. Its name may say the format: "
    f"{', '.join(suffix for each in FORMATS.values() for suffix in each.suffixes)}.",
)
@click.option(
    "--top",
    "top_n",
    metavar="N",
    type=click.IntRange(1, 5000),
    default=DEFAULT_TOP_N,
    show_default=True,
    help="Rows of the tables in terminal and Markdown reports.",
)
@click.option(
    "--by",
    type=click.Choice(list(ORDERS)),
    default="live",
    show_default=True,
    help="What orders the sites, and what collapsed stacks count: bytes that are live now, bytes at the peak, "
    "all bytes allocated, or allocations.",
)
@click.option("--open", "opened", is_flag=True, help="Show the HTML page in a browser.")
@click.argument("capture", type=click.Path(exists=True, dir_okay=False), metavar="CAPTURE")
def command(capture: str, format_name: str | None, output: str | None, top_n: int, by: str, opened: bool) -> None:
    """Show a capture, or make of it what other tools read.

    A capture is what 'flyweight run --output capture.json' or flyweight.memory.save("capture.json") has written:
    everything the profiler knew at that moment.

    \b
    Examples:
      flyweight report capture.json
      flyweight report capture.json -o report.html --open
      flyweight report capture.json --format markdown >> $GITHUB_STEP_SUMMARY
      flyweight report capture.json -o heap.pb.gz && go tool pprof -http : heap.pb.gz
      flyweight report capture.json -o heap.speedscope.json    (drop it on speedscope.app)
      flyweight report capture.json --format collapsed --by peak | flamegraph.pl > peak.svg
    """
    if format_name is None:
        format_name = format_of(output).name if output else "html" if opened else "terminal"
    if opened and (format_name != "html" or output is None):
        raise click.UsageError("--open shows an HTML page that was written: say -o report.html --open")
    if output is None and format_name in _BINARY and sys.stdout.isatty():
        raise click.UsageError(f"{format_name} is no text for a terminal: say -o heap.pb.gz")
    if output is not None and Path(output).exists() and Path(output).samefile(capture):
        raise ConfigError(f"{output} is the capture itself: give the report another name with -o")
    document = read(capture)
    if output is None and format_name == "terminal" and sys.stdout.isatty():
        from rich.console import Console

        from flyweight.observe.terminal import show

        show(document, Console(), top_n, by)
        return
    content = rendered(document, FORMATS[format_name], Wish(top_n, by))
    if output is None:
        sys.stdout.buffer.write(content)
        return
    write(output, content)
    if opened:
        click.launch(output)

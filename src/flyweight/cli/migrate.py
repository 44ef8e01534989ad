"""`flyweight migrate`: moves an index to another store without embedding again."""

from __future__ import annotations

import os

import click

from flyweight.cli.embedder_options import option_pairs
from flyweight.cli.printable import printable_path
from flyweight.cli.progress_bar import progress_display
from flyweight.cli.quantity import count_text, duration_text, size_text
from flyweight.store.migration import Place, migrate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.store.migration import Migrated


@click.command("migrate", short_help="Move an index to another store without embedding again.")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option(
    "--from-option", multiple=True, metavar="NAME=VALUE", help="An option of the store FROM; may be repeated."
)
@click.option("--to-option", multiple=True, metavar="NAME=VALUE", help="An option of the store TO; may be repeated.")
@click.option("--force", is_flag=True, help="Overwrite the index that TO holds.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as a JSON object.")
def command(
    source: str,
    target: str,
    from_option: tuple[str, ...],
    to_option: tuple[str, ...],
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Copy the index FROM to TO without embedding anything again.

    Each is an index directory, such as .flyweight, or a LanceDB table, given as lancedb:URI: a directory, or a
    place in object storage. TO shows the index when all of it is there, and not before: a run that fails or is
    stopped leaves TO as it was, and can simply be repeated. FROM is only read.

    Credentials for object storage are found where the AWS tools find them.

    \b
    Examples:
      flyweight migrate .flyweight lancedb:/var/lib/code.lance
      flyweight migrate .flyweight lancedb:s3://bucket/code --to-option region=eu-central-1
      flyweight migrate lancedb:s3://bucket/code /tmp/code.idx
                                        back to mapped files
      flyweight migrate lancedb:/var/lib/code.lance lancedb:s3://bucket/code
                                        from one table to another
    """
    ends = (
        Place(source, option_pairs("--from-option", from_option)),
        Place(target, option_pairs("--to-option", to_option)),
    )
    if quiet:
        outcome = migrate(*ends, force=force)
    else:
        with progress_display() as display:
            outcome = migrate(*ends, force=force, progress=display)
    if as_json:
        import json

        click.echo(json.dumps({"from": ends[0].name, "to": ends[1].name, **outcome.as_dict()}))
    elif not quiet:
        click.echo(_summary(outcome, ends[1]))


def _summary(outcome: Migrated, target: Place) -> str:
    counts = f"{count_text(outcome.files, 'file')}, {count_text(outcome.chunks, 'chunk')}"
    lines = [
        f"{click.style(printable_path(target.name), bold=True)}: {counts}, in {duration_text(outcome.seconds)}",
        f"  of {printable_path(outcome.root)}; {size_text(outcome.size_bytes)} of source text, none embedded again",
        f"  to keep it up to date: {_index_command(outcome.root, target)}",
    ]
    return "\n".join(lines)


def _index_command(root: str, target: Place) -> str:
    import shlex

    words = ["flyweight", "index", root]
    if target.is_table:
        words += ["--store", target.spec]
        for name, value in target.options.items():
            words += ["--store-option", f"{name}={value}"]
    elif target.directory != os.path.join(root, ".flyweight"):
        words += ["--index", target.directory]
    return shlex.join(words)

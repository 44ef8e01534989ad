"""`flyweight doctor`: is an index sound, and if not, what mends it?"""

from __future__ import annotations

import os
import shlex
import sys

import click

from flyweight.cli.embedder_options import Choice, embedder_and_store_options
from flyweight.cli.index_location import INDEX_NAME, index_command, index_to_read, tree_of
from flyweight.cli.printable import printable_path
from flyweight.config import SearchConfig
from flyweight.errors import FlyweightError
from flyweight.index.checkup import NOTE, PROBLEM, REBUILD, SOUND, UPDATE, Finding, check_index
from flyweight.index.manifest import read_manifest
from flyweight.opened_index import store_location
from flyweight.store import SEGMENTS

_NOT_SOUND = 1
_MARKS = {SOUND: ("ok", "green"), NOTE: ("note", "yellow"), PROBLEM: ("wrong", "red")}


@click.command("doctor", short_help="Check an index and say how to mend it.")
@click.option(
    "--index",
    "index_option",
    metavar="DIR",
    help="The index.  [default: the nearest .flyweight here or above]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON object.")
@embedder_and_store_options
def command(index_option: str | None, as_json: bool, choice: Choice) -> None:
    """Check an index byte by byte, say what is wrong with it and what to type to mend it.

    Nothing is changed. A service that embeds queries is asked for one vector. Exit status: 0 when the index is
    sound (there may be notes), 1 when it is not.

    \b
    Examples:
      flyweight doctor
      flyweight doctor --index /var/tmp/app.idx
      flyweight doctor --store lancedb:s3://bucket/code
    """
    index_path = index_to_read(index_option, choice.store)
    config = SearchConfig(index_path, store=choice.store, store_options=choice.store_options)
    location = store_location(config, index_path)
    if location is None:
        findings = check_index(index_path, choice.embedder_options)
    else:
        from flyweight.store.lancedb.checkup import check_table

        findings = check_table(location, choice.embedder_options)
    sound = all(finding.status != PROBLEM for finding in findings)
    remedies = [_remedy(finding, index_path, choice) for finding in findings]
    if as_json:
        import json

        records = [
            {
                "check": finding.check,
                "status": finding.status,
                "message": finding.message,
                "remedy": remedy,
            }
            for finding, remedy in zip(findings, remedies, strict=True)
        ]
        place = {"index": index_path, "store": SEGMENTS}
        if location is not None:
            place = {"store": location.spec, "table": location.table}
        click.echo(json.dumps({**place, "sound": sound, "findings": records}, indent=2))
    else:
        _print(findings, remedies, sound)
    if not sound:
        sys.exit(_NOT_SOUND)


def _print(findings: list[Finding], remedies: list[str], sound: bool) -> None:
    for finding, remedy in zip(findings, remedies, strict=True):
        word, colour = _MARKS[finding.status]
        first, *more = finding.message.split("\n")
        click.echo(f"{click.style(f'{word:<6}', fg=colour)} {finding.check:<10} {printable_path(first)}")
        for line in more:
            click.echo(f"{'':<18}{printable_path(line)}")
        if remedy:
            click.echo(f"{'':<17} {click.style('->', bold=True)} {remedy}")
    problems = sum(finding.status == PROBLEM for finding in findings)
    if sound:
        click.secho("The index is sound.", fg="green")
    else:
        click.secho(
            f"The index is not sound: {problems} {'thing is' if problems == 1 else 'things are'} wrong.",
            fg="red",
        )


def _remedy(finding: Finding, index_path: str, choice: Choice) -> str:
    if finding.remedy not in (UPDATE, REBUILD):
        return finding.remedy
    options = [*choice.arguments(), *(["--rebuild"] if finding.remedy == REBUILD else [])]
    if choice.store not in (None, SEGMENTS):  # a table is not beside its tree
        return f"run: {shlex.join(['flyweight', 'index', 'PATH', *options])} (PATH: where the code is)"
    try:
        tree = tree_of(read_manifest(index_path), index_path)
    except FlyweightError:
        if os.path.basename(index_path) != INDEX_NAME:
            return f"run: {index_command('PATH', index_path, *options)} (PATH: where the code is)"
        tree = os.path.dirname(index_path)
    return f"run: {index_command(tree, index_path, *options)}"

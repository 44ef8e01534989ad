"""`flyweight doctor`: is an index sound, and if not, what mends it?"""

from __future__ import annotations

import os
import sys

import click

from flyweight.cli.index_location import INDEX_NAME, chosen_index, index_command, tree_of
from flyweight.cli.printable import printable_path
from flyweight.errors import FlyweightError, IndexMissingError
from flyweight.index.checkup import NOTE, PROBLEM, REBUILD, SOUND, UPDATE, Finding, check_index
from flyweight.index.manifest import read_manifest

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
def command(index_option: str | None, as_json: bool) -> None:
    """Check an index byte by byte, say what is wrong with it and what to type to mend it.

    Nothing is changed. Exit status: 0 when the index is sound (there may be notes), 1 when it is not.

    \b
    Examples:
      flyweight doctor
      flyweight doctor --index /var/tmp/app.idx
    """
    index_path = _index_to_check(index_option)
    findings = check_index(index_path)
    sound = all(finding.status != PROBLEM for finding in findings)
    remedies = {id(finding): _remedy(finding, index_path) for finding in findings}
    if as_json:
        import json

        records = [
            {
                "check": finding.check,
                "status": finding.status,
                "message": finding.message,
                "remedy": remedies[id(finding)],
            }
            for finding in findings
        ]
        click.echo(json.dumps({"index": index_path, "sound": sound, "findings": records}, indent=2))
    else:
        _print(findings, index_path, sound)
    if not sound:
        sys.exit(_NOT_SOUND)


def _index_to_check(option: str | None) -> str:
    try:
        return chosen_index(option)
    except IndexMissingError:
        # One that has lost its manifest is what a doctor is for.
        here = os.path.join(os.path.realpath(os.getcwd()), INDEX_NAME)
        if os.path.isdir(here):
            return here
        raise


def _print(findings: list[Finding], index_path: str, sound: bool) -> None:
    for finding in findings:
        word, colour = _MARKS[finding.status]
        click.echo(f"{click.style(f'{word:<6}', fg=colour)} {finding.check:<10} {printable_path(finding.message)}")
        remedy = _remedy(finding, index_path)
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


def _remedy(finding: Finding, index_path: str) -> str:
    if finding.remedy not in (UPDATE, REBUILD):
        return finding.remedy
    options = ["--rebuild"] if finding.remedy == REBUILD else []
    try:
        tree = tree_of(read_manifest(index_path), index_path)
    except FlyweightError:
        if os.path.basename(index_path) != INDEX_NAME:
            return f"run: {index_command('PATH', index_path, *options)} (PATH: where the code is)"
        tree = os.path.dirname(index_path)
    return f"run: {index_command(tree, index_path, *options)}"

"""Prints what a build would take in: one line an entry, as soon as it is known, and the totals."""

from __future__ import annotations

import json

import click

from flyweight.cli.printable import printable_path
from flyweight.cli.quantity import count_text, size_text, tally
from flyweight.index.plan import PlannedFile, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from flyweight.index.estimate import Estimate
    from flyweight.index.walk import Skipped

_WORD_COLUMN = 20  # the longest reason and the longest language fit
_LEAST_COST_USD = 0.0001  # shown


def list_plan(tree: str, *, as_json: bool, estimate: Estimate | None = None) -> None:
    """With an `estimate` of what embedding takes among the totals.

    Raises PathError when `tree` is not a directory that can be read.
    """
    entries = plan(tree, look=None if estimate is None else estimate.add)
    totals = _Totals()
    for entry in totals.counted(entries):
        if isinstance(entry, PlannedFile):
            record = {"path": entry.path, "language": entry.language, "size_bytes": entry.size_bytes}
            line = f"index  {entry.language:<{_WORD_COLUMN}}  {printable_path(entry.path)}"
        else:
            record = {"path": entry.path, "skipped": entry.reason}
            line = click.style(f"skip   {entry.reason:<{_WORD_COLUMN}}  {printable_path(entry.path)}", dim=True)
        click.echo(json.dumps(record) if as_json else line)
    if as_json:
        embedding = {} if estimate is None else {"embedding": estimate.as_dict()}
        click.echo(json.dumps({"totals": {**totals.as_dict(), **embedding}}))
    else:
        click.echo("\n" + totals.as_text(tree) + ("" if estimate is None else "\n" + _estimate_text(estimate)))


class _Totals:
    def __init__(self) -> None:
        self.files = 0
        self.size_bytes = 0
        self.languages: dict[str, int] = {}
        self.skipped: dict[str, int] = {}

    def counted(self, entries: Iterable[PlannedFile | Skipped]) -> Iterable[PlannedFile | Skipped]:
        for entry in entries:
            if isinstance(entry, PlannedFile):
                self.files += 1
                self.size_bytes += entry.size_bytes
                self.languages[entry.language] = self.languages.get(entry.language, 0) + 1
            else:
                self.skipped[entry.reason] = self.skipped.get(entry.reason, 0) + 1
            yield entry

    def as_dict(self) -> dict[str, object]:
        return {
            "files": self.files,
            "size_bytes": self.size_bytes,
            "languages": self.languages,
            "skipped": self.skipped,
        }

    def as_text(self, tree: str) -> str:
        lines = [
            f"{click.style(printable_path(tree), bold=True)}: {count_text(self.files, 'file')} "
            f"to index, {size_text(self.size_bytes)}"
        ]
        if self.languages:
            lines.append(f"  languages: {tally(self.languages)}")
        if self.skipped:
            lines.append(f"  skipped: {tally(self.skipped)}")
        return "\n".join(lines)


def _estimate_text(estimate: Estimate) -> str:
    line = (
        f"  embedding: {count_text(estimate.chunks, 'chunk')} that the index does not have, "
        f"{estimate.cached:,} paid for already; about {count_text(estimate.requests, 'request')}, "
        f"{count_text(estimate.tokens, 'token')}"
    )
    cost_usd = estimate.cost_usd
    if cost_usd is None:
        return f"{line} (give --embedder-option price_per_million_tokens=DOLLARS for the cost)"
    if 0 < cost_usd < _LEAST_COST_USD:
        return f"{line}, less than ${_LEAST_COST_USD}"
    return f"{line}, ${cost_usd:,.{4 if 0 < cost_usd < 1 else 2}f}"

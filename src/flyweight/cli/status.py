"""`flyweight status`: what an index holds and how it is."""

from __future__ import annotations

import os
from datetime import datetime

import click

from flyweight.cli.embedder_options import option_pairs
from flyweight.cli.index_location import index_command, index_to_read, tree_of
from flyweight.cli.printable import printable_path
from flyweight.cli.quantity import count_text, size_text, tally
from flyweight.config import SearchConfig
from flyweight.index.catalogue import LiveSegment
from flyweight.index.checkup import writer_of
from flyweight.index.manifest import Manifest, manifest_path, read_manifest
from flyweight.opened_index import store_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.index.manifest import SegmentEntry


@click.command("status", short_help="Say what an index holds and how it is.")
@click.option(
    "--index",
    "index_option",
    metavar="DIR",
    help="The index.  [default: the nearest .flyweight here or above]",
)
@click.option(
    "--store", metavar="SPEC", help="Where the index is kept, such as lancedb:URI.  [default: as the index says]"
)
@click.option("--store-option", metavar="NAME=VALUE", multiple=True, help="An option of the store; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(index_option: str | None, store: str | None, store_option: tuple[str, ...], as_json: bool) -> None:
    """Say what an index holds: of which tree, how much, in which languages, how large it is, how old, and
    whether it is complete.

    \b
    Examples:
      flyweight status
      flyweight status --json | jq .languages
    """
    index_path = index_to_read(index_option, store)
    options = option_pairs("--store-option", store_option)
    location = store_location(SearchConfig(index_path, store=store, store_options=options), index_path)
    if location is not None:
        from flyweight.cli.store_status import show_table

        show_table(location, as_json=as_json)
        return
    manifest = read_manifest(index_path)
    census = _Census(index_path, manifest.segments)
    writer = writer_of(index_path)
    if as_json:
        import json

        click.echo(json.dumps(_record(index_path, manifest, census, writer), indent=2))
    else:
        click.echo(_report(index_path, manifest, census, writer))


class _Census:
    """The living files of an index, counted."""

    def __init__(self, index_path: str, entries: list[SegmentEntry]) -> None:
        self.files = 0
        self.skipped: dict[str, int] = {}  # files that were read and left out
        self.languages: dict[str, int] = {}
        self.source_bytes = 0
        for entry in entries:
            segment = LiveSegment(index_path, entry)
            for number, dead in enumerate(segment.dead):
                if dead:
                    continue
                _, name, _, size_bytes, _, _, skipped = segment.data.file(number)
                counts = self.skipped if skipped else self.languages
                counts[name] = counts.get(name, 0) + 1
                if not skipped:
                    self.files += 1
                    self.source_bytes += size_bytes
            segment.data.release()


def _record(index_path: str, manifest: Manifest, census: _Census, writer: str | None) -> dict[str, object]:
    return {
        "index": index_path,
        "store": "segments",
        "root": manifest.root,
        "files": census.files,
        "chunks": manifest.live_chunks,
        "source_bytes": census.source_bytes,
        "languages": dict(sorted(census.languages.items(), key=lambda item: (-item[1], item[0]))),
        "skipped": census.skipped,
        "size_bytes": _size_on_disk(index_path),
        "segments": len(manifest.segments),
        "dead_share": round(_dead_share(manifest), 4),
        "embedder": manifest.embedder,
        "dimensions": manifest.dimensions,
        "generation": manifest.generation,
        "complete": manifest.complete,
        "written": _written(index_path).isoformat(),
        "writer": writer,
    }


def _report(index_path: str, manifest: Manifest, census: _Census, writer: str | None) -> str:
    tree = tree_of(manifest, index_path)
    root = printable_path(manifest.root)
    dead = f", {_dead_share(manifest):.1%} of the chunks dead" if _dead_share(manifest) else ""
    rows = [
        ("tree", root if tree == manifest.root else f"{root} (which is gone)"),
        ("index", f"{printable_path(index_path)}, {size_text(_size_on_disk(index_path))}"),
        (
            "holds",
            f"{count_text(census.files, 'file')} ({size_text(census.source_bytes)}), "
            f"{count_text(manifest.live_chunks, 'chunk')}",
        ),
        ("languages", tally(census.languages) or "none"),
        ("skipped", tally(census.skipped)),
        ("segments", f"{len(manifest.segments)}{dead}"),
        ("embedder", f"{manifest.embedder}, {manifest.dimensions} dimensions"),
        ("written", f"{_written(index_path):%Y-%m-%d %H:%M:%S}, generation {manifest.generation}"),
        ("state", _state(manifest, writer, index_command(tree, index_path))),
    ]
    return "\n".join(f"{click.style(f'{name:<10}', bold=True)} {value}" for name, value in rows if value)


def _state(manifest: Manifest, writer: str | None, update: str) -> str:
    if writer is not None:
        return f"being written by process {writer}" + ("" if manifest.complete else "; not complete yet")
    return "complete" if manifest.complete else f"incomplete: '{update}' goes on where it was interrupted"


def _dead_share(manifest: Manifest) -> float:
    dead = sum(entry.dead_chunks for entry in manifest.segments)
    return dead / max(1, sum(entry.chunk_count for entry in manifest.segments))


def _size_on_disk(index_path: str) -> int:
    with os.scandir(index_path) as entries:
        return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)


def _written(index_path: str) -> datetime:
    return datetime.fromtimestamp(os.stat(manifest_path(index_path)).st_mtime).astimezone().replace(microsecond=0)

"""``python -m benchmarks``: run the benchmarks and end with one table of all figures."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from benchmarks.evaluation_set import DEFAULT_LOCATION, Unavailable
from benchmarks.figures import RESULTS, Figure, Report, markdown_table, print_figures
from benchmarks.settings import DEFAULT_PEERS_PYTHON, DEFAULT_WORK, Settings

# In the order of the table: memory, services, speed, recall, building, quality, profiling, explaining.  Those that
# share a tree are neighbours.
BENCHMARKS = (
    "resident_memory", "titan", "lancedb_store", "scale", "recall", "cache", "indexing", "quality", "cosqa", "drift",
    "profiler", "attribution", "html_report", "top_cost",
)  # fmt: skip
_directory = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--repos", type=_directory, help="Existing clones of the evaluation repositories, one folder each.")
@click.option(
    "--eval",
    "evaluation_data",
    type=click.Path(path_type=Path),
    default=DEFAULT_LOCATION,
    help="Evaluation data.",
)
@click.option("--only", multiple=True, type=click.Choice(BENCHMARKS), help="Run only this one; may be repeated.")
@click.option("--peers/--no-peers", default=True, help="Measure peers beside us, where they are installed.")
@click.option(
    "--peers-python",
    type=click.Path(path_type=Path),
    default=DEFAULT_PEERS_PYTHON,
    help="The peers' interpreter.",
)
@click.option("--peer-model", type=_directory, help="model2vec directory for semble, instead of our own token table.")
@click.option("--corpus", multiple=True, type=_directory, help="Code to take before what the machine has.")
@click.option("--rust", type=_directory, help="Folder with ten or more Rust files, instead of the clone of axum.")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=DEFAULT_WORK,
    help="Scratch space.",
)
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Where the JSON files go.")
@click.option("--quick", is_flag=True, help="Fewer repeats; 100,000 queries for drift instead of 1,000,000.")
def main(
    repos: Path | None,
    evaluation_data: Path,
    only: tuple[str, ...],
    peers: bool,
    peers_python: Path,
    peer_model: Path | None,
    corpus: tuple[Path, ...],
    rust: Path | None,
    work: Path,
    results: Path,
    quick: bool,
) -> None:
    """Measure Flyweight beside its peers, print tables and write JSON."""
    settings = Settings(
        work=work.resolve(),
        console=Console(width=None if sys.stdout.isatty() else 140),
        clones=repos.resolve() if repos else None,
        evaluation_data=evaluation_data,
        peers_python=peers_python.absolute() if peers and peers_python.exists() else None,
        peer_model=peer_model.resolve() if peer_model else None,
        corpora=tuple(path.resolve() for path in corpus),
        rust_files=rust.resolve() if rust else None,
        quick=quick,
    )
    if peers and settings.peers_python is None:
        settings.say(f"no peers at {peers_python}: run 'make bench-peers' to measure them beside us")
    figures: list[Figure] = []
    broken: list[str] = []
    for name in only or BENCHMARKS:
        start = time.perf_counter()
        settings.console.rule(name)
        try:
            report: Report = importlib.import_module(f"benchmarks.{name}").run(settings)
        except Unavailable as error:
            broken.append(name)
            settings.console.print(f"{name} was not taken: {error}")
        except Exception:
            # One that breaks must not take the results of the others with it.
            broken.append(name)
            settings.console.print_exception()
        else:
            report.detail["took_seconds"] = round(time.perf_counter() - start, 1)
            report.write(results)
            figures += report.figures
    print_figures("Figures", figures, settings.console)
    if not only:
        (results / "summary.md").write_text(markdown_table(figures), encoding="utf-8")
    missed = [figure.name for figure in figures if figure.passed is False]
    if missed:
        settings.console.print(f"missed: {', '.join(missed)}")
    if broken:
        settings.console.print(f"not taken: {', '.join(broken)}")
    sys.exit(1 if missed or broken else 0)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")

"""MRR@10 on cosqa-dev: 500 web queries, each with one right function among 6,267, each a file of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from benchmarks import semble_peer
from benchmarks.evaluation_set import FunctionQueries, Unavailable, load_functions
from benchmarks.figures import Figure, Report
from benchmarks.ranking_metrics import mean, reciprocal_rank
from benchmarks.settings import Settings

K = 10


def run(settings: Settings) -> Report:
    figure = Figure("CoSQA, MRR@10", None, "", "500 queries over 6,267 functions, one file each; informs, no target")
    report = Report("cosqa", [figure])
    try:
        functions = load_functions(settings.evaluation_data)
    except Unavailable as error:
        figure.skipped = str(error)
        return report
    tree = _write_tree(settings, functions)
    figure.value = round(_score_engine(settings, functions, tree), 4)
    if settings.peers_python is not None:
        try:
            figure.peer = f"semble {_score_semble(settings, functions, tree):.4f}"
        except Unavailable as error:
            settings.say(f"cosqa: semble skipped: {error}")
    return report


def _write_tree(settings: Settings, functions: FunctionQueries) -> Path:
    tree = settings.folder("cosqa") / "tree"
    tree.mkdir(exist_ok=True)
    for number, code in enumerate(functions.functions):
        # A name that says nothing: the query has to find the code.
        path = tree / f"{number:05d}.py"
        if not path.exists():
            path.write_text(code, encoding="utf-8")
    return tree


def _rank(paths: Iterable[str], right: int) -> int | None:
    """Rank of the right function among distinct files: a second chunk of one function is no second answer."""
    for rank, path in enumerate(dict.fromkeys(paths), start=1):
        if Path(path).name == f"{right:05d}.py":
            return rank
    return None


def _score_engine(settings: Settings, functions: FunctionQueries, tree: Path) -> float:
    from flyweight import SearchConfig, SemanticSearchEngine

    index_path = settings.folder("cosqa") / "index"
    shutil.rmtree(index_path, ignore_errors=True)
    with SemanticSearchEngine(SearchConfig(index_path=str(index_path), max_results=K)) as engine:
        engine.index(str(tree))
        return mean(
            [
                reciprocal_rank(_rank((hit.path for hit in engine.search(query, limit=K)), right), K)
                for query, right in functions.queries
            ]
        )


def _score_semble(settings: Settings, functions: FunctionQueries, tree: Path) -> float:
    with semble_peer.start(settings) as semble:
        semble.ask("index", path=str(tree), model=str(semble_peer.model_directory(settings)))
        answers = semble.ask("rank", queries=[query for query, _ in functions.queries], limit=K)["hits"]
    return mean(
        [
            reciprocal_rank(_rank((path for path, _, _ in hits), right), K)
            for (_, right), hits in zip(functions.queries, answers, strict=True)
        ]
    )

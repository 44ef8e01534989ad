"""NDCG@10 on code-search-dev: 182 questions over nine repositories, each indexed by itself."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import semble_peer
from benchmarks.evaluation_set import Question, Repository, Unavailable, checkout, load_repositories
from benchmarks.figures import Figure, Report, print_rows
from benchmarks.ranking_metrics import Located, mean, ndcg, target_ranks
from benchmarks.settings import Settings

K = 10
TARGET = 0.88


@dataclass(slots=True)
class Scores:
    """One method's NDCG@10 per question."""

    per_repository: dict[str, list[float]] = field(default_factory=dict)
    per_category: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    misses: list[dict[str, object]] = field(default_factory=list)

    def add(self, repository: Repository, question: Question, returned: Iterable[Located]) -> None:
        first = list(returned)[:K]
        score = ndcg(target_ranks(first, question.targets), len(question.targets), K)
        self.per_repository.setdefault(repository.name, []).append(score)
        self.per_category[question.category].append(score)
        if score < 1.0:
            self.misses.append(
                {
                    "repository": repository.name,
                    "query": question.text,
                    "category": question.category,
                    "ndcg": round(score, 4),
                    "wanted": [target.path for target in question.targets],
                    "first": [f"{chunk.path}:{chunk.start_line}-{chunk.end_line}" for chunk in first[:5]],
                }
            )

    @property
    def mean(self) -> float:
        """Mean over questions, not over repositories, as the evaluation set's README asks."""
        return mean([score for scores in self.per_repository.values() for score in scores])


def run(settings: Settings) -> Report:
    report = Report("quality")
    repositories = load_repositories(settings.evaluation_data)
    roots: dict[str, Path] = {}
    skipped: dict[str, str] = {}
    for repository in repositories:
        try:
            roots[repository.name] = checkout(repository, settings.clones, settings.work)
        except Unavailable as error:
            skipped[repository.name] = str(error)
            settings.say(f"quality: skipped {repository.name}: {error}")
    available = [repository for repository in repositories if repository.name in roots]
    figure = Figure(
        "search quality, NDCG@10",
        None,
        "",
        f"mean over {sum(len(r.questions) for r in available)} questions on {len(available)} repositories",
        TARGET,
        "at least",
    )
    report.figures.append(figure)
    if not available:
        figure.skipped = "no repository available: pass --repos DIR"
        return report

    ours = score_engine(settings, available, roots)
    peer = None
    if settings.peers_python is not None:
        try:
            peer = score_semble(settings, available, roots)
        except Unavailable as error:
            settings.say(f"quality: semble skipped: {error}")

    if not skipped:
        figure.value = round(ours.mean, 4)
    else:
        # A mean over fewer repositories is another figure; it must not pass for this one.
        figure.skipped = f"{ours.mean:.4f} on {len(available)} of {len(repositories)} repositories"
    if peer is not None:
        figure.peer = f"semble {peer.mean:.4f} (its chunks and ranking, our token table)"
    report.detail = {
        "per_repository": _means(ours.per_repository),
        "per_category": _means(ours.per_category),
        "semble_per_repository": _means(peer.per_repository) if peer else None,
        "semble_per_category": _means(peer.per_category) if peer else None,
        "skipped": skipped,
        "imperfect": ours.misses,
    }
    _print(settings, ours, peer)
    return report


def score_engine(
    settings: Settings, repositories: list[Repository], roots: dict[str, Path], *, lancedb: bool = False
) -> Scores:
    """Index each repository afresh and ask it all its questions."""
    from flyweight import SearchConfig, SemanticSearchEngine

    scores = Scores()
    for repository in repositories:
        index_path = settings.folder("quality-lancedb" if lancedb else "quality") / repository.name
        shutil.rmtree(index_path, ignore_errors=True)
        store = f"lancedb:{index_path / 'lance'}" if lancedb else None
        config = SearchConfig(index_path=str(index_path), max_results=K, store=store)
        with SemanticSearchEngine(config) as engine:
            engine.index(str(roots[repository.name]))
            for question in repository.questions:
                hits = engine.search(question.text, limit=K)
                scores.add(
                    repository,
                    question,
                    [Located(repository.path_in_checkout(hit.path), hit.start_line, hit.end_line) for hit in hits],
                )
    return scores


def score_semble(settings: Settings, repositories: list[Repository], roots: dict[str, Path]) -> Scores:
    scores = Scores()
    model = str(semble_peer.model_directory(settings))
    with semble_peer.start(settings) as semble:
        for repository in repositories:
            semble.ask("index", path=str(roots[repository.name]), model=model)
            queries = [question.text for question in repository.questions]
            answers = semble.ask("rank", queries=queries, limit=K)["hits"]
            for question, hits in zip(repository.questions, answers, strict=True):
                located = [Located(repository.path_in_checkout(path), start, end) for path, start, end in hits]
                scores.add(repository, question, located)
    return scores


def _means(groups: dict[str, list[float]]) -> dict[str, float]:
    return {name: round(mean(scores), 4) for name, scores in groups.items()}


def _print(settings: Settings, ours: Scores, peer: Scores | None) -> None:
    rows = []
    for group in ("per_repository", "per_category"):
        for name, scores in getattr(ours, group).items():
            beside = f"{mean(getattr(peer, group)[name]):.3f}" if peer else "–"
            rows.append((name, len(scores), f"{mean(scores):.3f}", beside))
    rows.append(
        (
            "all",
            sum(map(len, ours.per_repository.values())),
            f"{ours.mean:.4f}",
            f"{peer.mean:.4f}" if peer else "–",
        )
    )
    print_rows("NDCG@10 on code-search-dev", ("", "questions", "flyweight", "semble"), rows, settings.console)

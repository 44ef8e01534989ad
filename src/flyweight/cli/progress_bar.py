"""Shows on standard error how far a build is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys

import click

from flyweight.cli.quantity import count_text, duration_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.index.stats import IndexProgress

_LINE_EVERY_S = 5.0
_PHASES = {"scan": "scanning", "index": "indexing", "move": "moving", "merge": "merging", "optimise": "optimising"}
_STOPPING = "stopping"


def progress_display() -> ProgressBar | ProgressLines:
    """What suits standard error. Use it as a context manager, and call it with each IndexProgress."""
    if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return ProgressBar()
    return ProgressLines()


class ProgressBar:
    """Phase, bar, files, chunks, rate and time left on one line that disappears when all is done."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        self._rate = _Rate()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(_PHASES["scan"], total=None, figures="")
        self._stopping = False

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.stop()

    def __call__(self, progress: IndexProgress) -> None:
        # By bytes: files differ too much in size for their number to foretell the time left.
        by_bytes = progress.phase in ("index", "move") and progress.total_bytes > 0
        self._bar.update(
            self._task,
            description=_STOPPING if self._stopping else _PHASES[progress.phase],
            total=progress.total_bytes if by_bytes else None,
            completed=progress.bytes if by_bytes else 0,
            figures=_figures(progress, self._rate),
        )

    def stopping(self) -> None:
        """Says that the run was asked to stop and is saving what it has."""
        self._stopping = True
        self._bar.update(self._task, description=_STOPPING)


class ProgressLines:
    """A plain line every few seconds: none at all for a run that is over before."""

    def __init__(self) -> None:
        self._rate = _Rate()
        self._shown = 0.0

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def __call__(self, progress: IndexProgress) -> None:
        self._rate.begin(progress)
        if progress.seconds - self._shown < _LINE_EVERY_S:
            return
        self._shown = progress.seconds
        line = f"{_PHASES[progress.phase]}: {_figures(progress, self._rate)}"
        left_s = self._rate.time_left(progress)
        click.echo(line if left_s is None else f"{line}, {_rough(left_s)} left", err=True)

    def stopping(self) -> None:
        click.echo("stopping: saving what is indexed so far", err=True)


def _rough(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else duration_text(whole)


class _Rate:
    """Chunks and requests a second since the first file was read."""

    def __init__(self) -> None:
        self._began: float | None = None

    def begin(self, progress: IndexProgress) -> None:
        if progress.phase == "index" and self._began is None:
            self._began = progress.seconds

    def of(self, count: int, progress: IndexProgress) -> float:
        self.begin(progress)
        return count / self._elapsed(progress)

    def time_left(self, progress: IndexProgress) -> float | None:
        if progress.phase != "index" or not progress.bytes:
            return None
        left_bytes = max(0, progress.total_bytes - progress.bytes)
        return left_bytes * self._elapsed(progress) / progress.bytes

    def _elapsed(self, progress: IndexProgress) -> float:
        return max(0.1, progress.seconds - (self._began or 0.0))


def _figures(progress: IndexProgress, rate: _Rate) -> str:
    if progress.phase == "scan":
        return f"{count_text(progress.files, 'file')} to read"
    chunks_per_s = rate.of(progress.chunks, progress)
    files = f"{progress.files:,}/{progress.total_files:,} files"
    figures = f"{files}, {count_text(progress.chunks, 'chunk')}, {chunks_per_s:,.0f}/s"
    if progress.requests or progress.cached_embeddings:
        requests_per_s = rate.of(progress.requests, progress)
        figures = f"{figures}, {count_text(progress.requests, 'request')}, {requests_per_s:,.0f}/s"
    return f"{figures}; {progress.trouble}" if progress.trouble else figures

"""The whole of `flyweight bench memory`: every configuration and every peer on one job, as one JSON document."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flyweight import __version__
from flyweight.errors import ConfigError
from flyweight.memory.interpreter import refusal
from flyweight.observe.bench import published
from flyweight.observe.bench.configurations import TARGET_BYTES, Configuration
from flyweight.observe.bench.job import Job
from flyweight.observe.bench.measurement import Effort, Run, measure
from flyweight.observe.bench.peers import PEERS, PeerMissing, measure_peer
from flyweight.observe.bench.verdicts import growth_of, recommended

FORMAT = "flyweight-bench-memory"
VERSION = 1


def compare(
    job: Job,
    chosen: Sequence[Configuration],
    effort: Effort,
    peers_python: str | None,
    say: Callable[[str], object] = lambda message: None,
) -> dict[str, Any]:
    """Measures `chosen`, and the peers that `peers_python` has (None: no peers); `say` hears what is under way.

    Raises ProcessEnded when one of ours fails, ConfigError when none can be measured. What cannot be measured beside
    others, of ours or of peers, is listed with the reason.
    """
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory:
        work = Path(directory)
        tree = job.copy_to(work / "tree")
        runs: list[Run] = []
        missing_configurations: list[dict[str, str]] = []
        for configuration in chosen:
            if configuration.missing:
                missing_configurations.append({"name": configuration.name, "reason": configuration.missing})
                continue
            say(f"{configuration.name}: {configuration.code()}")
            runs.append(measure(configuration, job, tree, work, effort))
        if not runs:
            reasons = sorted({each["reason"] for each in missing_configurations})
            raise ConfigError(f"nothing of what was asked for can be measured here: {'; '.join(reasons)}")
        measured_peers: list[Run] = []
        missing: list[dict[str, str]] = []
        for name in PEERS if peers_python is not None else ():
            say(name)
            try:
                measured_peers.append(measure_peer(name, str(peers_python), job, tree, work, effort))
            except PeerMissing as error:
                missing.append({"name": name, "reason": str(error)})
    return {
        "format": FORMAT,
        "version": VERSION,
        "flyweight": __version__,
        "machine": {
            "python": platform.python_version(),
            "kernel": platform.release(),
            "processor": platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
        },
        "taken_unix_s": round(began, 3),
        "took_s": round(time.time() - began, 1),
        "interpreter": sys.implementation.name,
        "job": job.to_dict(),
        "target_bytes": TARGET_BYTES,
        "runs": [_with_growth(run) for run in runs],
        "peers": [_with_growth(run) for run in measured_peers],
        "missing_configurations": missing_configurations,
        "missing_peers": missing,
        "not_recorded": refusal() or "",
        "recommendation": recommended(runs).to_dict(),
        "published": {
            "name": published.NAME,
            "rss_mb": published.RSS_MB,
            "components_mb": published.COMPONENTS_MB,
            "target_mb": published.TARGET_MB,
        },
    }


def _with_growth(run: Run) -> dict[str, Any]:
    return {**run.to_dict(), "growth_verdict": growth_of(run.growth).to_dict()}

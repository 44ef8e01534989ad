"""semble beside us: its process, set up to run without a network on the same static model as ours."""

from __future__ import annotations

from pathlib import Path

from benchmarks.evaluation_set import Unavailable
from benchmarks.peer_process import PeerProcess, require
from benchmarks.settings import Settings
from flyweight.observe.bench.peers import PeerMissing, write_token_table


def start(settings: Settings, environment: dict[str, str] | None = None) -> PeerProcess:
    """A semble process with nothing loaded yet; its caches go to the work folder, not to the user's home."""
    python = require(settings.peers_python, "semble")
    own = {
        "SEMBLE_CACHE_LOCATION": str(settings.folder("semble-cache")),
        "HF_HUB_OFFLINE": "1",
    }
    return PeerProcess(python, "semble", own | (environment or {}))


def model_directory(settings: Settings) -> Path:
    """A model2vec directory with our token table, so that only the two programs differ, not their models."""
    if settings.peer_model is not None:
        return settings.peer_model
    python = require(settings.peers_python, "model2vec")
    directory = settings.folder("static-model")
    try:
        write_token_table(str(python), directory)
    except PeerMissing as error:
        raise Unavailable(str(error)) from None
    return directory

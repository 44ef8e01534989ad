from __future__ import annotations

import socket
import time
from pathlib import Path

from flyweight.embed.settings import EmbedderSettings
from flyweight.errors import EmbedderUnreachableError
from flyweight.index.chunk import chunk
from flyweight.index.embedding import RemoteEmbedding
from flyweight.index.stats import IndexProgress
from flyweight.index.vectors import CutFile


def test_a_service_that_has_never_answered_is_given_up_early(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # closed again: nobody is there
    settings = EmbedderSettings.parse(f"openai:http://127.0.0.1:{port}#model", {"dimensions": 64})
    embedding = RemoteEmbedding(settings, cache_path=str(tmp_path), first_patience_s=0.2)
    embedding.start()
    try:
        vectors = embedding.vectors(1 << 20)
        text = b"def lonely():\n    return 1\n"
        vectors.submit(CutFile("a.py", "python", b"", 0, text, chunk(text, "python"), replaces=False))
        while not embedding.halted:
            time.sleep(0.01)
        message, error = embedding.verdict()
        assert isinstance(error, EmbedderUnreachableError)
        assert f"127.0.0.1:{port}" in message
        assert "has not answered at all for " in message
        assert "refused" in message
        while not (ready := vectors.collect()):
            time.sleep(0.01)
        assert ready[0].halted
        progress = IndexProgress("index")
        embedding.account(progress)
        assert progress.requests == 0
        assert vectors._client is not None
        vectors._client.close()
    finally:
        embedding.stop()

"""The peer's half of a conversation (``peer_process.py`` is the other): a JSON object a line, in and out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Handler = Callable[..., dict[str, Any]]


def serve(handlers: dict[str, Handler]) -> None:
    """Answer requests ``{"verb": NAME, ...}`` with what the handler of that name returns, until input ends.

    Whatever a library prints goes to standard error: standard output carries answers only.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = handlers[request.pop("verb")](**request)
        print(json.dumps(answer), file=answers, flush=True)

"""Stand-ins as programs of their own: for clients in several processes, for figures, and for people."""

from __future__ import annotations

import argparse
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tests.standins.faults import KINDS, PASSING, Faults
from tests.standins.ledger import Ledger

if TYPE_CHECKING:
    import pytest

_ROOT = Path(__file__).resolve().parents[2]


def run(make: Callable[..., Any], description: str) -> None:
    """Serves until interrupted, terminated or, with --until-eof, until standard input ends. Prints one line of JSON:
    endpoint, ca_file and the environment of a client."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", action="store_true", help="serve HTTPS; ca_file in the output vouches for it")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--rate", type=float, default=None, metavar="PER_SECOND", help="throttle above this rate")
    parser.add_argument("--burst", type=float, default=None, help="requests saved up while none come")
    parser.add_argument("--retry-after", type=float, default=None, metavar="SECONDS", help="tell throttled clients")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="KIND=PROBABILITY", help=f"one of {', '.join(KINDS)}, or any"
    )
    parser.add_argument("--slow", type=float, default=5.0, metavar="SECONDS", help="how slow a slow body is")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--framing", choices=("length", "chunked", "close"), default="length")
    parser.add_argument("--requests-per-connection", type=int, default=0)
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    options = parser.parse_args()
    rates: dict[str, float] = {}
    for fault in options.fault:
        kind, _, rate = fault.partition("=")
        rates |= dict.fromkeys(PASSING, float(rate) / len(PASSING)) if kind == "any" else {kind: float(rate)}
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    service = make(
        port=options.port,
        tls=options.tls,
        latency_s=options.latency,
        rate_per_s=options.rate,
        burst=options.burst,
        framing=options.framing,
        requests_per_connection=options.requests_per_connection,
        faults=Faults(rates, seed=options.seed, retry_after_s=options.retry_after, slow_s=options.slow),
    )
    with service:
        line = {"endpoint": service.endpoint, "ca_file": service.ca_file, "environment": service.environment()}
        print(json.dumps(line), flush=True)
        if options.until_eof:
            threading.Thread(target=_wait_for_eof, args=(ended,), daemon=True).start()
        ended.wait()


def _wait_for_eof(ended: threading.Event) -> None:
    while os.read(0, 1 << 12):  # not sys.stdin: its lock would be held when the interpreter ends
        pass
    ended.set()


class StandInProgram:
    """A stand-in in a process of its own, ended with the `with` block or with this process, whatever comes first.

    module: "bedrock" or "openai"; options: those of its command line.
    """

    def __init__(self, module: str, *options: str) -> None:
        self._command = [sys.executable, "-m", f"tests.standins.{module}", "--until-eof", *options]
        self._process: subprocess.Popen[bytes] | None = None
        self._environment: dict[str, str] = {}
        self.endpoint = ""
        self.ca_file: str | None = None

    def __enter__(self) -> Self:
        process = subprocess.Popen(self._command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            self.__exit__(None, None, None)
            raise RuntimeError(f"the stand-in did not start: {' '.join(self._command)}")
        fields = json.loads(line)
        self.endpoint, self.ca_file = fields["endpoint"], fields["ca_file"]
        self._environment = fields["environment"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.close()
            try:
                self._process.wait(300)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def ledger(self) -> Ledger:
        """The ledger as it is now."""
        return Ledger.from_dict(self.ask("/_ledger"))

    def environment(self) -> dict[str, str]:
        """As BedrockStandIn.environment."""
        return dict(self._environment)

    def set_environment(self, patch: pytest.MonkeyPatch) -> None:
        from tests.standins.bedrock import clear_environment

        clear_environment(patch)
        for name, value in self._environment.items():
            patch.setenv(name, value)

    def set_faults(self, **fields: Any) -> None:
        """The arguments of Faults."""
        self.ask("/_faults", fields)

    def set(self, **fields: Any) -> None:
        """latency_s, rate_per_s, burst, framing, requests_per_connection, clock_offset_s, denied, retired."""
        self.ask("/_settings", fields)

    def ask(self, path: str, fields: dict[str, Any] | None = None) -> Any:
        """A control request."""
        body = None if fields is None else json.dumps(fields).encode()
        context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None
        # Whatever proxy the test has set up is not for this.
        handlers: list[Any] = [urllib.request.ProxyHandler({})]
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        with urllib.request.build_opener(*handlers).open(self.endpoint + path, body, timeout=300) as answer:
            return json.loads(answer.read())

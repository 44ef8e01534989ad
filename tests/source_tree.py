"""Trees of made-up code that change as real ones do, and remember every version a file has had."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

WORDS = [
    "account", "archive", "balance", "barrier", "bucket", "buffer", "cache", "channel", "checksum", "cluster",
    "column", "commit", "cursor", "deadline", "digest", "driver", "edge", "encoder", "endpoint", "entry", "epoch",
    "event", "fence", "filter", "flush", "forward", "frame", "gateway", "grammar", "graph", "handle", "header",
    "heap", "histogram", "index", "invoice", "journal", "kernel", "latch", "lease", "ledger", "lexer", "limit",
    "listener", "lookup", "manifest", "matrix", "merge", "metric", "mirror", "monitor", "mutex", "node", "offset",
    "packet", "page", "parser", "partition", "password", "patch", "payload", "pipeline", "planner", "pointer",
    "policy", "pool", "postings", "prefix", "probe", "proxy", "queue", "quota", "reader", "record", "region",
    "registry", "relay", "replica", "request", "retry", "route", "sample", "schema", "scope", "segment", "session",
    "shard", "signal", "snapshot", "socket", "span", "stack", "stream", "symbol", "table", "tenant", "thread",
    "throttle", "token", "topic", "trace", "tree", "tuple", "upload", "vector", "wallet", "watch", "widget",
    "window", "worker", "writer", "zone",
]  # fmt: skip


def _python(name: str, words: list[str]) -> str:
    return (
        f'class {name.title()}{words[0].title()}:\n    """Keeps the {words[1]} of a {words[2]}."""\n\n'
        f"    def {words[3]}_{words[4]}(self, {words[5]}):\n"
        f"        for {words[6]} in {words[5]}:\n            self.{words[7]} = {words[6]}\n"
        f"        return self.{words[7]}\n"
    )


def _rust(name: str, words: list[str]) -> str:
    return (
        f"/// Holds the {words[1]} of a {words[2]}.\npub struct {name.title()}{words[0].title()} {{\n"
        f"    {words[3]}: u64,\n}}\n\nimpl {name.title()}{words[0].title()} {{\n"
        f"    pub fn {words[4]}_{words[5]}(&self) -> u64 {{\n        self.{words[3]} + {len(words[6])}\n    }}\n}}\n"
    )


def _go(name: str, words: list[str]) -> str:
    return (
        f"package {words[0]}\n\n// {name.title()}{words[1].title()} moves a {words[2]} to its {words[3]}.\n"
        f"func {name.title()}{words[1].title()}({words[4]} int) int {{\n"
        f"\t{words[5]} := {words[4]} * {len(words[6])}\n\treturn {words[5]}\n}}\n"
    )


def _javascript(name: str, words: list[str]) -> str:
    return (
        f"// Opens the {words[0]} and reads its {words[1]}.\nexport function {name}{words[2].title()}({words[3]}) {{\n"
        f"  const {words[4]} = {words[3]}.map(({words[5]}) => {words[5]} + {len(words[6])});\n"
        f"  return {words[4]};\n}}\n"
    )


def _markdown(name: str, words: list[str]) -> str:
    return f"# {name} {words[0]}\n\nThe {words[1]} asks the {words[2]} for a {words[3]} before each {words[4]}.\n"


_WRITERS = {"py": _python, "rs": _rust, "go": _go, "js": _javascript, "md": _markdown}


class SourceTree:
    """A directory of source files. Time stamps lie in the past and never repeat, so no file looks just written."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.root = root
        self.files: dict[str, bytes] = {}
        self.versions: set[tuple[str, bytes]] = set()
        self._random = random.Random(seed)
        self._clock = time.time_ns() - 10**15
        self._made = 0
        root.mkdir(parents=True, exist_ok=True)

    def write(self, path: str, content: str | bytes) -> None:
        """Writes a file in one step, so that nobody reads half a version; `path` may hold surrogate escapes."""
        data = content.encode() if isinstance(content, str) else content
        place = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        unfinished = f"{self.root}.unfinished"
        with open(unfinished, "wb") as file:
            file.write(data)
        os.replace(unfinished, place)
        self.touch(path)
        self.files[path] = data
        self.versions.add((path, data))

    def touch(self, path: str) -> None:
        self._clock += 10**9
        os.utime(os.path.join(self.root, path), ns=(self._clock, self._clock))

    def remove(self, path: str) -> None:
        os.unlink(os.path.join(self.root, path))
        del self.files[path]

    def rename(self, path: str, new_path: str) -> None:
        place = os.path.join(self.root, new_path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.replace(os.path.join(self.root, path), place)
        self.files[new_path] = self.files.pop(path)
        self.versions.add((new_path, self.files[new_path]))

    def code(self, extension: str) -> str:
        """The text of a new file: one to four definitions."""
        draw = self._random
        pieces = (f"{draw.choice(WORDS)}", [draw.choice(WORDS) for _ in range(8)])
        writer = _WRITERS[extension]
        more = [writer(draw.choice(WORDS), [draw.choice(WORDS) for _ in range(8)]) for _ in range(draw.randrange(4))]
        return "\n".join([writer(*pieces), *more])

    def grow(self, count: int) -> None:
        """Adds files of all kinds in a few directories."""
        for _ in range(count):
            self._made += 1
            extension = self._random.choice(list(_WRITERS))
            place = f"{self._random.choice(WORDS[:12])}/{self._random.choice(WORDS)}_{self._made}.{extension}"
            self.write(place, self.code(extension))

    def change(self, count: int) -> None:
        """`count` random changes: most rewrite a file; some add, delete, move, touch or spoil one."""
        for _ in range(count):
            path = self._random.choice(sorted(self.files))
            extension = path.rsplit(".", 1)[-1]
            kind = self._random.choice(("rewrite", "rewrite", "rewrite", "add", "delete", "move", "touch", "spoil"))
            if kind == "add":
                self.grow(1)
            elif kind == "delete" and len(self.files) > 10:
                self.remove(path)
            elif kind == "move":
                self._made += 1
                self.rename(path, f"{self._random.choice(WORDS[:12])}/moved_{self._made}.{extension}")
            elif kind == "touch":
                self.touch(path)
            elif kind == "spoil":
                self.write(path, b"\0\1\2" + self._random.randbytes(40))
            else:
                self.write(path, self.code(extension))

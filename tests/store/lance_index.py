"""An index in a LanceDB table over a source tree, as tests build and examine it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from index_contents import expected_chunks
from source_tree import SourceTree
from store.table_peek import TablePeek, path_of, table_chunks

from flyweight import IndexStats
from flyweight.embed.static import StaticEmbedder
from flyweight.index.build import build
from flyweight.index.request import BuildRequest

DIMENSIONS = 64


class LanceIndex:
    """`uri` is a directory unless another is given."""

    def __init__(
        self,
        tree: SourceTree,
        place: Path,
        peek: TablePeek,
        uri: str = "",
        options: dict[str, str] | None = None,
        peek_options: dict[str, str] | None = None,
    ) -> None:
        self.tree = tree
        self.index_path = place / "index"
        self.uri = uri or str(place / "table")
        self.options = options or {}
        self._peek = peek
        self._peek_options = peek_options

    def request(self, *, rebuild: bool = False) -> BuildRequest:
        return BuildRequest(
            str(self.tree.root),
            str(self.index_path),
            batch_size=32,
            memory_budget=1 << 30,
            rebuild=rebuild,
            workers=2,
            store=f"lancedb:{self.uri}",
            store_options=self.options,
        )

    def build(
        self, *, rebuild: bool = False, dimensions: int = DIMENSIONS, stopped: Callable[[], bool] = lambda: False
    ) -> IndexStats:
        return build(self.request(rebuild=rebuild), StaticEmbedder(dimensions), lambda progress: None, stopped)

    def describe(self) -> dict[str, Any]:
        return self._peek.describe(self.uri, self._peek_options)

    def watch(self) -> None:
        self._peek.watch(self.uri, self._peek_options)

    def unwatch(self) -> dict[str, Any]:
        return self._peek.unwatch()

    def check(self) -> dict[str, Any]:
        """Asserts that the table holds exactly the tree, each row once. Returns its description."""
        described = self.describe()
        rows = described["rows"]
        assert len({row["id"] for row in rows}) == len(rows)
        assert table_chunks(rows) == expected_chunks(self.tree.files)
        assert sorted(path_of(row) for row in rows if row["ordinal"] == -1) == sorted(self.tree.files)
        return described

"""A hit as it comes from a store process. Read by the resident: imports nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # path, start_line, end_line, language, kind, symbol, scope, score, text
    HitFields = tuple[str, int, int, str, str, str, str, float, str]


class StoredHit:
    """A chunk that answers a query: read as a hit of a segment is, and as unchangeable; its text is in it."""

    __slots__ = ("_fields",)

    def __init__(self, fields: HitFields) -> None:
        self._fields = fields

    @property
    def path(self) -> str:
        return self._fields[0]

    @property
    def start_line(self) -> int:
        return self._fields[1]

    @property
    def end_line(self) -> int:
        return self._fields[2]

    @property
    def language(self) -> str:
        return self._fields[3]

    @property
    def kind(self) -> str:
        return self._fields[4]

    @property
    def symbol(self) -> str:
        return self._fields[5]

    @property
    def scope(self) -> str:
        return self._fields[6]

    @property
    def score(self) -> float:
        return self._fields[7]

    @property
    def text(self) -> str:
        return self._fields[8]

    def as_dict(self) -> dict[str, object]:
        names = ("path", "start_line", "end_line", "language", "kind", "symbol", "scope", "score", "text")
        return dict(zip(names, self._fields, strict=True))

    def __repr__(self) -> str:
        symbol = f" {self.symbol}" if self.symbol else ""
        return f"<SearchHit {self.path}:{self.start_line}-{self.end_line}{symbol} score={self.score:.3f}>"

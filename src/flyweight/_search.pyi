from collections.abc import Sequence

class StaticModel:
    """A table of token vectors, mapped. Raises IndexCorruptError or IndexMissingError."""

    def __init__(self, path: str | bytes) -> None: ...
    @property
    def dimensions(self) -> int: ...
    @property
    def id(self) -> str: ...
    def tokenize(self, text: str | bytes) -> list[int]: ...
    def token(self, id: int) -> str: ...
    def embed(self, text: str | bytes, dims: int = 256) -> bytes:
        """float32 little-endian, shape (dims,), of length one."""

    def embed_once(self, text: str | bytes, dims: int) -> bytes:
        """As `embed`, for one query: nothing of the model stays resident."""

class SearchHit:
    """A chunk that answers a query. `text` is read from the index when asked for."""

    @property
    def path(self) -> str: ...
    @property
    def start_line(self) -> int: ...
    @property
    def end_line(self) -> int: ...
    @property
    def score(self) -> float: ...
    @property
    def language(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def text(self) -> str: ...
    def as_dict(self) -> dict[str, object]: ...

class Searcher:
    def __init__(
        self, model_path: str | bytes | None, cache_entries: int, hits_per_entry: int, ttl_s: float
    ) -> None: ...
    def load(self, stamp: tuple[int, int, int], segments: Sequence[tuple[bytes, str]]) -> None: ...
    def is_current(self, stamp: tuple[int, int, int]) -> bool: ...
    def unload(self) -> None: ...
    def search(
        self,
        query: str | bytes,
        limit: int,
        min_score: float,
        languages: Sequence[str],
        include: Sequence[str],
        exclude: Sequence[str],
        vector: bytes | None,
        use_cache: bool,
    ) -> tuple[list[SearchHit], bool]:
        """(hits, from cache). With a vector (of zeros: words alone) the cache is not asked again, only written."""

    def find_cached(
        self,
        query: str | bytes,
        limit: int,
        min_score: float,
        languages: Sequence[str],
        include: Sequence[str],
        exclude: Sequence[str],
    ) -> list[SearchHit] | None: ...
    def vector_scan(self, vector: bytes, limit: int) -> list[tuple[int, int, float]]:
        """(segment, chunk, cosine) of the nearest chunks, best first."""

    @property
    def model_id(self) -> str: ...
    @property
    def chunk_count(self) -> int: ...
    def clear_cache(self) -> None: ...
    def cache_pool(self) -> tuple[int, int]: ...  # address and bytes
    def trim(self) -> None: ...  # cached results, scratch, mapped pages and malloc's free pages go
    def cache_counters(self) -> dict[str, int]: ...

def query_words(query: str | bytes) -> tuple[list[str], list[str], str]:
    """What BM25 looks up, the names whose definitions the query may be after, and its form: text, word or name."""

def definition_term(name: str | bytes) -> str:
    """The term under which a chunk is filed that defines exactly this name."""

def candidates_for(limit: int) -> tuple[int, int]:
    """How many candidates each search contributes to a query for `limit` results, and how many chunks are candidates
    for defining a name of it."""

def prior(query: str | bytes, path: str | bytes) -> float:
    """The factor on the scores of a file's chunks, by what its path says it is and what the query asks for."""

def rank(
    query: str | bytes,
    limit: int,
    rows: Sequence[tuple[str | bytes, str | bytes, float, float | None]],
    mean_cosine: float = 0.0,
) -> list[tuple[int, float]]:
    """Ranks chunks that another store has found as an index's own are ranked, priors included.

    A row is (path, symbols, BM25, cosine or None where there is none); symbols are `symbol NUL scope [NUL defined
    name]*`. Returns (number of the row, score), best first; equal scores keep the order of the rows.
    """

def crc32c(bytes: bytes) -> int: ...
def glob_fault(glob: str) -> str: ...
def glob_matches(glob: str | bytes, path: str | bytes) -> bool: ...

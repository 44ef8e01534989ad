"""Keeps a table quick: its search indexes, few fragments, no old versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyweight.store.lancedb.table import CHUNKS_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable

    from flyweight.store.lancedb.synchronous import LanceTable

_TERMS_INDEX = "terms_idx"
_VECTOR_INDEX = "vector_idx"
# Readers look for the newest version with every query, so none stays on one for longer than a query takes.
_KEEP_VERSIONS_MS = 10 * 60 * 1000
# An optimisation rewrites fragments of less than a million rows, mostly all there are (145,000 rows: 12 s). What pays
# for it: 64 runs of one file each, or rows that the full-text index lacks, which are searched one by one: 25 ms for a
# thousand, where the index takes 5.
_FRAGMENTS_DUE = 64
_ROWS_DUE_LEAST = 256
_ROWS_DUE_MOST = 2048
_SHARE_DUE = 0.1
# A vector index pays from here on. Measured on code, 256 dimensions, 2 threads, median of 20 queries, all vectors
# scanned / IVF_RQ: 10,000 chunks 8.8 / 9.5 ms, 50,000 32 / 10 ms, 140,000 76 / 12 ms; recall@50 0.996, 1.000 and 1.000
# with a refine factor of 4. IVF_PQ answers alike and takes twenty to a hundred times as long to build (50,000: 34 s).
_VECTOR_BYTES_DUE = 16 * 1024 * 1024
# In object storage a scan is a download.
_REMOTE_VECTOR_BYTES_DUE = 4 * 1024 * 1024


class FTS:
    """LanceDB's settings of a full-text index: it looks for a class of this name with these attributes.

    Terms are made by `_build.chunk_terms`: here they are only told apart.
    """

    with_position = False
    base_tokenizer = "whitespace"
    language = "English"
    max_token_length = None
    lower_case = False
    stem = False
    remove_stop_words = False
    custom_stop_words = None
    ascii_folding = False
    ngram_min_length = 3
    ngram_max_length = 3
    prefix_only = False
    block_size = 128
    memory_limit = None
    num_workers = None
    document_granularity = "row"


class IvfRq:
    """LanceDB's settings of a vector index by partitions and one bit a dimension, as above."""

    distance_type = "cosine"
    num_partitions = None
    num_bits = 1
    max_iterations = 50
    sample_rate = 256
    target_partition_size = None
    accelerator = None


class IvfFlat:
    """By partitions alone: for dimensions that no byte holds."""

    distance_type = "cosine"
    num_partitions = None
    max_iterations = 50
    sample_rate = 256
    target_partition_size = None
    accelerator = None


def ensure_terms_index(table: LanceTable) -> None:
    """An empty one, at once: LanceDB refuses full-text search without; rows it lacks are searched one by one."""
    if _TERMS_INDEX not in table.index_names():
        table.create_index("terms", _TERMS_INDEX, FTS(), train=False)


def keep(table: LanceTable, dimensions: int, begun: Callable[[], object], *, is_local: bool) -> None:
    """Brings indexes and files in order where that is due. `begun` is called when something takes its time."""
    rows = table.count_rows()
    behind = table.unindexed_rows(_TERMS_INDEX)
    due = min(max(_ROWS_DUE_LEAST, rows * _SHARE_DUE), _ROWS_DUE_MOST)
    if table.fragment_count() < _FRAGMENTS_DUE and (behind or 0) < due:
        return
    begun()
    _ensure_vector_index(table, dimensions, is_local)
    table.optimize(_KEEP_VERSIONS_MS)


def _ensure_vector_index(table: LanceTable, dimensions: int, is_local: bool) -> None:
    """A new one where the table has become large, or has doubled since it was trained: optimising only adds to it."""
    chunks = table.count_rows(CHUNKS_ONLY)
    if chunks * dimensions * 4 < (_VECTOR_BYTES_DUE if is_local else _REMOTE_VECTOR_BYTES_DUE):
        return
    behind = table.unindexed_rows(_VECTOR_INDEX)
    if behind is not None and behind * 2 < chunks:
        return
    table.create_index("vector", _VECTOR_INDEX, IvfRq() if dimensions % 8 == 0 else IvfFlat())

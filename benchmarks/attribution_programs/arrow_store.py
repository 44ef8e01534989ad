"""LanceDB and pyarrow: a table of vectors that is written and searched; places: a directory to write to."""

from __future__ import annotations

import os
import tempfile

_ROWS, _DIMENSIONS, _QUERIES = 5_000, 256, 20


def run(places: list[str]) -> object:
    import lancedb
    import numpy as np
    import pyarrow as pa

    generator = np.random.default_rng(7)
    vectors = generator.standard_normal((_ROWS, _DIMENSIONS)).astype(np.float32)
    table = pa.table(
        {
            "row": pa.array(range(_ROWS)),
            "text": pa.array([f"chunk {number} of the tree" for number in range(_ROWS)]),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), _DIMENSIONS),
        }
    )
    directory = tempfile.mkdtemp(dir=places[0] if places else None)
    store = lancedb.connect(os.path.join(directory, "store"))
    chunks = store.create_table("chunks", table)
    for query in vectors[:_QUERIES]:
        chunks.search(query).limit(10).to_arrow()
    return store, chunks, table, vectors

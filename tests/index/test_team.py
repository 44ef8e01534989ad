from __future__ import annotations

import marshal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyweight.index.team import _batches

PIPE_BYTES = 64 * 1024

_sizes = st.sampled_from([0, 100, 10_000, 1 << 20])
_files = st.lists(st.tuples(st.text(max_size=60), _sizes, st.just(0), st.just(bytes(16))), max_size=60)


@given(_files)
def test_batches_hold_all_files_in_order(files: list[tuple[str, int, int, bytes]]) -> None:
    batches = list(_batches(iter(files)))
    assert [file for batch in batches for file in batch] == files
    assert all(batches)


@pytest.mark.parametrize("letter", ["x", "\udcff"])
@pytest.mark.parametrize("length", [60, 500, 1500, 4000])
def test_a_batch_fits_into_a_pipe_however_long_its_paths(letter: str, length: int) -> None:
    """Else sending a second one would wait for a worker that is stuck at the first."""
    files = [(letter * length + str(number), 0, 0, bytes(16)) for number in range(60)]
    assert all(len(marshal.dumps(("files", batch))) < PIPE_BYTES for batch in _batches(iter(files)))

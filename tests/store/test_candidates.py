from __future__ import annotations

import pytest

from flyweight.store.lancedb.candidates import sampled_offsets


@pytest.mark.parametrize("chunks", range(1, 9))
@pytest.mark.parametrize("rows", [1, 511, 512, 1024, 1537, 2048, 5120, 20_000, 145_000, 1_000_000])
def test_a_sample_meets_chunks_whatever_the_files_are_made_of(rows: int, chunks: int) -> None:
    """Every file has `chunks` rows behind its own."""
    sampled = sampled_offsets(rows)
    assert sampled == sorted(set(sampled)) and sampled[0] >= 0 and sampled[-1] < rows
    assert min(rows, 512) <= len(sampled) < 1024
    files = sum(offset % (chunks + 1) == 0 for offset in sampled)
    assert abs(files / len(sampled) - 1 / (chunks + 1)) < 0.1 or rows == 1

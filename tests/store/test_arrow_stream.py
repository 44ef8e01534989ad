"""Arrow's C interfaces read without pyarrow: what is read is what pyarrow wrote."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pa = pytest.importorskip("pyarrow")

from flyweight.store.lancedb.arrow_stream import RecordBatchReader, Schema, Vector, columns_of  # noqa: E402

SCHEMA = pa.schema(
    [
        ("text", pa.utf8()),
        ("large", pa.large_utf8()),
        ("bytes", pa.binary()),
        ("small", pa.int32()),
        ("number", pa.int64()),
        ("row", pa.uint64()),
        ("score", pa.float32()),
        ("names", pa.list_(pa.utf8())),
        ("vector", pa.list_(pa.float32(), 3)),
    ],
    metadata={"flyweight.format": "1", "ключ": "значение"},
)
rows = st.fixed_dictionaries(
    {
        "text": st.none() | st.text(max_size=5),
        "large": st.none() | st.text(max_size=5),
        "bytes": st.none() | st.binary(max_size=5),
        "small": st.none() | st.integers(-(2**31), 2**31 - 1),
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
        "row": st.none() | st.integers(0, 2**64 - 1),
        "score": st.none() | st.floats(width=32, allow_nan=False),
        "names": st.none() | st.lists(st.text(max_size=3), max_size=3),
        "vector": st.none() | st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3),
    }
)


def plain(columns: dict[str, list[object]]) -> dict[str, list[object]]:
    """With vectors as lists, as pyarrow has them."""
    vectors = [None if value is None else array("f", value).tolist() for value in columns["vector"]]  # type: ignore[call-overload]
    return {**columns, "vector": vectors}


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=20), st.data())
def test_a_batch_is_read_whole_and_in_parts(given_rows: list[dict[str, object]], data: st.DataObject) -> None:
    batch = pa.RecordBatch.from_pylist(given_rows, SCHEMA)
    begin = data.draw(st.integers(0, batch.num_rows - 1))
    part = batch.slice(begin, data.draw(st.integers(1, batch.num_rows - begin)))
    for wanted in (batch, part):
        assert plain(columns_of(wanted)) == wanted.to_pydict()


def test_a_stream_is_taken_over_and_released() -> None:
    batch = pa.RecordBatch.from_pylist([{"text": "a", "vector": [1.0, 2.0, 3.0]}], SCHEMA)
    before = pa.total_allocated_bytes()
    stream = pa.RecordBatchReader.from_batches(SCHEMA, [batch.take(pa.array([0] * 10_000))])
    capsule = stream.__arrow_c_stream__()
    del stream
    from flyweight.store.lancedb.arrow_stream import _pointer

    read = RecordBatchReader._import_from_c(_pointer(capsule, b"arrow_array_stream")).read_next_batch()
    del capsule
    assert read["text"] == ["a"] * 10_000
    assert pa.total_allocated_bytes() <= before + 1024


def test_a_schema_names_types_as_pyarrow_does() -> None:
    from flyweight.store.lancedb.arrow_stream import _pointer

    capsule = SCHEMA.__arrow_c_schema__()
    schema = Schema._import_from_c(_pointer(capsule, b"arrow_schema"))
    assert schema.metadata == SCHEMA.metadata
    # The item of a list is called "item" in what LanceDB writes, and in pyarrow's from version 1 of the format on.
    names = [field.name for field in SCHEMA if not pa.types.is_list(field.type)]
    assert [str(schema.field(name).type) for name in names if name != "vector"] == [
        str(SCHEMA.field(name).type) for name in names if name != "vector"
    ]
    assert schema.field("vector").type == "fixed_size_list<item: float>[3]"
    with pytest.raises(KeyError):
        schema.field("missing")


def test_a_type_that_is_not_read_is_named() -> None:
    batch = pa.RecordBatch.from_pydict({"when": pa.array([1], pa.timestamp("ms"))})
    with pytest.raises(TypeError, match="'when'"):
        columns_of(batch)


def test_a_vector_is_handed_over() -> None:
    values = array("f", [0.5, -1.0, 2.0])
    taken = pa.array(Vector(values.tobytes()))
    assert taken.type == pa.float32()
    assert taken.to_pylist() == values.tolist()


def test_vectors_that_were_released_are_let_go() -> None:
    from flyweight.store.lancedb import arrow_stream

    before = len(arrow_stream._exported)
    for _ in range(100):
        pa.array(Vector(bytes(64)))
    assert len(arrow_stream._exported) <= before

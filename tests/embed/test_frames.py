from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flyweight.embed.frames import FrameReader, frame

Values = st.one_of(st.integers(), st.text(), st.binary(), st.lists(st.binary()), st.none())


@given(st.lists(st.lists(Values)), st.integers(1, 64))
def test_messages_arrive_whole_and_in_order_however_the_stream_is_cut(
    messages: list[list[object]], piece_bytes: int
) -> None:
    stream = b"".join(frame(*message) for message in messages)
    reader = FrameReader()
    arrived = []
    for start in range(0, len(stream), piece_bytes):
        arrived += reader.feed(stream[start : start + piece_bytes])
    assert arrived == [tuple(message) for message in messages]

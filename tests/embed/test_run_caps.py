from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flyweight.embed.run_caps import RunCaps


@given(
    st.integers(0, 20),
    st.integers(0, 200),
    st.lists(st.tuples(st.sampled_from(["send", "answer", "refuse", "lose"]), st.integers(1, 30))),
)
def test_no_order_of_events_passes_a_cap(most_requests: int, most_tokens: int, steps: list[tuple[str, int]]) -> None:
    caps = RunCaps(most_requests, most_tokens)
    out: list[int] = []
    charged: list[int] = []
    for what, estimate in steps:
        if what == "send" and caps.admits(estimate):
            caps.sent(estimate)
            out.append(estimate)
        elif out and what == "answer":
            estimated = out.pop(0)
            charged.append(estimated // 2)
            caps.answered(estimated, estimated // 2)
        elif out and what == "refuse":
            caps.refused(out.pop(0))
        elif out and what == "lose":
            charged.append(out.pop(0))  # it may have been charged for
        assert len(charged) + len(out) <= most_requests
        assert sum(charged) + sum(out) <= most_tokens


def test_without_caps_everything_is_admitted() -> None:
    caps = RunCaps()
    for _ in range(1000):
        assert caps.admits(10**9)
        caps.sent(10**9)


def test_the_cap_that_was_reached_is_named() -> None:
    caps = RunCaps(most_requests=1, most_tokens=100)
    assert not caps.admits(101)
    assert "cap of 100 tokens" in caps.reached()
    caps.sent(10)
    assert "cap of 1 requests" in caps.reached()

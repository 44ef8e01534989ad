"""Who holds what: objects held in every way, asked of a real recording in a child interpreter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flyweight.memory.chains import Chain

PROGRAM = Path(__file__).parent / "programs" / "held_objects.py"


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def chains(answer: dict[str, Any]) -> list[str]:
    return [str(Chain(chain["root"], tuple(chain["links"]))) for chain in answer["chains"]]


def counts(answer: dict[str, Any]) -> dict[str, int]:
    return {held["name"]: held["count"] for held in answer["types"]}


NODE = "__main__.Node"
CHAINS = {
    "in_module_variable": f"module __main__ -> module_variable: {NODE}",
    "in_dict": f"module __main__ -> table: dict of 1 -> ['first']: {NODE}",
    "in_nested": (
        "module __main__ -> table: dict of 2 -> ['nested']: list of 2 -> [1]: tuple of 1 -> [0]: dict of 1"
        f" -> ['deep']: {NODE}"
    ),
    "in_class_attribute": f"module __main__ -> Registry: class __main__.Registry -> .entries: list of 1 -> [0]: {NODE}",
    "in_slot": f"module __main__ -> box: __main__.Slotted -> .item: {NODE}",
    "in_attribute": f"module __main__ -> managed: __main__.Managed -> .item: {NODE}",
    "in_closure": (
        "module __main__ -> items: list of 1 -> [0]: function __main__.in_closure.<locals>.callback"
        f" -> closure variable kept: {NODE}"
    ),
    "in_queue": f"module __main__ -> items: list of 3 -> [2]: collections.deque -> reference: {NODE}",
    "in_partial": (
        f"module __main__ -> items: list of 4 -> [3]: functools.partial -> .args: tuple of 1 -> [0]: {NODE}"
    ),
    "in_own_dict": f"module __main__ -> by_key: __main__.Own of 1 -> [7]: {NODE}",
    "prickly": "module __main__ -> items: list of 5 -> [4]: __main__.Prickly",
    "untracked_strings": "module __main__ -> items: list of 6 -> [5]: tuple of 2 -> [1]: str",
    "string_key": "module __main__ -> table: dict of 3 -> key: str",
    "number": "module __main__ -> items: list of 7 -> [6]: int",
    "list_storage": "module __main__ -> items: list of 8 -> [7]: list of 10000",
    "buffer": "module __main__ -> items: list of 9 -> [8]: bytearray",
    "growing_set": "module __main__ -> items: list of 10 -> [9]: set of 5000",
}


@pytest.mark.parametrize("case", CHAINS)
def test_chain_names_every_step_from_the_module_to_the_object(case: str, answers: dict[str, Any]) -> None:
    # Of a small object the part that happens to be largest may be the one that was sampled.
    assert any(chain.split(" -> its ")[0] == CHAINS[case] for chain in chains(answers[case]))


@pytest.mark.parametrize(
    ("case", "part"),
    [("list_storage", "items of list"), ("buffer", "bytes of bytearray"), ("growing_set", "table of set")],
)
def test_storage_of_a_container_is_known_as_its_part(case: str, part: str, answers: dict[str, Any]) -> None:
    assert counts(answers[case])[part] >= 1
    assert any(f" -> its {part.split()[0]}" in chain for chain in chains(answers[case]))


def test_suspended_generator_is_named_as_holder(answers: dict[str, Any]) -> None:
    [chain] = chains(answers["in_generator"])
    assert "generator in_generator.<locals>.produce -> local variable" in chain


def test_cycle_that_nobody_holds_is_called_one(answers: dict[str, Any]) -> None:
    for chain in chains(answers["cycle"]):
        assert chain.startswith(
            "nobody: a cycle of references that has not been collected, and automatic collection is off"
        )
        assert ".other" in chain


def test_chain_that_is_deeper_than_allowed_is_cut_at_its_far_end(answers: dict[str, Any]) -> None:
    lengths = [len(chain["links"]) for chain in answers["deep"]["chains"] if chain["root"].startswith("...")]
    assert lengths
    assert max(lengths) <= 9


def test_local_variable_of_a_running_function_is_a_root(answers: dict[str, Any]) -> None:
    assert any(
        chain.startswith("local mine of in_local_of_caller()") for chain in chains(answers["in_local_of_caller"])
    )


def test_local_variable_of_another_thread_is_a_root(answers: dict[str, Any]) -> None:
    found = chains(answers["in_other_thread"])
    assert any(chain.startswith("local mine of in_other_thread.<locals>.waiting_for()") for chain in found)


def test_objects_in_a_list_are_named_by_their_index(answers: dict[str, Any]) -> None:
    pattern = r"module __main__ -> items: list of 110 -> \[\d+\]: __main__\.Managed( -> its values)?"
    assert any(re.fullmatch(pattern, chain) for chain in chains(answers["instances"]))


def test_looking_at_a_local_does_not_keep_it(answers: dict[str, Any]) -> None:
    assert answers["local_is_freed"]


def test_leak_is_asked_for_as_it_was_found(answers: dict[str, Any]) -> None:
    assert answers["of_a_leak"]["count"] > 0


def test_every_block_of_many_instances_is_known(answers: dict[str, Any]) -> None:
    assert counts(answers["instances"])["__main__.Managed"] == 100
    assert answers["instances"]["unknown_count"] == 0
    if sys.version_info < (3, 13):  # from then on the values lie in the object's own block
        assert counts(answers["instances"])["values of __main__.Managed"] == 100


def test_types_and_unknown_blocks_add_up_to_what_was_looked_at(answers: dict[str, Any]) -> None:
    for answer in answers.values():
        if isinstance(answer, dict):
            assert sum(held["count"] for held in answer["types"]) + answer["unknown_count"] == answer["count"]
            assert sum(held["bytes"] for held in answer["types"]) + answer["unknown_bytes"] == answer["bytes"]


def test_limit_bounds_the_blocks_that_are_looked_at(answers: dict[str, Any]) -> None:
    assert answers["limited"]["count"] == 7


def test_search_that_ran_out_of_time_says_so(answers: dict[str, Any]) -> None:
    assert not answers["out_of_time"]["complete"]
    assert answers["instances"]["complete"]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("bad_limit", "ConfigError: limit"),
        ("bad_depth", "ConfigError: max_depth"),
        ("bad_time", "ConfigError: time_limit_s"),
        ("bad_thing", "'app.py'"),
        ("of_an_earlier_recording", "TrackingError: the leak was found in an earlier recording"),
        ("stopped", "TrackingError: memory is not being recorded"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_way_out(case: str, words: str, answers: dict[str, Any]) -> None:
    assert words in answers[case]

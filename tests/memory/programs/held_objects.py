"""Objects that are held in every way a chain can name; prints what holders() says of each as JSON: held_objects.py"""

import collections
import functools
import gc
import json
import sys
import threading
import time
import weakref
from typing import ClassVar

from flyweight import memory
from flyweight.errors import ConfigError, TrackingError
from flyweight.memory.holders import holders
from flyweight.memory.leaks import leaks
from flyweight.memory.sites import hot_paths


class Node:
    pass


class Managed:
    def __init__(self):
        self.here = True


class Slotted:
    __slots__ = ("item",)


class Own(dict):
    """A dict whose methods must not be called."""

    def items(self):
        raise AssertionError("items() was called")

    keys = __iter__ = __getitem__ = values = items


class Prickly:
    """An object that none of its special methods may be called on."""

    def __eq__(self, other):
        raise AssertionError("compared")

    def __hash__(self):
        raise AssertionError("hashed")

    def __repr__(self):
        raise AssertionError("printed")

    def __getattribute__(self, name):
        raise AssertionError(f"asked for {name}")

    @property
    def __class__(self):
        raise AssertionError("asked for its class")


module_variable = None
table = {}
items = []
box = Slotted()
managed = Managed()
by_key = Own()


class Registry:
    entries: ClassVar = []


def in_module_variable():
    global module_variable
    module_variable = Node()


def in_dict():
    table["first"] = Node()


def in_nested():
    table["nested"] = [0, ({"deep": Node()},)]


def in_class_attribute():
    Registry.entries.append(Node())


def in_slot():
    box.item = Node()


def in_attribute():
    managed.item = Node()


def in_closure():
    kept = Node()

    def callback():
        return kept

    items.append(callback)


def in_generator():
    def produce():
        kept = Node()
        yield 1
        yield kept

    producing = produce()
    next(producing)
    items.append(producing)


def in_queue():
    items.append(collections.deque([Node()]))


def in_partial():
    items.append(functools.partial(print, Node()))


def in_own_dict():
    dict.__setitem__(by_key, 7, Node())


def prickly():
    items.append(Prickly())


def untracked_strings():
    items.append(("plain", f"text {time.monotonic()} " * 20))


def string_key():
    table[f"key {time.monotonic()} " * 20] = 1


def number():
    items.append(1 << 3000)


def list_storage():
    items.append(list(range(10_000)))


def buffer():
    items.append(bytearray(50_000))


def growing_set():
    items.append(set(range(5000)))


def instances():
    for _ in range(100):
        items.append(Managed())


def cycle():
    node = Node()
    node.other = Node()
    node.other.other = node


def deep():
    node = Node()
    for _ in range(30):
        above = Node()
        above.below = node
        node = above
    items.append(node)


def produce_local():
    return Node()


def in_local_of_caller():
    mine = produce_local()
    answer = asked("produce_local")
    del mine
    return answer


def in_other_thread():
    ready, done = threading.Event(), threading.Event()

    def waiting_for():
        mine = produce_in_thread()
        ready.set()
        done.wait()
        del mine

    thread = threading.Thread(target=waiting_for)
    thread.start()
    ready.wait()
    answer = asked("produce_in_thread")
    done.set()
    thread.join()
    return answer


def look_at_a_local_that_then_goes():
    mine = produce_local()
    gone = weakref.ref(mine)
    asked("produce_local")
    mine = None
    return gone() is None


def produce_in_thread():
    return Node()


def asked(function, *_, **options):
    found = [site for site in hot_paths(100_000, by="live") if site.function == function and site.file == __file__]
    assert found, f"nothing alive of {function}"
    # The line whose blocks are largest: the lines of a case that only prepare it are not asked for.
    best = max(found, key=lambda site: site.live_bytes)
    return holders(best, **options).to_dict()


def refused(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except (ConfigError, TrackingError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


CASES = (
    in_module_variable,
    in_dict,
    in_nested,
    in_class_attribute,
    in_slot,
    in_attribute,
    in_closure,
    in_generator,
    in_queue,
    in_partial,
    in_own_dict,
    prickly,
    untracked_strings,
    string_key,
    number,
    list_storage,
    buffer,
    growing_set,
    instances,
    cycle,
    deep,
)


def main():
    gc.disable()
    memory.start(native=False, publish=False)
    answers = {}
    for case in CASES:
        case()
        answers[case.__name__] = asked(case.__name__)
    answers["in_local_of_caller"] = in_local_of_caller()
    answers["in_other_thread"] = in_other_thread()
    answers["local_is_freed"] = look_at_a_local_that_then_goes()
    answers["limited"] = asked("instances", limit=7)
    answers["out_of_time"] = asked("instances", time_limit_s=1e-9)
    answers["bad_limit"] = refused(holders, 1, 0)
    answers["bad_depth"] = refused(holders, 1, max_depth=0)
    answers["bad_time"] = refused(holders, 1, time_limit_s=0)
    answers["bad_thing"] = refused(holders, "app.py")
    in_dict()
    time.sleep(2)
    [old, *_] = [leak for leak in leaks(0, 0, include_steady=True) if leak.file == __file__]
    answers["of_a_leak"] = holders(old).to_dict()
    memory.stop()
    answers["stopped"] = refused(holders, 1)
    memory.start(native=False, publish=False)
    answers["of_an_earlier_recording"] = refused(holders, old)
    memory.stop()
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()

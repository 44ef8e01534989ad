"""Code that dies by the thousand, so that its addresses are reused: no line may inherit another's name."""

from __future__ import annotations

import gc
import sys
import types
import weakref

import books

from flyweight import _memory


def made(number: int, lines: int) -> types.FunctionType:
    names: dict[str, types.FunctionType] = {}
    source = f"def allocate{number}(keep):\n" + "\n" * lines + f"    keep.append(bytes({1000 + number}))\n"
    exec(compile(source, f"<made {number}>", "exec"), names)
    return names[f"allocate{number}"]


def sites_of_made() -> dict[tuple[str, str, int], tuple[int, int]]:
    found = {}
    for site in books.rows(_memory.sites(), _memory.SITE_COLUMNS):
        file, function = _memory.string(site["file"]), _memory.string(site["function"])
        if file.startswith("<made ") and function.startswith("allocate") and site["total_bytes"] >= 1000:
            found[file, function, site["line"]] = site["total_count"], site["largest_bytes"]
    return found


def every_name_is_right() -> None:
    keep: list[bytes] = []
    for number in range(3000):
        made(number, number % 7)(keep)
        keep.clear()
    gc.collect()
    if books.ESTIMATED:
        return
    found = sites_of_made()
    for number in range(3000):
        place = (f"<made {number}>", f"allocate{number}", 2 + number % 7)
        # Besides the bytes, the list's own items.
        assert found[place] == (2, 1033 + number), (place, found.get(place))
    assert len(found) == 3000


def every_name_is_right_between_recordings() -> None:
    """Code that lived through a stop, or died between two recordings."""
    keep: list[bytes] = []
    for turn in range(20):
        functions = [made(turn * 100 + number, number % 7) for number in range(50)]
        for function in functions:
            function(keep)
            keep.clear()
        books.end()
        if turn % 2:
            del functions, function
            others = [made(5000 + turn * 100 + number, number % 7) for number in range(50)]
        else:
            others = functions
        books.begin()
        for function in others:
            function(keep)
            keep.clear()
        if not books.ESTIMATED:
            found = sites_of_made()
            expected = {
                (f.__code__.co_filename, f.__name__, f.__code__.co_firstlineno + 1 + n % 7)
                for n, f in enumerate(others)
            }
            assert set(found) == expected, set(found) ^ expected
        functions = others = []


def dies_while_it_runs() -> None:
    """A function that replaces its own code, and one whose last reference goes while it runs."""
    names: dict[str, types.FunctionType] = {}
    exec("def f(keep):\n    f.__code__ = other\n    keep.append(bytes(1000))\n", names)
    names["other"] = made(1, 1).__code__  # type: ignore[assignment]
    replaced = names["f"]
    keep: list[bytes] = []
    for number in range(500):
        replaced(keep)
        function = made(number, 3)
        others = {"f": function, "keep": keep}
        del function
        exec("g = f\ndel f\ng(keep)\ndel g\nkeep.append(bytes(100))", others)
        keep.clear()
    books.check_records()


def callbacks() -> None:
    """Weak references to dying code whose callbacks allocate, and objects of dying modules."""
    keep: list[object] = []

    def dead(_: object) -> None:
        keep.append([bytes(n) for n in range(20)])

    for number in range(1000):
        function = made(number, 1)
        references = [weakref.ref(function, dead), weakref.ref(function.__code__, dead)]
        function([])
        del function
        module = types.ModuleType("passing")
        exec("class C:\n    def __del__(self): keep.append(bytes(100))\nc = C()", {"keep": keep} | vars(module))
        del module, references
        if number % 100 == 0:
            keep.clear()
    gc.collect()
    keep.clear()
    books.check_records()


def edited() -> None:
    """Code made by replace(), marshalled code, lambdas in comprehensions, and code with odd names and lines."""
    import marshal

    keep: list[bytes] = []
    for number in range(500):
        code = made(number, 1).__code__.replace(co_name="né\ud800w" * (number % 300), co_filename="\U0001f600" * number)
        function = types.FunctionType(marshal.loads(marshal.dumps(code)) if number % 2 else code, {})
        function(keep)
        keep.extend((lambda size: bytes(size))(size) for size in range(20))
    types.FunctionType(code.replace(co_linetable=b""), {})(keep)
    types.FunctionType(code.replace(co_firstlineno=2**31 - 10), {})(keep)
    keep.clear()
    books.check_records()


def many_classes() -> None:
    for number in range(2000):
        kind = type(
            f"Kind{number}", (), {"__init__": lambda self: setattr(self, "x", bytearray(50)), "__slots__": ("x",)}
        )
        [kind() for _ in range(3)]
    del kind
    gc.collect()
    books.check_records()


if __name__ == "__main__":
    books.begin()
    globals()[sys.argv[2]]()
    books.end()
    print("survived")

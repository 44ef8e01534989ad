"""Modules that are imported in every way, by the import system and by code that pretends to be it."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
import types
import weakref

import books

# Functions under the names that the recording looks for, whose locals are not what it expects.
PRETENDER = """
class SourceLoader:
    def get_code(self, fullname, source_path, work):
        return work(self)
    def replaces(self, source_path, values, work):
        for value in values:
            source_path = value
            work(self)
        del source_path
        return work(self)
    def grows(self, source_path, work):
        for _ in range(2000):
            source_path += "/a directory more"
            work(self)
        return len(source_path)
    def shares(self, source_path, work):
        def reader():
            return source_path
        work(self)
        return reader()
def _call_with_frames_removed(work, *arguments):
    return work(*arguments)
def spec_from_file_location(name, location, work):
    return work(name)
def _find_and_load_unlocked(name, work):
    return work(name)
"""
RENAMED = {"replaces": "SourceLoader.get_code", "grows": "SourceLoader.get_code", "shares": "SourceLoader.get_code"}


class _Text(str):
    pass


class _Allocates:
    """Whose end allocates, in C and in Python, while whoever held it is on its way out."""

    def __init__(self, work: object) -> None:
        self.work = work
        self.reference = weakref.ref(self, lambda _: bytearray(3000).decode("latin-1"))

    def __del__(self) -> None:
        [bytes(700) for _ in range(20)]


def _pretender() -> dict[str, types.FunctionType]:
    names: dict[str, types.FunctionType] = {}
    exec(compile(PRETENDER, "<frozen importlib._bootstrap_external>", "exec"), names)
    loader = names.pop("SourceLoader")
    for name in ("get_code", "replaces", "grows", "shares"):
        function = getattr(loader, name)
        code = function.__code__.replace(co_qualname=RENAMED.get(name, function.__qualname__))
        names[name] = types.FunctionType(code, names, name)
    return names


def _work(*_: object) -> list[bytes]:
    return [bytes(600), b"x" * 40]


def locals_of_any_kind() -> None:
    names = _pretender()
    call = names["_call_with_frames_removed"]
    values = ["/one.py", None, 7, _Text("/two.py"), "/é.py", "/\U0001f40d\udc80.py", "x" * 5000, "", "<unknown>", b"/3"]

    def work(*arguments: object) -> None:
        call(bytes, 600)
        call(call, bytes, 40)
        call(_work, *arguments)

    for value in values:
        names["get_code"](object(), value, value, work)
        names["get_code"](_Allocates(work), str(value) + "!", _Allocates(work), work)
        names["spec_from_file_location"](value, value, work)
        names["_find_and_load_unlocked"](value, work)
        names["_find_and_load_unlocked"](str(value) + "!", lambda *_: names["get_code"](None, None, None, work))
    names["replaces"](None, None, [*values, *(f"/{number}.py" for number in range(500))], work)
    names["grows"](None, "/", work)
    names["shares"](None, "/shared.py", work)


def frames_on_their_way_out() -> None:
    """Locals go one after another, and the first ones' ends allocate while the others may be gone."""
    names = _pretender()
    call = names["_call_with_frames_removed"]

    def fails(*_: object) -> None:
        call(bytes, 600)
        raise ValueError(bytes(600).hex())

    for number in range(3000):
        names["get_code"](_Allocates(None), f"/name {number}", f"/path {number}.py", lambda *_: call(bytes, 600))
        try:
            names["get_code"](_Allocates(None), f"/name {number}", f"/path {number}.py", fails)
        except ValueError as error:
            trace = error.__traceback__
            while trace is not None:
                trace.tb_frame.clear() if number % 2 and trace.tb_frame is not sys._getframe() else None
                trace = trace.tb_next
    gc.collect()


def code_that_dies() -> None:
    """The import system's functions are made anew, at addresses where others lay."""
    for number in range(300):
        names = _pretender()
        call = names["_call_with_frames_removed"]
        names["get_code"](None, "name", f"/path {number}.py", lambda *_: call(bytes, 600))  # noqa: B023
        others: dict[str, types.FunctionType] = {}
        exec(compile(f"def f():\n    return bytes({number + 600})", f"<other {number}>", "exec"), others)
        others["f"]()


def _tree(modules: int) -> str:
    directory = tempfile.mkdtemp()
    for number in range(modules):
        with open(os.path.join(directory, f"made_{number}.py"), "w") as file:
            file.write(f"TEXT = {'x' * 3000!r}\ndef function():\n    '''{'y' * 500}'''\n    return {number}\n")
    sys.path.insert(0, directory)
    return directory


def _leave(directory: str) -> None:
    sys.path.remove(directory)
    shutil.rmtree(directory)
    for name in [name for name in sys.modules if name.startswith("made_")]:
        del sys.modules[name]


def threads_import_at_once() -> None:
    directory = _tree(60)
    sys.setswitchinterval(1e-6)
    for _ in range(5):
        threads = [
            threading.Thread(target=lambda part: [importlib.import_module(f"made_{n}") for n in part], args=(part,))
            for part in (range(0, 40), range(20, 60), range(59, 10, -1))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(60):
            assert sys.modules.pop(f"made_{number}").function() == number
    _leave(directory)


def imports_from_ends_and_traces() -> None:
    """Imports within finalizers and trace functions, that run while another module is being loaded."""
    directory = _tree(30)

    class Imports:
        def __del__(self) -> None:
            sys.modules.pop("made_29", None)
            import made_29  # noqa: F401

    def trace(*_: object) -> object:
        return trace

    with open(os.path.join(directory, "made_0.py"), "a") as file:
        file.write("import gc, made_1\ngc.collect()\nraise ImportError('on purpose')\n")
    gc.set_threshold(50)
    for turn in range(6):
        sys.settrace(trace if turn % 3 == 1 else None)  # type: ignore[arg-type]
        sys.setprofile(trace if turn % 3 == 2 else None)
        for number in range(29):
            cycle = [Imports()]
            cycle.append(cycle)  # type: ignore[arg-type]
            del cycle
            try:
                importlib.import_module(f"made_{number}")
            except (ImportError, KeyError):  # the latter of 3.11's own, where an import is in the way of another
                pass
        for name in [name for name in sys.modules if name.startswith("made_")]:
            del sys.modules[name]
    sys.settrace(None)
    sys.setprofile(None)
    _leave(directory)


def recordings_in_the_middle_of_imports() -> None:
    directory = _tree(20)
    sys.modules["made_books"] = types.ModuleType("made_books")
    sys.modules["made_books"].again = lambda: (books.end(), books.begin())  # type: ignore[attr-defined]
    with open(os.path.join(directory, "made_7.py"), "a") as file:
        file.write("import made_books\nmade_books.again()\nimport made_8\n")
    for _ in range(10):
        for number in range(20):
            importlib.import_module(f"made_{number}")
        for number in range(20):
            del sys.modules[f"made_{number}"]
    _leave(directory)


if __name__ == "__main__":
    books.begin()
    globals()[sys.argv[2]]()
    books.check_records()
    books.end()
    print("survived")

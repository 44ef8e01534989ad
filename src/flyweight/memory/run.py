"""Runs a program under the profiler and ends with a report: the measured half of `flyweight run`.

It is started as a lean interpreter of its own, so that nothing of the command line is in the measured process. The
program finds what it would find under `python`: itself as `__main__`, its arguments, its directory first on the path,
its own frames only in a traceback, its exit status. A program that ends by os._exit or a signal takes no leave, so
there is no report of it.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys

from flyweight import _memory
from flyweight.errors import FlyweightError
from flyweight.memory import session
from flyweight.memory.farewell import Farewell
from flyweight.memory.run_settings import CODE, MODULE, SCRIPT, RunSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, TracebackType
    from typing import Any

_NOTHING_RUN = 2  # as python itself when it cannot open a script


def main() -> None:
    """Runs the program that the command line names and leaves as it leaves."""
    arguments = sys.argv[1:]
    settings = RunSettings.from_arguments(arguments)
    farewell = Farewell(settings)
    # The first to be registered is the last to be called: after the program's own.
    atexit.register(farewell)
    # Importing a module's packages is the program's own doing. Compiling a script is not: it makes Python set up types
    # that stay.
    starts_first = settings.kind == MODULE
    try:
        if starts_first:
            _start(settings)
        code, names = _LOADERS[settings.kind](arguments)
        if not starts_first:
            _start(settings)
        exec(code, _as_main(names))
    except SystemExit:
        raise
    except BaseException as error:
        farewell.note(error)
        sys.excepthook = _ProgramsOwnTraceback(sys.excepthook)
        raise


def _start(settings: RunSettings) -> None:
    try:
        session.start(
            settings.mode,
            settings.native,
            stacks=settings.stacks,
            native_stacks=settings.native_stacks,
            sample_interval=settings.sample_interval,
            memory_limit=settings.memory_limit or None,
        )
    except FlyweightError as error:
        print(f"flyweight: {error}", file=sys.stderr)
        sys.exit(_NOTHING_RUN)
    if settings.hard_limit:
        _memory.publish_on_crash()  # our parent will tell it
        if not settings.control_group:
            from flyweight.memory.hard_limit import bound_address_space

            bound_address_space(settings.hard_limit)


def _load_script(arguments: list[str]) -> tuple[CodeType, dict[str, object]]:
    path = arguments[0]
    sys.argv[:] = arguments
    content = b""
    if not os.path.isdir(path):
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            reason = f"[Errno {error.errno}] {error.strerror}"
            print(f"{sys.executable}: can't open file {path!r}: {reason}", file=sys.stderr)
            sys.exit(_NOTHING_RUN)
    whole_path = os.path.join(os.getcwd(), path.removeprefix("./"))  # as python spells it in __file__ and tracebacks
    if os.path.isdir(path) or _is_archive(path, content):
        sys.path.insert(0, whole_path)
        import runpy  # as python does for these

        try:
            _, spec, code = runpy._get_main_module_details(runpy._Error)  # type: ignore[attr-defined]
        except runpy._Error as error:  # type: ignore[attr-defined]
            sys.exit(f"{sys.executable}: {error}")
        return code, _names_of(spec)
    from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader, SourcelessFileLoader

    if not sys.flags.safe_path:
        sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    loader: object
    if content[:4] == MAGIC_NUMBER:
        loader = SourcelessFileLoader("__main__", whole_path)
        code = loader.get_code("__main__")
    else:
        loader = SourceFileLoader("__main__", whole_path)
        code = compile(content, whole_path, "exec", dont_inherit=True)
    names: dict[str, object]
    names = {"__file__": whole_path, "__cached__": None, "__loader__": loader, "__package__": None, "__spec__": None}
    return code, names


def _load_module(arguments: list[str]) -> tuple[CodeType, dict[str, object]]:
    name = arguments[0]
    sys.argv[:] = ["-m", *arguments[1:]]
    if not sys.flags.safe_path:
        sys.path.insert(0, os.getcwd())
    import runpy  # as `python -m` does

    try:
        _, spec, code = runpy._get_module_details(name, runpy._Error)  # type: ignore[attr-defined]
    except runpy._Error as error:  # type: ignore[attr-defined]
        sys.exit(f"{sys.executable}: {error}")
    sys.argv[0] = spec.origin
    return code, _names_of(spec)


def _load_code(arguments: list[str]) -> tuple[CodeType, dict[str, object]]:
    sys.argv[:] = ["-c", *arguments[1:]]
    if not sys.flags.safe_path:
        sys.path.insert(0, "")
    from _frozen_importlib import BuiltinImporter

    code = compile(arguments[0], "<string>", "exec", dont_inherit=True)
    return code, {"__loader__": BuiltinImporter, "__package__": None, "__spec__": None}


_LOADERS: dict[str, Callable[[list[str]], tuple[CodeType, dict[str, object]]]] = {
    SCRIPT: _load_script,
    MODULE: _load_module,
    CODE: _load_code,
}


def _is_archive(path: str, content: bytes) -> bool:
    if b"PK\5\6" not in content[-65_557:]:  # the end record of a zip file and its comment (APPNOTE 4.3.16)
        return False
    from zipimport import ZipImportError, zipimporter

    try:
        zipimporter(path)
    except ZipImportError:
        return False
    return True


def _names_of(spec: Any) -> dict[str, object]:
    return {
        "__file__": spec.origin,
        "__cached__": spec.cached,
        "__loader__": spec.loader,
        "__package__": spec.parent,
        "__spec__": spec,
    }


def _as_main(names: dict[str, object]) -> dict[str, object]:
    """The namespace of a new `__main__`, which pickle and multiprocessing will look for under that name."""
    module = type(sys)("__main__")
    module.__dict__.update(names, __builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = module
    return module.__dict__


class _ProgramsOwnTraceback:
    """An excepthook that hides our frames from the one the program has."""

    __slots__ = ("_hook",)

    def __init__(self, hook: Callable[..., object]) -> None:
        self._hook = hook

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.excepthook = self._hook
        trace = programs_part(trace)
        sys.last_traceback = trace
        self._hook(kind, error.with_traceback(trace), trace)


def programs_part(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of this module and of the interpreter's bootstrap that lie around it."""
    own = programs_part.__code__.co_filename
    while trace is not None:
        code = trace.tb_frame.f_code
        ours = code.co_filename == own
        bootstrap = code.co_filename == "<string>" and trace.tb_frame.f_back is None and trace.tb_next is not None
        if not ours and not (bootstrap and trace.tb_frame.f_globals.get("main") is main):
            break
        trace = trace.tb_next
    return trace

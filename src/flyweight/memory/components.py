"""Components: what the figures are grouped by. Whose code or data is behind a path, by package or as users say.

A rule is a pattern and a name. The pattern is a path, or "*/" and the middle of one; it matches whole names (behind it
comes nothing, a slash, a dot or a ">"), anything when it ends with a slash, and any rest of a name when it ends with a
star. The rule that reaches furthest into a path wins, among equals the later one. The name "*" stands for the package:
the next name of the path, up to a dot. native/memory/components.h applies the same rules to sites.
"""

from __future__ import annotations

import os
import sys

from flyweight import _memory
from flyweight.errors import ConfigError, TrackingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Rule = tuple[str, str]

PROGRAM, PYTHON, SYSTEM = "program", "python", "system"
ENGINE, INDEX, MODEL, CACHE, PROFILER = "engine", "index", "model", "cache", "profiler"
OTHER = "(other)"  # what the series keeps together once there are too many components
MOST_RULES = 2000  # as native/memory/components.h has room for
LONGEST_NAME = 39  # bytes; as a row of the shared page has room for

_PACKAGE_DIRECTORIES = ("*/site-packages/", "*/dist-packages/")
# Packages that are one thing to the person who chose it.
_GROUPS = {
    "aws": ("boto3", "botocore", "s3transfer", "aws*", "aioboto3", "aiobotocore"),
    "lancedb": ("lancedb", "lance"),
    "arrow": ("pyarrow",),
}
_BY_SUFFIX = {".segment": INDEX, ".fwm": MODEL}


def component(name: str, *, packages: Sequence[str] = (), paths: Sequence[str] = ()) -> None:
    """Names a component: what is under it in reports, timelines and budgets.

    packages: import names, dotted ones too ("sqlalchemy", "numpy.linalg"), wherever they are installed.
    paths: directories and files; "<string>" and the like for code that came from none. The longest rule wins, so a
    directory of a package can be a component of its own.

    More rules may be added to a component at any time; the figures of a running recording are grouped anew.

    >>> component("database", packages=["sqlalchemy", "psycopg2"], paths=["/srv/shop/orders"])
    >>> component_of("/srv/shop/orders/model.py"), component_of("/srv/shop/cart.py")
    ('database', 'program')

    Raises ConfigError.
    """
    check_name(name)
    packages, paths = _texts("packages", packages), _texts("paths", paths)
    if not packages and not paths:
        raise ConfigError(f"component {name!r} needs packages=[...] or paths=[...]: nothing would belong to it")
    fresh = [(pattern, name) for package in packages for pattern in _package_patterns(package)]
    fresh += [(pattern, name) for path in paths for pattern in _path_patterns(path)]
    fresh = [rule for rule in fresh if rule not in _of_users]
    if len(_defaults) + len(_of_users) + len(fresh) > MOST_RULES:
        raise ConfigError(f"there is room for {MOST_RULES} rules, and component {name!r} would need more")
    _of_users.extend(fresh)
    for package in packages:
        _by_package[package] = name
    if _memory.active():
        publish_rules()


def check_name(name: str) -> None:
    """Raises ConfigError for what cannot be a component's name."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or name in ("*", OTHER):
        raise ConfigError(f"a component is named by a word like 'database', not {name!r}")
    if len(name.encode()) > LONGEST_NAME:
        raise ConfigError(f"the name of a component has at most {LONGEST_NAME} bytes, {name!r} has more")


def package_of(path: str) -> str:
    """The top-level package that a source file, a library or a frame's name of one belongs to.

    "python" is the standard library with the interpreter, "system" what the operating system installed, "program"
    everything else.

    >>> package_of("/opt/app/lib/python3.11/site-packages/numpy.libs/libopenblas64_p.so")
    'numpy'
    >>> package_of("<frozen importlib._bootstrap>"), package_of("/srv/shop/cart.py")
    ('python', 'program')
    """
    return _match(_packages, path)


def component_of(path: str, package: str = "") -> str:
    """The component of what lies at a path; `package` decides where no rule of a path does.

    >>> component_of("/venv/lib/python3.12/site-packages/botocore/loaders.py")
    'aws'
    >>> component_of("/srv/shop/.flyweight/3f2a.segment"), component_of("", "pyarrow")
    ('index', 'arrow')
    """
    if path.endswith((".segment", ".fwm")):
        return _match(_of_users, path, _BY_SUFFIX[path[path.rindex(".") :]])
    found = _match(rules(), path)
    if found != PROGRAM or not package or package == PROGRAM:
        return found
    return _by_package.get(package) or _match(_defaults, f"{_PACKAGE_DIRECTORIES[0][1:]}{package}")


def rules() -> list[Rule]:
    """All rules in force, later ones before earlier ones where both reach equally far."""
    return [*_defaults, *_of_users]


def has_rules_of_users() -> bool:
    return bool(_of_users)


def publish_rules() -> None:
    """Hands the rules to the native side, which groups its sites by them; start() does so."""
    try:
        _memory.set_component_rules(rules())
    except RuntimeError as error:
        raise TrackingError(str(error)) from None


def _match(found_by: Sequence[Rule], path: str, otherwise: str = PROGRAM) -> str:
    furthest, name = 0, ""
    for pattern, given in found_by:
        end = _reach(pattern, path)
        if end >= furthest and end:
            furthest, name = end, given
    if name != "*":
        return name or otherwise
    element = path[furthest:].partition("/")[0]
    return (element.partition(".")[0] or element) or otherwise


def _reach(pattern: str, path: str) -> int:
    """Where in the path the pattern ends; 0 when it does not match."""
    open_end = pattern[-1] == "*"
    fixed = pattern[:-1] if open_end else pattern
    if fixed[:2] == "*/":
        start = path.rfind(fixed[1:])
        end = start + len(fixed) - 1
        if start < 0:
            return 0
    else:
        if not path.startswith(fixed):
            return 0
        end = len(fixed)
    return end if open_end or fixed[-1] == "/" or end == len(path) or path[end] in "./>" else 0


def _package_patterns(package: str) -> list[str]:
    below = package.replace(".", "/")
    patterns = [f"{directory}{below}" for directory in _PACKAGE_DIRECTORIES]
    places = [place for place in sys.path if isinstance(place, str) and os.path.isdir(place or ".")]
    patterns += [os.path.join(os.path.abspath(place), below) for place in places]
    patterns.append(f"<frozen {package}")
    module = sys.modules.get(package)
    directories = getattr(module, "__path__", None) or ()
    patterns += [pattern for directory in directories for pattern in _path_patterns(directory)]
    file = getattr(module, "__file__", None)
    if not directories and isinstance(file, str):
        patterns += _path_patterns(file)
    return list(dict.fromkeys(patterns))


def _path_patterns(path: str) -> list[str]:
    """As written and as the system names it; a directory ends with a slash. Code of no file is "<string>" or so."""
    if path.startswith("<"):
        return [path]
    places = dict.fromkeys((os.path.abspath(path), os.path.realpath(path)))
    return [f"{place.rstrip('/')}/" if os.path.isdir(place) else place for place in places]


def _texts(what: str, given: Sequence[str]) -> list[str]:
    if isinstance(given, (str, bytes)) or not all(isinstance(text, (str, os.PathLike)) for text in given):
        raise ConfigError(f"{what} are given as a list of text, not {given!r}")
    texts = [os.fspath(text) for text in given]
    if not all(isinstance(text, str) and text for text in texts):
        raise ConfigError(f"{what} are given as a list of text, not {given!r}")
    return texts


def _interpreter_rules() -> list[Rule]:
    """What belongs to Python or to the operating system, and what is installed as packages."""
    directory = os.path.dirname(os.path.abspath(os.__file__))
    roots = dict.fromkeys((sys.base_prefix, sys.prefix, os.path.realpath(sys.base_prefix)))
    binaries = {sys.executable, getattr(sys, "_base_executable", ""), os.path.realpath(sys.executable or "/")}
    system = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
    found = [(f"{place}/", SYSTEM) for place in system]
    found += [(f"{root}/lib/", SYSTEM) for root in roots if root not in ("", "/")]
    found += [(binary, PYTHON) for binary in sorted(binaries) if binary and binary != "/"]
    found += [(f"{place}/", PYTHON) for place in dict.fromkeys((directory, os.path.realpath(directory)))]
    found += [("*/libpython*", PYTHON), ("<frozen *", PYTHON), ("<interpreter>", PYTHON)]
    return found + [(directory, "*") for directory in _PACKAGE_DIRECTORIES]


def _own_rules() -> list[Rule]:
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = []
    for place in dict.fromkeys((own, os.path.realpath(own))):
        found.append((f"{place}/", ENGINE))
        found += [(f"{place}/{name}", PROFILER) for name in ("memory/", "observe/", "_memory")]
    native = getattr(_memory, "__file__", None)
    search = f"{os.path.dirname(native)}/_search" if native else ""
    return found + ([(native, PROFILER), (search, ENGINE)] if native else [])


_interpreter = _interpreter_rules()
_own = _own_rules()
_packages: list[Rule] = _interpreter + [(pattern, "flyweight") for pattern, _ in _own]
_defaults: list[Rule] = (
    _interpreter
    + [
        (f"{directory}{package}", name)
        for name, members in _GROUPS.items()
        for package in members
        for directory in _PACKAGE_DIRECTORIES
    ]
    + _own
)
_of_users: list[Rule] = []
_by_package: dict[str, str] = {}

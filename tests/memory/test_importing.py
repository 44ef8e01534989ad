"""What importing a module allocates is the module's, whatever way it is loaded."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import py_compile
import sys
import zipfile
from pathlib import Path

import pytest
from bare_process import run_script

from tests.memory.survival.programs import cases, survive

# A module is its text, one string of it a hundred thousand bytes (of several words, or all modules would share one);
# a function beside.
TEXT_BYTES = 100_000
SOURCE = f"""'''{"word " * (TEXT_BYTES // 5)}'''
def function(argument):
    '''What it is for.'''
    return argument, 'constant'
"""

# imported(file): live bytes and blocks of what importing that file left behind.
PRELUDE = """
import importlib, sys
from flyweight import memory
sys.dont_write_bytecode = True
compile("0", "<string>", "exec")  # the first one makes the types of Python's syntax trees
def sites(file):
    return [site for site in memory.hot_paths(100_000) if site.function == "<import>" and site.file == file]
def imported(file):
    found = sites(file)
    return sum(site.live_bytes for site in found), sum(site.live_count for site in found)
def start(**options):
    memory.start(publish=False, **{"native": False, **options})
"""
FEW = 10_000  # bytes: what else a module this small keeps


def run(script: str, *arguments: str | Path) -> str:
    return run_script(PRELUDE + script, *arguments)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    package = tmp_path / "site-packages" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "cart.py").write_text(SOURCE)
    return package.parent


IMPORT = f"""
sys.path.insert(0, sys.argv[1])
start(native=sys.argv[3] == "native")
import shop.cart
size, count = imported(sys.argv[2])
assert {TEXT_BYTES} < size < {TEXT_BYTES + FEW} and count > 5, (size, count)
(site,) = sites(sys.argv[2])
assert (site.component, site.line, site.domain) == ("shop", 0, "python"), site
"""


@pytest.mark.parametrize("kind", ["python", "native"])
def test_from_source(directory: Path, kind: str) -> None:
    run(IMPORT, directory, directory / "shop" / "cart.py", kind)


@pytest.mark.parametrize("kind", ["python", "native"])
def test_from_bytecode(directory: Path, kind: str) -> None:
    py_compile.compile(str(directory / "shop" / "cart.py"))
    run(IMPORT, directory, directory / "shop" / "cart.py", kind)


def test_from_bytecode_alone(directory: Path) -> None:
    source = directory / "shop" / "cart.py"
    py_compile.compile(str(source), cfile=str(source.with_suffix(".pyc")))
    source.unlink()
    run(IMPORT, directory, source.with_suffix(".pyc"), "python")


@pytest.mark.parametrize("suffix", [".py", ".pyc"])
def test_from_an_archive(directory: Path, suffix: str) -> None:
    source, archive = directory / "shop" / "cart.py", directory / "site-packages.zip"
    py_compile.compile(str(source), cfile=str(source.with_suffix(".pyc")))
    with zipfile.ZipFile(archive, "w") as file:
        file.write(directory / "shop" / "__init__.py", "site-packages/shop/__init__.py")
        file.write(source.with_suffix(suffix), f"site-packages/shop/cart{suffix}")
    run(IMPORT, archive / "site-packages", archive / "site-packages" / "shop" / f"cart{suffix}", "python")


def test_an_extension_modules_objects_are_its_librarys() -> None:
    for name in ("_lsprof", "_testcapi", "_queue", "_decimal"):
        spec = importlib.util.find_spec(name)
        if spec is not None and isinstance(spec.loader, importlib.machinery.ExtensionFileLoader):
            break
    else:
        pytest.skip("no extension module of the standard library is a file of its own")
    assert spec.origin is not None
    run(
        """
assert sys.argv[1] not in sys.modules
start()
importlib.import_module(sys.argv[1])
size, count = imported(sys.argv[2])
assert size > 1000 and count > 5, (size, count)
(site,) = sites(sys.argv[2])
assert site.component == "python"
""",
        name,
        spec.origin,
    )


def test_the_innermost_of_imports_within_imports(directory: Path) -> None:
    (directory / "shop" / "cart.py").write_text(SOURCE + "import shop.till\n")
    (directory / "shop" / "till.py").write_text(SOURCE + "import shop.stock\n")
    (directory / "shop" / "stock.py").write_text(SOURCE)
    run(
        f"""
sys.path.insert(0, sys.argv[1])
start()
import shop.cart
for name in ("cart", "till", "stock"):
    size, _ = imported(f"{{sys.argv[1]}}/shop/{{name}}.py")
    assert {TEXT_BYTES} < size < {TEXT_BYTES + FEW}, (name, size)
""",
        directory,
    )


def test_each_of_several_files_that_bear_one_name(tmp_path: Path) -> None:
    """As test suites have their conftest.py: the same name, by its finder and by hand, and a reload."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "conftest.py").write_text(SOURCE)
    run(
        f"""
import importlib.machinery, importlib.util
files = [f"{{sys.argv[1]}}/{{name}}/conftest.py" for name in ("one", "two")]
def held(times):
    for file in files:
        size, _ = imported(file)
        assert times * {TEXT_BYTES} < size < times * {TEXT_BYTES + FEW}, (file, size, times)
keep = []
start()
for file in files:
    sys.path.insert(0, file.removesuffix("/conftest.py"))
    import conftest
    keep.append(sys.modules.pop("conftest"))
held(1)
for file in files:
    spec = importlib.util.spec_from_file_location("conftest", file)
    keep.append(importlib.util.module_from_spec(spec))
    spec.loader.exec_module(keep[-1])
held(2)
for file in files:
    keep.append(importlib.machinery.SourceFileLoader("conftest", file).get_code("conftest"))
held(3)
sys.modules["conftest"] = conftest
keep += [conftest.__doc__]
importlib.reload(conftest)
size, _ = imported(files[1])
assert 4 * {TEXT_BYTES} < size < 4 * {TEXT_BYTES + FEW}, size
""",
        tmp_path,
    )


def test_each_module_of_threads_that_import_at_once(tmp_path: Path) -> None:
    for number in range(48):
        (tmp_path / f"made_{number}.py").write_text(SOURCE)
        py_compile.compile(str(tmp_path / f"made_{number}.py"))
    run(
        f"""
import threading
sys.path.insert(0, sys.argv[1])
sys.setswitchinterval(1e-6)
start()
def work(part):
    for number in range(part, 48, 4): importlib.import_module(f"made_{{number}}")
threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for number in range(48):
    size, _ = imported(f"{{sys.argv[1]}}/made_{{number}}.py")
    assert {TEXT_BYTES} < size < {TEXT_BYTES + FEW}, (number, size)
""",
        tmp_path,
    )


@pytest.mark.parametrize("stacks", ["full", "sampled"])
def test_stacks_have_the_module_as_their_innermost_frame(directory: Path, stacks: str) -> None:
    run(
        """
sys.path.insert(0, sys.argv[1])
start(**({"stacks": "full"} if sys.argv[2] == "full" else {"mode": "sampled", "sample_interval": 4096}))
import shop.cart
file = f"{sys.argv[1]}/shop/cart.py"
found = [stack for stack in memory.sampled_stacks() if stack.frames[0] == (file, 0, "<import>")]
assert sum(stack.live_bytes for stack in found) > 50_000, found
frames = found[0].frames
assert any(frame[0].startswith("<frozen importlib") for frame in frames) and frames[-1][0] == "<string>", frames
assert imported(file)[0] > 50_000
""",
        directory,
        stacks,
    )


def test_a_second_recording_knows_them_again(directory: Path) -> None:
    run(
        f"""
sys.path.insert(0, sys.argv[1])
for _ in range(3):
    start()
    import shop.cart
    size, _ = imported(f"{{sys.argv[1]}}/shop/cart.py")
    assert {TEXT_BYTES} < size < {TEXT_BYTES + FEW}, size
    memory.stop()
    del sys.modules["shop.cart"], shop.cart
""",
        directory,
    )


def test_what_finding_a_module_leaves_behind_stays_the_import_systems(directory: Path) -> None:
    run(
        """
for number in range(300): open(f"{sys.argv[1]}/name_{number}.py", "w").close()
sys.path.insert(0, sys.argv[1])
start()
import shop.cart
listing = [site for site in memory.hot_paths(100_000) if site.function == "FileFinder._fill_cache"]
assert sum(site.live_bytes for site in listing) > 10_000, listing
assert {site.component for site in listing} == {"python"}
""",
        directory,
    )


INTERPRETERS = "_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters with a GIL of their own came with 3.12")
def test_modules_of_another_interpreter(directory: Path) -> None:
    run(
        f"""
import {INTERPRETERS} as interpreters
start()
other = interpreters.create()
interpreters.run_string(other, f"import sys; sys.path.insert(0, {{sys.argv[1]!r}}); import shop.cart")
size, _ = imported(f"{{sys.argv[1]}}/shop/cart.py")
assert {TEXT_BYTES} < size < {TEXT_BYTES + FEW}, size
interpreters.destroy(other)
size, _ = imported(f"{{sys.argv[1]}}/shop/cart.py")
assert size < 1000, size
""",
        directory,
    )


@pytest.mark.parametrize("mode", ["native", "full"])
@pytest.mark.parametrize("case", cases("importing"))
def test_survival(case: str, mode: str) -> None:
    survive("importing", case, mode)


@pytest.mark.parametrize("allocator", ["debug", "malloc"])
@pytest.mark.parametrize("case", ["locals_of_any_kind", "frames_on_their_way_out"])
def test_survival_with_pythons_other_allocators(allocator: str, case: str) -> None:
    survive("importing", case, environment={"PYTHONMALLOC": allocator})

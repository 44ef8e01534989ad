"""Real programs under `flyweight run`, exact mode with the native heap: every test ends as it ends without.

    python -m tests.soak.real_programs [attrs msgpack]

The packages' source archives and what their tests need are fetched with pip, into a directory that is removed
afterwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from xml.etree import ElementTree

CPYTHON_TESTS = Path(__file__).resolve().parents[1] / "memory" / "survival" / "cpython_tests.py"
LONG_MODULES = (
    "array asyncio.test_tasks atexit bytes bz2 call code contextlib coroutines ctypes decimal deque descr dict "
    "exceptions finalization fork1 frame gc generators itertools json list lzma memoryview mmap pickle re set sqlite3 "
    "struct subprocess sys_settrace thread threading tracemalloc unicode weakref xml_etree zlib"
)
# What the tests of a package need besides pytest, and the directory they are in.
PACKAGES = {
    "attrs": (["hypothesis", "cloudpickle"], "tests"),
    "msgpack": ([], "test"),
}
RUN = ("-m", "flyweight", "run", "--quiet")
TIMEOUT_S = 3600
ENVIRONMENT = {"PYTHONHASHSEED": "1", "PYTHONDONTWRITEBYTECODE": "1"}

Outcomes = dict[str, str]


def differences_between(plain: Outcomes, tracked: Outcomes) -> dict[str, tuple[str, str]]:
    """Tests that ended otherwise, or only once: by name, how they ended without and with the profiler."""
    return {
        name: (plain.get(name, "missing"), tracked.get(name, "missing"))
        for name in plain.keys() | tracked.keys()
        if plain.get(name) != tracked.get(name)
    }


def compare_cpython_tests(modules: list[str], directory: Path) -> tuple[dict[str, tuple[str, str]], int]:
    """Differences, and the number of tests.

    Some of CPython's tests look at what varies from run to run: addresses, times, the order of a hash table. Modules in
    which a test ended otherwise are run once more, and only what ends otherwise again is a difference.
    """
    plain, tracked = _cpython_outcomes(modules, directory / "first")
    differences = differences_between(plain, tracked)
    suspects = [module for module in modules if any(name.startswith(f"test.test_{module}") for name in differences)]
    if suspects:
        again = differences_between(*_cpython_outcomes(suspects, directory / "again"))
        differences = {name: ends for name, ends in differences.items() if again.get(name) == ends}
    return differences, len(plain)


def _cpython_outcomes(modules: list[str], directory: Path) -> list[Outcomes]:
    """How the tests of `modules` end without the profiler and with it."""
    names = [f"test.test_{module}" for module in modules]
    found: list[Outcomes] = []
    for number, profiler in enumerate(((), RUN)):
        place = directory / f"work{number}"
        place.mkdir(parents=True)
        written = directory / f"outcomes{number}.json"
        _run([sys.executable, *profiler, str(CPYTHON_TESTS), str(written), *names], place)
        found.append(json.loads(written.read_text()))
    return found


def compare_package(package: str, directory: Path) -> tuple[dict[str, tuple[str, str]], int]:
    """Differences, and the number of tests."""
    needs, tests = PACKAGES[package]
    site = directory / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    _check([*pip, "download", "--no-deps", "--no-binary", package, package, "--dest", str(directory)], directory)
    archive = next(directory.glob("*.tar.gz"))
    with tarfile.open(archive) as file:
        file.extractall(directory, filter="data")
    source = directory / archive.name.removesuffix(".tar.gz")
    _check([*pip, "install", "--target", str(site), str(archive), "pytest", *needs], directory)
    found: list[Outcomes] = []
    for number, profiler in enumerate(((), RUN)):
        written = directory / f"outcomes{number}.xml"
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", f"--junitxml={written}", "-o", "addopts="]
        if "hypothesis" in needs:
            options.append("--hypothesis-seed=1")
        _run([sys.executable, *profiler, "-m", "pytest", *options, tests], source, PYTHONPATH=str(site))
        found.append(_junit(written))
    return differences_between(*found), len(found[0])


def _junit(path: Path) -> Outcomes:
    outcomes: Outcomes = {}
    for case in ElementTree.parse(path).iter("testcase"):
        ends = [part.tag for part in case if part.tag in ("failure", "error", "skipped")]
        name = f"{case.get('classname')}::{case.get('name')}"
        outcomes[name] = outcomes.get(name, "") + (" ".join(ends) or "passed")
    return outcomes


def _run(command: list[str], directory: Path, **variables: str) -> None:
    """The outcomes are read from a file; only a death by signal is an error here."""
    path = os.pathsep.join(filter(None, [variables.pop("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, **ENVIRONMENT, **variables, **({"PYTHONPATH": path} if path else {})}
    outcome = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if outcome.returncode < 0:
        raise RuntimeError(f"signal {-outcome.returncode} ended {' '.join(command)}\n{outcome.stderr[-8000:]}")


def _check(command: list[str], directory: Path) -> None:
    outcome = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if outcome.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{outcome.stdout}{outcome.stderr}")


def check(packages: list[str] | None = None) -> int:
    """Prints a line for each program; returns the number of those that ended otherwise."""
    failed = 0
    for name in ["CPython's own tests", *(packages or PACKAGES)]:
        with tempfile.TemporaryDirectory(prefix="flyweight-soak-") as directory:
            if name in PACKAGES:
                differences, count = compare_package(name, Path(directory))
            else:
                differences, count = compare_cpython_tests(LONG_MODULES.split(), Path(directory))
        print(f"{name}: {count} tests, {len(differences)} end otherwise than without the profiler", flush=True)
        for test, (plain, tracked) in sorted(differences.items()):
            print(f"    {test}: {plain} without, {tracked} with")
        failed += bool(differences)
    return failed


if __name__ == "__main__":
    sys.exit(1 if check(sys.argv[1:]) else 0)

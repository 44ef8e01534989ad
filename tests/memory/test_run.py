"""Programs under `flyweight run` behave as under python, and end with a report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from command_process import COMMAND, environment

from flyweight import cli

PRINT_SELF = """
import sys
print(sys.argv, __name__, sys.path[0], __file__, __package__, __spec__ and __spec__.name, sep="|")
print(sys.modules["__main__"].__dict__ is globals(), sorted(name for name in globals() if name != "sys"))
"""


def run(
    *arguments: object, cwd: Path, python: bool = False, text: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A program under `flyweight run`, or under python alone."""
    command = [sys.executable] if python else [*COMMAND, "run"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=cwd,
        env={**environment(cwd), **variables},
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        timeout=300,
    )


def script(directory: Path, content: str, name: str = "program.py") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def check_as_python(cwd: Path, *arguments: object, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Output, errors and exit status must be those of python itself; returns what python did."""
    expected = run(*arguments, cwd=cwd, python=True, text=text)
    found = run("--quiet", *arguments, cwd=cwd, text=text)
    assert (found.returncode, found.stdout) == (expected.returncode, expected.stdout), found.stderr
    assert found.stderr == expected.stderr
    return expected


def test_a_script_finds_itself_as_under_python(tmp_path: Path) -> None:
    script(tmp_path, PRINT_SELF, "inner/program.py")
    expected = check_as_python(tmp_path, "inner/program.py", "-x", "--quiet", "a b", "--", "")
    assert "|__main__|" in expected.stdout


def test_a_script_behind_a_link_imports_from_its_true_directory(tmp_path: Path) -> None:
    script(tmp_path, "NAME = 'beside'", "inner/beside.py")
    script(tmp_path, "import beside; print(beside.NAME, __file__)", "inner/program.py")
    (tmp_path / "link.py").symlink_to("inner/program.py")
    assert check_as_python(tmp_path, "link.py").stdout == f"beside {tmp_path}/link.py\n"


def test_a_module_and_a_package_find_themselves_as_under_python(tmp_path: Path) -> None:
    script(tmp_path, PRINT_SELF, "pack/part.py")
    script(tmp_path, "print('package first')", "pack/__init__.py")
    script(tmp_path, "from . import part\n" + PRINT_SELF, "pack/__main__.py")
    assert "package first" in check_as_python(tmp_path, "-m", "pack.part", "-x").stdout
    assert "pack.__main__" in check_as_python(tmp_path, "-m", "pack", "1").stdout


def test_code_finds_itself_as_under_python(tmp_path: Path) -> None:
    shown = check_as_python(tmp_path, "-c", PRINT_SELF.replace("__file__", "'-'"), "-c", "x").stdout
    assert shown.startswith("['-c', '-c', 'x']|__main__||")


def test_a_directory_and_an_archive_run_as_under_python(tmp_path: Path) -> None:
    script(tmp_path, "import beside\n" + PRINT_SELF, "folder/__main__.py")
    script(tmp_path, "print('beside')", "folder/beside.py")
    with zipfile.ZipFile(tmp_path / "program.pyz", "w") as archive:
        for name in ("__main__.py", "beside.py"):
            archive.write(tmp_path / "folder" / name, name)
    assert "beside" in check_as_python(tmp_path, "folder", "1").stdout
    assert "beside" in check_as_python(tmp_path, "program.pyz", "1").stdout


def test_a_compiled_script_runs(tmp_path: Path) -> None:
    import py_compile

    py_compile.compile(str(script(tmp_path, PRINT_SELF)), cfile=str(tmp_path / "compiled.pyc"))
    assert "compiled.pyc" in check_as_python(tmp_path, "compiled.pyc").stdout


def test_standard_input_is_the_programs(tmp_path: Path) -> None:
    script(tmp_path, "print(input()[::-1])")
    assert check_as_python(tmp_path, "program.py", text="hello\n").stdout == "olleh\n"


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("sys.exit('why')", 1),
        ("sys.exit(None)", 0),
        ("raise SystemExit((1, 2))", 1),
        ("os._exit(9)", 9),
        ("os.kill(os.getpid(), 15)", -signal.SIGTERM),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("os.abort()", -signal.SIGABRT),
    ],
)
def test_a_program_leaves_with_its_own_status(tmp_path: Path, ending: str, status: int) -> None:
    script(tmp_path, f"import atexit, os, sys\natexit.register(print, 'bye')\nprint('hello', flush=True)\n{ending}\n")
    assert check_as_python(tmp_path, "program.py").returncode == status


@pytest.mark.parametrize(
    "content",
    [
        "def deep():\n    raise ValueError('no')\ndef f():\n    deep()\nf()\n",
        "import nowhere_to_be_found\n",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('x') from error\n",
        "def broken(:\n",
        "  x = 1\n",
        "raise ExceptionGroup('several', [ValueError(1), OSError(2)])\n",
        "import sys\nsys.excepthook = lambda *a: print('hooked', a[0].__name__, a[2].tb_frame.f_code.co_name)\n1 / 0\n",
        "import sys\nsys.tracebacklimit = 1\ndef f(): 1 / 0\nf()\n",
        "class Odd(Exception):\n    def __str__(self): raise RuntimeError\nraise Odd\n",
    ],
    ids=["error", "import", "cause", "syntax", "indent", "group", "hook", "limit", "unprintable"],
)
def test_an_error_shows_the_programs_frames_only(tmp_path: Path, content: str) -> None:
    script(tmp_path, content)
    expected = check_as_python(tmp_path, "program.py")
    assert expected.returncode == 1
    assert "flyweight" not in expected.stderr


def test_an_error_in_a_module_shows_no_frame_of_ours(tmp_path: Path) -> None:
    script(tmp_path, "def f():\n    1 / 0\nf()\n", "broken.py")
    found = run("--quiet", "-m", "broken", cwd=tmp_path)
    assert found.returncode == 1
    assert found.stderr.count("  File ") == 2  # the module and its function
    assert found.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_module_that_is_not_there_is_said_as_by_python(tmp_path: Path) -> None:
    assert "No module named" in check_as_python(tmp_path, "-m", "nowhere_to_be_found").stderr
    assert "No module named" in check_as_python(tmp_path, "-m", "nowhere.at.all").stderr


def test_the_report_comes_last_on_standard_error(tmp_path: Path) -> None:
    script(
        tmp_path,
        "import atexit, sys\natexit.register(lambda: print('programs own', file=sys.stderr))\n"
        "kept = [None] * 5000\nfor number in range(5000):\n    kept[number] = bytes(1000)\nprint('output')\n",
    )
    found = run("program.py", cwd=tmp_path)
    assert (found.returncode, found.stdout) == (0, "output\n")
    before, _, after = found.stderr.partition("Memory over ")
    assert before.strip() == "programs own"
    assert "Sites by bytes live now" in after and "profiler's own memory" in after
    row = next(line for line in after.splitlines() if "program.py:5" in line)
    assert "5,000" in row and "5.2 MB" in row


def test_what_is_alive_at_exit_is_in_the_written_report(tmp_path: Path) -> None:
    script(
        tmp_path,
        "import os\nkept = [None] * 5000\nfor number in range(5000):\n    kept[number] = bytes(1000)\nos.chdir('/')\n",
    )
    assert run("--quiet", "--output", "report.json", "program.py", "x", cwd=tmp_path).stderr == ""
    content = json.loads((tmp_path / "report.json").read_text())
    largest = content["sites"][0]
    assert (largest["line"], largest["live_bytes"]) == (4, 5000 * 1033)
    assert largest["file"] == str(tmp_path / "program.py")
    assert content["report"]["python"]["current_bytes"] >= 5000 * 1033
    assert content["leaks"] == []
    assert content["program"]["arguments"] == ["program.py", "x"]


def test_options_reach_the_recording(tmp_path: Path) -> None:
    code = (
        "from flyweight import memory; r = memory.report();"
        "print(r.mode, r.tracks_native, r.stacks, r.sample_interval_bytes, r.memory_limit)"
    )
    plain = run("--quiet", "-c", code, cwd=tmp_path)
    assert plain.stdout.split() == ["exact", "True", "sampled", "524288", "None"], plain.stderr
    options = ["--mode", "sampled", "--no-native", "--sample-interval", "64K", "--memory-limit", "500MB"]
    assert run("--quiet", *options, "-c", code, cwd=tmp_path).stdout.split() == [
        "sampled", "False", "sampled", "65536", str(500 * 1024 * 1024),
    ]  # fmt: skip
    full = run("--quiet", "--stacks", "full", "--output", "report.json", "-c", code, cwd=tmp_path)
    assert full.stdout.split()[2] == "full"
    content = json.loads((tmp_path / "report.json").read_text())
    outermost = [content["frames"][stack["frames"][0]] for stack in content["stacks"] if stack["frames"]]
    assert ["<string>", 1, "<module>"] in outermost


def test_a_program_that_goes_above_the_limit_gets_a_memory_error_and_the_site_is_named(tmp_path: Path) -> None:
    script(tmp_path, "kept = []\ndef grow():\n    while True:\n        kept.append(bytes(1_000_000))\ngrow()\n")
    found = run("--memory-limit", "50M", "program.py", cwd=tmp_path)
    assert found.returncode == 1
    assert "MemoryError" in found.stderr
    limit = next(line for line in found.stderr.splitlines() if line.startswith("The memory limit of"))
    assert "52.4 MB" in limit and "program.py:4 grow" in limit


def test_a_program_may_live_with_the_limit(tmp_path: Path) -> None:
    script(
        tmp_path,
        "kept = []\ntry:\n    while True: kept.append(bytes(1_000_000))\nexcept MemoryError:\n    print(len(kept))\n"
        "    kept.clear()\nkept.append(bytes(10_000_000))\nprint('went on')\n",
    )
    found = run("--memory-limit", "50M", "program.py", cwd=tmp_path)
    count, rest = found.stdout.split("\n", 1)
    assert 45 <= int(count) <= 52
    assert (found.returncode, rest) == (0, "went on\n")
    assert "The memory limit of 52.4 MB refused" in found.stderr


def test_forked_children_print_no_report(tmp_path: Path) -> None:
    script(
        tmp_path,
        "import os, sys\npid = os.fork()\nif pid == 0:\n    kept = bytes(1000)\n    sys.exit(0)\n"
        "print(os.waitpid(pid, 0)[1])\n",
    )
    found = run("program.py", cwd=tmp_path)
    assert found.stdout == "0\n"
    assert found.stderr.count("Memory over ") == 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("as_module", [False, True])
def test_multiprocessing_works(tmp_path: Path, method: str, as_module: bool) -> None:
    script(
        tmp_path,
        "import multiprocessing as mp, sys\n"
        "class Point:\n    def __init__(self, x): self.x = x\n"
        "def double(point): return Point(point.x * 2)\n"
        "if __name__ == '__main__':\n"
        f"    with mp.get_context({method!r}).Pool(2) as pool:\n"
        "        print([point.x for point in pool.map(double, map(Point, range(4)))])\n",
    )
    program = ["-m", "program"] if as_module else ["program.py"]
    found = run("--quiet", *program, cwd=tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (0, "[0, 2, 4, 6]\n", "")


def test_nothing_of_the_command_line_is_in_the_measured_process(tmp_path: Path) -> None:
    heavy = {
        "click",
        "rich",
        "typing",
        "dataclasses",
        "re",
        "threading",
        "enum",
        "contextlib",
        "json",
        "runpy",
        "flyweight.cli",
    }
    shown = run("--quiet", "-c", "import sys; print(*sys.modules)", cwd=tmp_path).stdout.split()
    bare = run("-c", "import sys; print(*sys.modules)", cwd=tmp_path, python=True).stdout.split()
    assert set(shown) & heavy <= set(bare)


def test_a_package_of_our_name_in_the_working_directory_is_the_programs(tmp_path: Path) -> None:
    script(tmp_path, "raise SystemExit('wrong one')", "flyweight/__init__.py")
    found = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "flyweight"), "run", "--quiet", "-c", "print('ran')"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.stdout == "ran\n", found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["nowhere.py"], "there is no nowhere.py"),
        (["-m", "-c", "x"], "not both"),
        (["--mode", "fast", "x.py"], "exact"),
        (["--memory-limit", "0", "x.py"], "--memory-limit"),
        (["--memory-limit", "much", "x.py"], "is not a size"),
        (["--sample-interval", "1", "x.py"], "--sample-interval"),
        (["--mode", "sampled", "--stacks", "full", "x.py"], "full"),
        (["--output", "nowhere/report.json", "x.py"], "no directory"),
        (["--output", "report.pdf", "x.py"], ".speedscope.json"),
        (["--soft-only", "x.py"], "--memory-limit"),
        (["--top", "0", "x.py"], "--top"),
    ],
)
def test_a_wrong_option_is_a_usage_error(tmp_path: Path, arguments: list[str], said: str) -> None:
    script(tmp_path, "print('ran')", "x.py")
    found = run(*arguments, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert said in found.stderr


def test_an_interpreter_that_cannot_be_tracked_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyweight.cli.run.refusal", lambda: "this is a free-threaded build")
    outcome = CliRunner().invoke(cli._verbs, ["run", "-c", "print('ran')"])
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr == "flyweight: this is a free-threaded build\n"


def test_a_report_that_cannot_be_written_leaves_the_status_alone(tmp_path: Path) -> None:
    script(tmp_path, "import os\nos.rmdir('gone')\nraise SystemExit(5)")
    (tmp_path / "gone").mkdir()
    found = run("--quiet", "--output", "gone/report.json", "program.py", cwd=tmp_path)
    assert found.returncode == 5
    assert "cannot be written" in found.stderr and found.stderr.count("\n") == 1

"""A page of the documentation as a reader follows it: its commands run in order in one shell, its files are written.

    ```console      `$ ` begins a command, `\\` at the end of a line goes on; what follows is what it prints
    ```python       a program; a block without a language after it is what that prints
    <!-- file: ~/.aws/config -->    the next block is a file of this name
    <!-- words -->  before a block: something happens to the world first, see `Reader.happenings`

In what is printed, `...` on a line of its own stands for any lines, at the end of a line for the rest of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REMARK = re.compile(r"<!-- (.+?) -->\n\Z")
_END = "@@ the command has ended: "
_PATIENCE_S = 300.0
# A run that takes its time says how far it is.
_PROGRESS = re.compile(r"^(scanning|indexing|moving|merging|optimising): .*\n", re.MULTILINE)
# What is not the same on every machine, or for every model that counts tokens.
_VARYING = (
    (re.compile(r"\d+\.\d\d s\b"), "0.00 s"),
    (re.compile(r"\b[\d,.]+ (bytes|kB|MB|GB)\b"), "0 MB"),
    (re.compile(r"\b[\d,]+ tokens?\b"), "0 tokens"),
    (re.compile(r"\b[1-9]\d* requests?\b"), "1 request"),  # the texts of one request depend on who was faster
    (re.compile(r"\$[\d.]+$", re.MULTILINE), "$0"),
    (re.compile(r"\t\d\.\d{3}$", re.MULTILINE), "\t0.000"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "2026-01-01 00:00:00"),
    (re.compile(r"\b(version|generation) \d+"), r"\1 0"),
    (re.compile(r"\b\d+ segments?\b"), "0 segments"),
)


@dataclass
class Step:
    """Something a reader does. kind: "console", "python" or "file", whose name is `title`; what is typed, run or
    written; what is printed then; what happens before it."""

    kind: str
    title: str
    text: str
    printed: str = ""
    happening: str = ""


def steps_of(page: str) -> list[Step]:
    """The steps of a page in docs/, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    steps: list[Step] = []
    end_of_program = -1
    for block in _BLOCK.finditer(text):
        language, content = block.groups()
        found = _REMARK.search(text, 0, block.start())
        remark = found[1] if found else ""
        if remark.startswith("file: "):
            steps.append(Step("file", remark.removeprefix("file: "), content))
        elif language == "console":
            commands = _commands(content)
            commands[0].happening = remark
            steps += commands
        elif language == "python":
            steps.append(Step("python", content.splitlines()[0], content, happening=remark))
            end_of_program = block.end()
        elif language == "" and text[end_of_program : block.start()] == "\n\n":
            steps[-1].printed = content
    return steps


def _commands(block: str) -> list[Step]:
    commands: list[Step] = []
    goes_on = False
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            commands.append(Step("console", line[2:].strip(), line[2:]))
        elif goes_on:
            commands[-1].text += line
        else:
            commands[-1].printed += line
        goes_on = line.endswith("\\\n") and (goes_on or line.startswith("$ "))
    return commands


class Reader:
    """Does all that a page says, in a shell whose home is `home`.

    happenings: what the shell does unseen, by the words of its remark. programs: shell scripts for commands that are
    not there in a test. names: how the page calls what has another name in a test.
    """

    def __init__(
        self,
        home: Path,
        variables: Mapping[str, str],
        happenings: Mapping[str, str],
        programs: Mapping[str, str],
        names: Mapping[str, str],
    ) -> None:
        self._home = home
        self._happenings = happenings
        self._names = {"/home/ada": str(home), **names}
        tools = home.parent / "bin"
        tools.mkdir()
        for name, script in {
            "flyweight": f'exec {sys.executable} -P -m flyweight "$@"\n',
            "python": f'exec {sys.executable} -P -W ignore "$@"\n',
            **programs,
        }.items():
            (tools / name).write_text(f"#!/bin/sh\n{script}")
            (tools / name).chmod(0o755)
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "COVERAGE_PROCESS_START") if name in os.environ}
        self._environment = {
            **kept,
            "HOME": str(home),
            "PATH": f"{tools}:{os.environ['PATH']}",
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C.UTF-8",
            **variables,
        }

    def follow(self, steps: list[Step]) -> list[str]:
        """What each step prints, and its exit status where that is not 0 on a line of its own."""
        shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=self._home,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        timer = threading.Timer(_PATIENCE_S, shell.kill)
        timer.start()
        try:
            return [self._do(step, shell) for step in steps]
        finally:
            timer.cancel()
            timer.join()
            assert shell.stdin is not None and shell.stdout is not None
            shell.stdin.close()
            shell.wait()
            shell.stdout.close()

    def _do(self, step: Step, shell: subprocess.Popen[str]) -> str:
        if step.kind == "file":
            path = self._home / step.title.removeprefix("~/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._here(step.text))
            return ""
        text = self._here(step.text)
        if step.kind == "python":
            program = self._home.parent / "program.py"
            program.write_text(text)
            text = f"python {program}\n"
        if step.happening:
            text = f"{self._happenings[step.happening]}\n{text}"
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write(f'{{ {text}}} </dev/null\necho "{_END}$?"\n')
        shell.stdin.flush()
        printed = ""
        for line in shell.stdout:
            if _END in line:
                before, _, status = line.partition(_END)
                printed += before
                return printed if status.strip() == "0" else f"{printed}exit status {status}"
            printed += line
        return f"{printed}the shell has ended: a command took longer than {_PATIENCE_S:g} s in all\n"

    def _here(self, text: str) -> str:
        for name, here in self._names.items():
            text = text.replace(name, here)
        return text

    def as_in_page(self, printed: str) -> str:
        """What was printed, with the names that the page uses."""
        for name, here in self._names.items():
            printed = printed.replace(here, name)
        return printed


def is_as_expected(printed: str, expected: str) -> bool:
    """Whether it is what the page says, but for what varies."""
    pattern = ""
    for line in _settled(expected).splitlines():
        if line == "...":
            pattern += r"(?:.*\n)*?"
        elif line.endswith("..."):
            pattern += re.escape(line[:-3]) + ".*\n"
        else:
            pattern += re.escape(line) + "\n"
    if expected.startswith("flyweight: "):
        pattern += "exit status 2\n"
    return re.fullmatch(pattern, _settled(_PROGRESS.sub("", printed))) is not None


def _settled(text: str) -> str:
    for varying, name in _VARYING:
        text = varying.sub(name, text)
    return text

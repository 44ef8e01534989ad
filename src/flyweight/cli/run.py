"""`flyweight run`: run a program under the memory profiler."""

from __future__ import annotations

import os
import subprocess
import sys

import click

from flyweight.cli.quantity import size_bytes
from flyweight.errors import TrackingError
from flyweight.memory.capture_file import CAPTURE_SUFFIX, RENDERED_SUFFIXES
from flyweight.memory.hard_limit import hard_limit_bytes
from flyweight.memory.interpreter import refusal
from flyweight.memory.run_settings import CODE, MODULE, SCRIPT, RunSettings
from flyweight.memory.session import (
    DEFAULT_SAMPLE_INTERVAL_BYTES,
    MAX_SAMPLE_INTERVAL_BYTES,
    MIN_SAMPLE_INTERVAL_BYTES,
    MODES,
    STACKS,
)


@click.command(
    "run",
    short_help="Run a program and account for its memory.",
    context_settings={"allow_interspersed_args": False},
)
@click.option("-m", "as_module", is_flag=True, help="PROGRAM is a module, as for python -m.")
@click.option("-c", "as_code", is_flag=True, help="PROGRAM is code, as for python -c.")
@click.option(
    "--mode", type=click.Choice(MODES), default=MODES[0], show_default=True, help="Record every block, or samples."
)
@click.option("--no-native", is_flag=True, help="Only what Python's allocators give out.")
@click.option(
    "--stacks",
    type=click.Choice(STACKS),
    default=STACKS[0],
    show_default=True,
    help="Keep whole stacks of sampled bytes, or of every block.",
)
@click.option("--native-stacks", is_flag=True, help="Keep native stacks of sampled bytes too.")
@click.option(
    "--sample-interval",
    metavar="SIZE",
    type=size_bytes,
    default=str(DEFAULT_SAMPLE_INTERVAL_BYTES),
    help="Mean bytes between two samples.  [default: 512K]",
)
@click.option(
    "--memory-limit",
    metavar="SIZE",
    type=size_bytes,
    help="Python allocations beyond it fail with MemoryError; the system bounds what libraries take.",
)
@click.option("--soft-only", is_flag=True, help="With --memory-limit: set no bound with the system.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write all that is known to a file, as its name ends: .json for 'flyweight report', .html, .md, .txt, or an "
    "export: .pb.gz, .speedscope.json, .collapsed, .prom.",
)
@click.option(
    "--top", "top_n", metavar="N", type=click.IntRange(1, 1000), default=10, show_default=True, help="Sites shown."
)
@click.option("--quiet", is_flag=True, help="Print no report.")
@click.argument("program", nargs=-1, type=click.UNPROCESSED, required=True, metavar="PROGRAM [ARGUMENTS]...")
def command(
    program: tuple[str, ...],
    as_module: bool,
    as_code: bool,
    mode: str,
    no_native: bool,
    stacks: str,
    native_stacks: bool,
    sample_interval: int,
    memory_limit: int | None,
    soft_only: bool,
    output: str | None,
    top_n: int,
    quiet: bool,
) -> None:
    """Run a Python program and say at its end what it allocated, where, and what it still holds.

    The program runs as under python: same arguments, same output, same exit status. The report goes to standard error.

    \b
    Examples:
      flyweight run script.py --its-own-option
      flyweight run --memory-limit 500MB --output report.json script.py
      flyweight run -m pytest tests
      flyweight run --mode sampled -c 'import numpy'
    """
    if as_module and as_code:
        raise click.UsageError("a program is a module (-m) or code (-c), not both")
    if memory_limit is not None and memory_limit < 1:
        raise click.UsageError("--memory-limit must be above 0")
    if soft_only and memory_limit is None:
        raise click.UsageError("--soft-only goes with --memory-limit")
    if not MIN_SAMPLE_INTERVAL_BYTES <= sample_interval <= MAX_SAMPLE_INTERVAL_BYTES:
        raise click.UsageError("--sample-interval must be from 1K to 1G")
    if stacks == "full" and mode == "sampled":
        raise click.UsageError("--stacks full needs every block: leave out --mode sampled")
    kind = MODULE if as_module else CODE if as_code else SCRIPT
    if kind == SCRIPT and not os.path.exists(program[0]):
        raise click.UsageError(f"there is no {program[0]}; to run a module say -m, to run code say -c")
    if output is not None and not output.endswith((CAPTURE_SUFFIX, *RENDERED_SUFFIXES)):
        raise click.UsageError(
            f"--output {output} does not say what to write: its name must end in {CAPTURE_SUFFIX} for the capture, "
            f"or in {', '.join(RENDERED_SUFFIXES[:-1])} or {RENDERED_SUFFIXES[-1]}"
        )
    if output is not None and not os.path.isdir(os.path.dirname(os.path.abspath(output))):
        raise click.UsageError(f"there is no directory for --output {output}")
    reason = refusal()
    if reason is not None:
        raise TrackingError(reason)
    settings = RunSettings(
        kind=kind,
        mode=mode,
        native=not no_native,
        stacks=stacks,
        native_stacks=native_stacks,
        sample_interval=sample_interval,
        memory_limit=memory_limit or 0,
        output=output or "",
        top_n=top_n,
        quiet=quiet,
        hard_limit=0 if memory_limit is None or soft_only else hard_limit_bytes(memory_limit),
    )
    interpreter = [sys.executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]
    arguments = list(program)
    if settings.hard_limit:
        command = settings.supervised_command(interpreter, arguments)
    else:
        command = settings.command(arguments)
    os.execv(sys.executable, [*interpreter, *command])

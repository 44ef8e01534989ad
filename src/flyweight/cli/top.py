"""`flyweight top`: watch the memory of recorded processes."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec

import click

from flyweight.errors import FlyweightError, TrackingError
from flyweight.observe.top.plain import picture, plain_text
from flyweight.observe.top.process_files import process_state
from flyweight.observe.top.processes import Processes
from flyweight.observe.top.program import Program, understood
from flyweight.observe.top.site_table import ORDERS
from flyweight.observe.top.summary import NOBODY_RECORDED

_NOTHING = 1  # as a search that finds nothing
_DEFAULT_INTERVAL_S = 1.0
_LEAST_INTERVAL_S, _MOST_INTERVAL_S = 0.25, 3600.0


@click.command(
    "top",
    short_help="Watch the memory of running programs.",
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--interval",
    "interval_s",
    metavar="SECONDS",
    type=click.FloatRange(_LEAST_INTERVAL_S, _MOST_INTERVAL_S),
    default=_DEFAULT_INTERVAL_S,
    show_default=True,
    help="How often to look.",
)
@click.option(
    "--sort", "order", type=click.Choice(ORDERS), default=ORDERS[0], show_default=True, help="Order of sites."
)
@click.option("--once", is_flag=True, help="Print one picture as plain text, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: one line of JSON for each process.")
@click.option("--no-native", is_flag=True, help="Of a program started here, only what Python's allocators give out.")
@click.argument("what", nargs=-1, type=click.UNPROCESSED, metavar="[PID... | -- PROGRAM [ARGUMENTS]...]")
def command(interval_s: float, order: str, once: bool, as_json: bool, no_native: bool, what: tuple[str, ...]) -> None:
    """Watch the memory of recorded processes, from outside: totals over time, what holds them, the sites that matter
    most, leak candidates, and whether use has settled.

    A process is recorded that runs under 'flyweight run' or has called flyweight.memory.start(). Without arguments all
    of yours are watched, and new ones appear by themselves. A program named after -- is started, recorded and watched;
    what it prints is shown at the end, or with the key o. Looking costs the watched process nothing.

    \b
    Examples:
      flyweight top                    all recorded processes
      flyweight top 4321 4322          these
      flyweight top -- python app.py   start a program and watch it
      flyweight top --once --json      for scripts

    \b
    Keys: ? tells them all. q quits, space pauses, + and - change the interval,
    l p t c g sort by live, peak, total, count, growth, / filters, [ and ] go to
    the next process, Enter shows all of a site.
    """
    if as_json and not once:
        raise click.UsageError("--json goes with --once")
    pids = _pids(what)
    starts = bool(what) and not pids
    if no_native and not starts:
        raise click.UsageError("--no-native is for a program that is started here: write it after --")
    if once and starts:
        raise click.UsageError("--once shows what runs already; 'flyweight run' shows a program at its end")
    for pid in pids:
        if process_state(pid) is None:
            raise TrackingError(f"there is no process {pid}; 'flyweight top' alone shows all that are recorded")
    if once:
        sys.exit(_print_once(Processes(pids), order, as_json))
    _check_dashboard()
    from flyweight.observe.top.app import Dashboard

    if not starts:
        Dashboard(Processes(pids), interval_s, order).run()
        return
    with Program(understood(what), native=not no_native) as program:
        Dashboard(Processes(program=program), interval_s, order).run()
        if not program.left:
            program.end()
        program.copy_output(sys.stdout.fileno())
    sys.exit(program.own_status())


def _pids(words: tuple[str, ...]) -> list[int]:
    """Process numbers, when there is nothing else."""
    return [int(word) for word in words] if all(word.isascii() and word.isdigit() for word in words) else []


def _print_once(processes: Processes, order: str, as_json: bool) -> int:
    processes.take(processes.look())
    shown = [watched for watched in processes.all if watched.page is not None]
    for watched in processes.all:
        if watched.page is None:
            click.echo(f"flyweight: {watched.fault or f'there is no process {watched.pid}'}", err=True)
    if not processes.all:
        click.echo(NOBODY_RECORDED, err=True)
    if as_json:
        import json

        for watched in shown:
            click.echo(json.dumps(picture(watched)))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        click.echo("\n\n".join(plain_text(watched, order, width) for watched in shown), nl=bool(shown))
    return 0 if shown else _NOTHING


def _check_dashboard() -> None:
    if find_spec("textual") is None:
        raise FlyweightError(
            "the dashboard needs textual, which is not installed: pip install 'flyweight[top]', or ask for one picture "
            "with --once"
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise FlyweightError("the dashboard needs a terminal: ask for one picture with --once")

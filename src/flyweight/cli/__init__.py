"""The `flyweight` command. Each verb is a module of this package, imported when it is called for."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module

import click

from flyweight import __version__
from flyweight.errors import FlyweightError, IndexCorruptError

_VERBS = ("index", "search", "status", "doctor", "migrate", "run", "report", "top", "bench")

FAILURE = 2  # as for a wrong option: nothing was done
DEFECT = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # what a shell reports for SIGINT
READER_GONE = 141  # ... and for SIGPIPE


def main() -> None:
    """Entry point of the `flyweight` command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: whoever started it wants to hear nothing
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    _verbs(prog_name="flyweight")


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        command: click.Command = import_module(f"flyweight.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _VERBS and not ctx.resilient_parsing:
            from difflib import get_close_matches

            meant = get_close_matches(name, _VERBS, 1)
            ctx.fail(f"there is no verb {name!r}" + (f": did you mean {meant[0]}?" if meant else ""))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            outcome: object = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()  # while a refusal can still be answered
            return outcome
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except FlyweightError as error:
            raise _Failure(_with_way_out(error)) from None
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _discard_output()
            ctx.exit(READER_GONE)
        except Exception as error:
            if os.environ.get("FLYWEIGHT_DEBUG"):
                raise
            if isinstance(error, OSError):
                _discard_output()
                raise _Failure(_with_what_failed(error)) from None
            raise _Defect(error) from None


class _Failure(click.ClickException):
    exit_code = FAILURE

    def show(self, file: object = None) -> None:
        click.secho(f"flyweight: {self.message}", fg="red", err=True)


class _Defect(_Failure):
    exit_code = DEFECT

    def __init__(self, error: Exception) -> None:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        code = None if trace is None else trace.tb_frame.f_code
        place = "" if trace is None or code is None else f" ({os.path.basename(code.co_filename)}:{trace.tb_lineno})"
        super().__init__(
            f"this is a defect of Flyweight: {type(error).__name__}: {error}{place}; "
            "set FLYWEIGHT_DEBUG=1 to see its traceback"
        )


def _with_way_out(error: FlyweightError) -> str:
    message = str(error)
    if isinstance(error, IndexCorruptError) and "'flyweight " not in message:
        return f"{message}: run 'flyweight doctor'"
    return message


def _with_what_failed(error: OSError) -> str:
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return f"the output cannot be written: {error.strerror}"
    return str(error)


def _discard_output() -> None:
    """What is still in the buffer would fail again, with a traceback, when the interpreter exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


@click.command(
    cls=_Verbs,
    subcommand_metavar="VERB [ARGUMENTS]...",
    context_settings={
        "help_option_names": ["-h", "--help"],
        # https://no-color.org; otherwise click looks at the terminal.
        "color": False if os.environ.get("NO_COLOR") else None,
    },
    epilog="'flyweight VERB --help' tells more, with examples.",
)
@click.version_option(__version__, "--version", message="flyweight %(version)s")
def _verbs() -> None:
    """Search code by what it means; account for a program's memory.

    \b
      flyweight index                             index the directory you are in
      flyweight search where are retries handled  ask it something
      flyweight run program.py                    say what a program does with memory
      flyweight top                               watch programs that run so
      flyweight report capture.json               show what was saved, or export it
    """

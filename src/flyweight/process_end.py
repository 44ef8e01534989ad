"""How another process has ended, in words. Read by the resident: imports nothing."""

from __future__ import annotations


def how_it_ended(exit_code: int) -> str:
    """Of an exit code as os.waitstatus_to_exitcode gives it.

    >>> how_it_ended(1), how_it_ended(-9)
    ('ended with status 1', 'was ended by signal 9')
    """
    return f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with status {exit_code}"

"""Looking at a process once: its page, its state, and now and then its private memory. Nothing is kept here."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from flyweight.errors import TrackingError
from flyweight.memory.page import Page, read_page
from flyweight.memory.page_path import page_path
from flyweight.observe.process_memory import Memory, of_process
from flyweight.observe.top.process_files import ProcessState, process_state


@dataclass(frozen=True)
class Reading:
    """What was found at one look.

    at_s, unix_s: when, by the clock that never turns back and by the calendar's.
    page: None when it publishes none, or none that can be read (`published`); then `fault` says why.
    state: None when the process is gone.
    held: None when it was not asked for; `held_took_s` is the time that asking took.
    """

    pid: int
    at_s: float
    unix_s: float
    page: Page | None
    fault: str
    published: bool
    state: ProcessState | None
    held: Memory | None
    held_took_s: float


def read(pid: int, with_held: bool) -> Reading:
    """Looks at process `pid`; `with_held` also asks for its private memory.

    For that the kernel walks all page tables of the process, in the reader's time, and holds off changes to its
    mappings meanwhile: not a thing to ask every second.
    """
    state = process_state(pid)
    page, fault = None, ""
    try:
        page = read_page(pid)
    except TrackingError as error:
        fault = str(error)
    published = page is not None or os.path.exists(page_path(pid))
    held, took_s = None, 0.0
    if with_held and state is not None:
        begin = time.monotonic()
        try:
            held = of_process(pid)
        except OSError:  # it has just ended
            pass
        took_s = time.monotonic() - begin
    return Reading(pid, time.monotonic(), time.time(), page, fault, published, state, held, took_s)

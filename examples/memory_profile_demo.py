"""A tour of the memory profiler, on a program with a heavy import, a bounded cache and a leak.

`python examples/memory_profile_demo.py [REPORT.html]` takes some ten seconds.
"""

import random
import sys
import threading
import time
from collections import OrderedDict

from flyweight import memory

SECONDS = 6.0
sessions: list[str] = []
answers: OrderedDict[int, bytes] = OrderedDict()
questions = list(range(400))
chance = random.Random(1)


def log_in(request: int) -> None:
    sessions.append(f"session of client {request}")  # the leak: nobody ever logs out


def answer(question: int) -> None:
    if question not in answers:
        answers[question] = bytes(2_000)  # the cache: blocks come, stay and go, but never more than 300
        if len(answers) > 300:
            answers.popitem(last=False)


def serve(seconds: float) -> None:
    end, request = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        log_in(request)
        answer(chance.choice(questions))
        request += 1
        time.sleep(0.002)


def main(report: str) -> None:
    memory.start()
    memory.phase("Started")
    import asyncio  # noqa: F401 - the heavy import: thirteen megabytes, and never used

    memory.phase("Heavy import")
    for question in questions:
        answer(question)
    print("== A budget that is exceeded")
    with memory.budget(600_000, component="program", on_exceed=print):
        serve(SECONDS)
    memory.phase("Served")
    threading.Thread(target=serve, args=(60.0,), daemon=True).start()  # it goes on while it is asked
    print("\n== Where memory came from\n", memory.phase_table(), sep="\n")
    print("\n== Whose RSS is, row by row\n", memory.attribution(), sep="\n")
    print("\n== Who allocates most\n", *memory.hot_paths(4), sep="\n")
    print("\n== What leaks, and who holds it")
    for leak in memory.leaks(min_age_s=1.0):
        print("", f"{leak.function}, line {leak.line}: {leak.verdict}; {leak.evidence.reason}", sep="\n")
        print(memory.holders(leak))
    print("\n== What is old and innocent\n")
    for site in memory.leaks(min_age_s=1.0, include_steady=True):
        if site.function == "answer":
            print(f"{site.function}, line {site.line}: {site.verdict}; {site.evidence.reason}")
    print("\n== Has it settled?\n", memory.is_steady_state(limit_bytes=50_000_000, window_s=SECONDS).reason, sep="\n")
    memory.save(report)
    print(f"\n== The whole report: {report}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "memory.html")

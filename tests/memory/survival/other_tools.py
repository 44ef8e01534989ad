"""Other tools that hook the same allocators, trace the same code or switch the same stacks."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile

import books

KEPT: list[object] = []


def keep(count: int) -> None:
    for number in range(count):
        KEPT.append([bytearray(number)])
    del KEPT[::2]


class Tracemalloc:
    def start(self) -> None:
        import tracemalloc

        tracemalloc.start(3)

    def stop(self) -> None:
        import tracemalloc

        assert tracemalloc.get_traced_memory()[1] > 0
        tracemalloc.stop()


class Memray:
    def start(self) -> None:
        import memray

        self.directory = tempfile.TemporaryDirectory()
        file = os.path.join(self.directory.name, "found.bin")
        self.tracker = memray.Tracker(file, native_traces=False, trace_python_allocators=True)
        self.tracker.__enter__()

    def stop(self) -> None:
        self.tracker.__exit__(None, None, None)
        self.directory.cleanup()


class Ours:
    def start(self) -> None:
        books.begin()

    def stop(self) -> None:
        books.end(None)


def in_every_order(*tools: type) -> None:
    """Each tool's start before its stop, in every order there is; KEPT lives through all of them."""
    events = [(tool, event) for tool in range(len(tools)) for event in ("start", "stop")]
    for order in itertools.permutations(events):
        if any(order.index((tool, "start")) > order.index((tool, "stop")) for tool in range(len(tools))):
            continue
        made = [tool() for tool in tools]
        for tool, event in order:
            getattr(made[tool], event)()
            keep(200)
    KEPT.clear()


def tracemalloc() -> None:
    for _ in range(5):
        in_every_order(Ours, Tracemalloc)


def memray() -> None:
    in_every_order(Ours, Memray)


def tracemalloc_all_the_time() -> None:
    """With the other tool there from before to after, nothing is lost."""
    import tracemalloc

    tracemalloc.start()
    for _ in range(5):
        books.begin()
        keep(1000)
        KEPT.clear()
        books.check_records()
        books.end(0)
    assert tracemalloc.take_snapshot().statistics("lineno")
    tracemalloc.stop()


def tracemalloc_within() -> None:
    for _ in range(5):
        books.begin()
        keep(1000)
        tracemalloc = Tracemalloc()
        tracemalloc.start()
        keep(1000)
        tracemalloc.stop()
        KEPT.clear()
        books.check_records()
        books.end(0)


def fault_handler() -> None:
    import faulthandler

    with tempfile.TemporaryFile("w+") as file:
        faulthandler.enable(file)
        books.begin()
        faulthandler.dump_traceback_later(0.05, repeat=True, file=file)
        for _ in range(30):
            keep(1000)
            KEPT.clear()
            faulthandler.dump_traceback(file)
        faulthandler.cancel_dump_traceback_later()
        books.check_records()
        books.end()
        faulthandler.disable()


def signal_handlers() -> None:
    import signal

    def handler(*_: object) -> None:
        KEPT.append(bytes(100))
        del KEPT[:-100]

    signal.signal(signal.SIGPROF, handler)
    signal.signal(signal.SIGALRM, handler)
    books.begin()
    signal.setitimer(signal.ITIMER_PROF, 0.0005, 0.0005)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    for number in range(300):
        names: dict[str, object] = {}
        exec(f"def f(): return [bytes(n) for n in range({number})]\nf()", names)
        keep(100)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    KEPT.clear()
    books.check_records()
    books.end()


def tracing() -> None:
    def trace(frame: object, event: str, argument: object) -> object:
        seen.append(bytes(10))
        del seen[:-5]
        return trace

    seen: list[bytes] = []
    books.begin()
    sys.settrace(trace)  # type: ignore[arg-type]
    sys.setprofile(trace)
    keep(2000)
    sys.settrace(None)
    sys.setprofile(None)
    keep(2000)
    KEPT.clear()
    books.check_records()
    books.end()


def monitoring() -> None:
    if sys.version_info < (3, 12):
        return
    watch = sys.monitoring
    seen: list[bytes] = []

    def line(*_: object) -> None:
        seen.append(bytes(10))
        del seen[:-5]

    books.begin()
    watch.use_tool_id(3, "survival")
    for event in (watch.events.LINE, watch.events.INSTRUCTION, watch.events.PY_START, watch.events.CALL):
        watch.register_callback(3, event, line)
    for _ in range(3):
        watch.set_events(3, watch.events.LINE | watch.events.INSTRUCTION | watch.events.PY_START | watch.events.CALL)
        keep(500)
        watch.set_events(3, 0)
        keep(500)
    watch.free_tool_id(3)
    KEPT.clear()
    books.check_records()
    books.end()


def coverage() -> None:
    import coverage as tool

    for core in ("ctrace", "sysmon", "pytrace"):
        if core == "sysmon" and sys.version_info < (3, 12):
            continue
        os.environ["COVERAGE_CORE"] = core
        books.begin()
        measuring = tool.Coverage(data_file=None)
        measuring.start()
        keep(2000)
        measuring.stop()
        assert measuring.get_data().measured_files()
        KEPT.clear()
        del measuring
        books.check_records()
        books.end()


def greenlets() -> None:
    """Frames that switch stacks in the middle of C calls."""
    import greenlet

    def hop(number: int) -> None:
        for turn in range(20):
            KEPT.append([bytes(n) for n in range(number)])
            sorted(range(5), key=lambda n: greenlet.getcurrent().parent.switch(n) or n)
            del KEPT[: turn % 3]

    books.begin()
    made = [greenlet.greenlet(hop) for _ in range(50)]
    for turn in range(60):
        for number, one in enumerate(made):
            if turn == 0:
                one.switch(number)
            elif not one.dead:
                one.switch()
    del made[::2]
    keep(100)
    made.clear()
    del one
    KEPT.clear()
    books.check_records()
    books.end()


def gevents() -> None:
    import gevent
    import gevent.pool

    books.begin()

    def job(number: int) -> int:
        with_bytes = [bytes(n) for n in range(number)]
        gevent.sleep(0.001)
        return len(with_bytes)

    for _ in range(3):
        assert gevent.pool.Pool(20).map(job, range(100)) == list(range(100))
    assert gevent.get_hub().threadpool.apply(sum, (range(10),)) == 45
    books.end()


def event_loops() -> None:
    import asyncio

    from flyweight import memory

    async def child(number: int) -> int:
        with memory.track(f"child {number % 5}"):
            made = [bytes(n) for n in range(number)]
            await asyncio.sleep(0.001)
            return len(made)

    async def main() -> None:
        assert await asyncio.gather(*map(child, range(100))) == list(range(100))
        assert await asyncio.to_thread(sum, range(10)) == 45
        process = await asyncio.create_subprocess_exec("/bin/echo", "x", stdout=-1)
        assert (await process.communicate())[0] == b"x\n"

    loops = [asyncio.new_event_loop]
    try:
        import uvloop

        loops.append(uvloop.new_event_loop)
    except ImportError:
        pass
    books.begin()
    for new_loop in loops * 2:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
    books.end()


if __name__ == "__main__":
    globals()[sys.argv[2]]()
    print("survived")

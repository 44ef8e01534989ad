"""Recording on and off. The resident may have this loaded, so it imports nothing but `os` and our own."""

from __future__ import annotations

import os

from flyweight import _memory
from flyweight.errors import ConfigError, TrackingError
from flyweight.memory.components import publish_rules
from flyweight.memory.interpreter import refusal
from flyweight.memory.packed import record
from flyweight.memory.page_path import page_prefix, remove_stale_pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

MODES = ("exact", "sampled")
STACKS = ("sampled", "full")
DEFAULT_SAMPLE_INTERVAL_BYTES = 512 * 1024
MIN_SAMPLE_INTERVAL_BYTES = 1024
MAX_SAMPLE_INTERVAL_BYTES = 1 << 30
# Records of some two gigabytes of small blocks.
DEFAULT_OWN_MEMORY_LIMIT_BYTES = 512 * 1024 * 1024
_MOST_BYTES = 1 << 62

_page_fault = ""
_published: list[str] = []  # prefixes of page paths to clear away when the interpreter ends


def start(
    mode: str = "exact",
    native: bool = True,
    *,
    stacks: str = "sampled",
    native_stacks: bool = False,
    sample_interval: int = DEFAULT_SAMPLE_INTERVAL_BYTES,
    memory_limit: int | None = None,
    own_memory_limit: int | None = DEFAULT_OWN_MEMORY_LIMIT_BYTES,
    publish: bool = True,
    seed: int | None = None,
) -> None:
    """Records every allocation of this process from now on, until `stop`.

    mode: "exact" records every block; "sampled" records one in every `sample_interval` bytes and estimates the rest.
    native: also the native heap (malloc, mmap and their kin), not only what Python asks for.
    stacks: whole Python stacks are kept of sampled bytes, or with "full" of every block. Exact mode only.
    native_stacks: keep the native stacks of sampled bytes as well.
    sample_interval: mean bytes between two samples, 1 KiB to 1 GiB.
    memory_limit: bytes; Python allocations that would take the tracked total above it fail with MemoryError.
    own_memory_limit: bytes the profiler may use itself; above it exact recording turns into sampling, and reports say
    so. None: no limit.
    publish: show the counters in a page of shared memory that other processes of the same user can read.
    seed: of the sampling; the same seed and the same allocations give the same samples.

    Blocks allocated before are freed as ever and counted as untracked.

    Raises TrackingError when recording is on already or the interpreter cannot be tracked, ConfigError.
    """
    global _page_fault
    _check_choice("mode", mode, MODES)
    _check_choice("stacks", stacks, STACKS)
    if stacks == "full" and mode == "sampled":
        raise ConfigError("full stacks need every block: use mode='exact', or stacks='sampled'")
    interval_bytes = _integer("sample_interval", sample_interval, MIN_SAMPLE_INTERVAL_BYTES, MAX_SAMPLE_INTERVAL_BYTES)
    limit_bytes = _limit("memory_limit", memory_limit)
    own_limit_bytes = _limit("own_memory_limit", own_memory_limit)
    seed = int.from_bytes(os.urandom(7), "little") if seed is None else _integer("seed", seed, 0, _MOST_BYTES)
    reason = refusal()
    if reason is not None:
        raise TrackingError(reason)
    if _memory.active():
        raise TrackingError("memory is being recorded already: call flyweight.memory.stop() before another start()")

    def begin(page: str) -> None:
        _memory.start(
            sampled=mode == "sampled",
            native=bool(native),
            full_stacks=stacks == "full",
            native_stacks=bool(native_stacks),
            sample_interval_bytes=interval_bytes,
            own_limit_bytes=own_limit_bytes,
            limit_bytes=limit_bytes,
            seed=seed,
            page=page,
        )

    _page_fault = ""
    try:
        publish_rules()
        if publish:
            remove_stale_pages()
            try:
                prefix = page_prefix()
                begin(prefix)
                _clear_away_at_exit(prefix)
                return
            except OSError as error:  # a read-only /dev/shm must not keep a program from running
                _page_fault = error.strerror or str(error)
        begin("")
    except RuntimeError as error:
        raise TrackingError(str(error)) from None


def stop() -> None:
    """Ends the recording; reports keep showing the picture at this moment. No error when nothing is recorded."""
    _memory.stop()


def is_active() -> bool:
    """Whether allocations are being recorded."""
    return _memory.active()


class tracking:
    """Records within a `with` block; the options are those of `start`.

    >>> from flyweight import memory
    >>> with memory.tracking(native=False):  # doctest: +SKIP
    ...     serve()
    >>> print(memory.report())  # doctest: +SKIP
    """

    __slots__ = ("_options",)

    def __init__(self, mode: str = "exact", native: bool = True, **options: object) -> None:
        self._options: dict[str, object] = {"mode": mode, "native": native, **options}

    def __enter__(self) -> None:
        start(**self._options)  # type: ignore[arg-type]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop()


def status() -> dict[str, int]:
    """The native module's account of the recording, by column."""
    return record(_memory.status(), _memory.STATUS_COLUMNS)


def check_recorded() -> dict[str, int]:
    """The status of the recording, whether it runs or has ended; TrackingError when there was none."""
    found = status()
    if found["session"] == 0:
        raise TrackingError(
            "nothing has been recorded: call flyweight.memory.start() first, or run the program with 'flyweight run'"
        )
    return found


def check_active() -> None:
    """Raises TrackingError unless allocations are being recorded."""
    if not _memory.active():
        raise TrackingError("memory is not being recorded: call flyweight.memory.start() first")


def _clear_away_at_exit(prefix: str) -> None:
    if not _published:
        import atexit

        atexit.register(_clear_away)
    if prefix not in _published:
        _published.append(prefix)


def _clear_away() -> None:
    """Who ends without stop() leaves no page; a forked child clears away its own."""
    for prefix in _published:
        try:
            os.unlink(f"{prefix}.{os.getpid()}")
        except OSError:
            pass


def page_fault() -> str:
    """Why the shared page could not be made; empty when it was made or not asked for."""
    return _page_fault


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} must be {' or '.join(map(repr, allowed))}, not {value!r}")


def _limit(name: str, value: int | None) -> int:
    return 0 if value is None else _integer(name, value, 1, _MOST_BYTES)


def _integer(name: str, value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return value

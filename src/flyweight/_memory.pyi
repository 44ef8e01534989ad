"""The tracking allocator: hooks, shadow map, site table, samples, histories (native/memory).

Packed answers are rows of signed 64-bit integers in native byte order: read them with ``memoryview(answer).cast("q")``.
The columns of each are named, in order, by a tuple constant of this module. Ages are as fine as a tick (0.25 s).
"""

from collections.abc import Callable

DOMAINS: tuple[str, ...]  # python, native, mapped; a domain's number is its position

def start(
    *,
    sampled: bool,
    native: bool,
    full_stacks: bool,
    native_stacks: bool,
    sample_interval_bytes: int,
    own_limit_bytes: int,  # 0: none. Own memory above it turns exact recording into sampling
    limit_bytes: int,  # 0: none. Python allocations that would take the tracked total above it fail
    seed: int,
    page: str,  # prefix of the shared page's path, to which "." and the process id are added; "" for none
) -> None: ...  # RuntimeError: recording already, or not the main interpreter. OSError: the page cannot be made
def stop() -> None: ...  # no error when not recording
def active() -> bool: ...

# degraded_at_ms: -1 never. degraded_reason: 0 none, 1 own memory, 2 site table full. session: 1, 2, ... one per start.
# limit_site: site of the first allocation that the limit refused, -1 none. elapsed_ms is precise.
STATUS_COLUMNS: tuple[str, ...]

def status() -> bytes: ...  # one row

COUNTER_COLUMNS: tuple[str, ...]

def counters() -> bytes: ...  # 4 rows: python, native, mapped, all together (its peak is the peak of the sum)

# library: the path of the library whose code called malloc or mmap; 0 in Python's domain and where nothing is known.
# file, function and library are string numbers, good for the life of the process; site numbers for one session.
# component: its number. at_peak_bytes: live bytes at the tick with the highest total of all ticks; where sites and
# stacks are more than 16,384 together, at one whose total was within a hundredth of it.
# Sampled mode: live_* and total_* are estimates, peak_bytes is the largest estimate seen.
SITE_COLUMNS: tuple[str, ...]

def sites() -> bytes: ...  # one row per site that allocated in this session
def string(number: int) -> str: ...

AGE_BINS: int
# count, bytes and the ages are of blocks at least that old and large, live_count and the AGE_BINS columns behind the
# named ones of all: live blocks by time of allocation, in equal stretches from start to now, oldest first.
AGE_COLUMNS: tuple[str, ...]

def ages(min_age_ms: int, min_size: int) -> bytes: ...  # one row per site that has a live block
def blocks(site: int, limit: int) -> bytes: ...  # rows (address, size_bytes, age_ms), oldest first

HISTORY_WINDOWS: int

# Rows: site, windows (filled), window_ms, then HISTORY_WINDOWS pairs (lowest live_count, lowest live_bytes) of each
# window, oldest first.
def histories() -> bytes: ...

SERIES_COLUMNS: tuple[str, ...]

# Oldest first: up to 512 coarse rows for long ago, then one for each of the last 512 ticks; all domains together.
# rss_bytes: of the process, at the row's end; 0 unknown.
def series() -> bytes: ...

# Estimates are rounded. full_stacks: exact, one row per stack, variances 0. peak_live_bytes: as a site's at_peak_bytes.
SAMPLE_COLUMNS: tuple[str, ...]

def samples() -> bytes: ...  # one row per distinct (stack, native stack, domain)
def stack(number: int) -> list[tuple[str, int, str, bool]]: ...  # (file, line, function, called by C), innermost first
def native_stack(number: int) -> list[int]: ...  # return addresses, innermost first
def symbol(address: int) -> tuple[str, str, int]: ...  # library path, nearest exported function ("" unknown), offset

OWN_COLUMNS: tuple[str, ...]

def own_memory() -> bytes: ...  # one row: resident bytes of the profiler's own data

# Components: rules (pattern, name) as flyweight.memory.components explains them. Number 0 is "(other)": the components
# beyond the 1,024th.
def set_component_rules(rules: list[tuple[str, str]]) -> None: ...  # ValueError: too many. RuntimeError: subinterpreter
def component(number: int) -> str: ...
def components() -> list[str]: ...  # names by number

COMPONENT_COLUMNS: tuple[str, ...]

def component_totals() -> bytes: ...  # one row per component, by number: live now, and the most at any tick

COMPONENT_SERIES_COLUMNS: tuple[str, ...]

# Rows, oldest first: up to 256 coarse ones, then one for each of the last 128 ticks. Behind the named columns one of
# live bytes for each component of the list, in its order; last_bytes is the sum of these and of all others.
def component_series() -> tuple[bytes, list[str]]: ...

# Budgets. component: its number, 0 the whole process. over: exceeded, and not under 95 % since. waiting: exceeded, and
# the main thread has not been told yet.
BUDGET_COLUMNS: tuple[str, ...]

# Its number; "": the process. It is in force from the next compare_budgets() on. ValueError: no room.
def add_budget(component: str, limit_bytes: int) -> int: ...
def remove_budget(number: int) -> None: ...
def budgets() -> bytes: ...  # one row for each that is set
def compare_budgets() -> None: ...  # now, in this thread; calls back for what is over and raises what that returns

# Called with (number, used_bytes) in the main thread when a budget has been exceeded. An exception it returns is raised
# there; one it raises is passed to sys.unraisablehook.
def set_budget_callback(callback: Callable[[int, int], object]) -> None: ...

# Phases: what one thread, in one contextvars context, allocates and frees between begin and end.
PHASE_COLUMNS: tuple[str, ...]

def phase_begin() -> int: ...  # number of the phase; it nests inside the phase open in this thread and context
def phase_end(phase: int) -> bytes: ...  # one row. LookupError: no such phase is open
def phase_read(phase: int) -> bytes: ...  # one row, while it is open
def set_limit(limit_bytes: int) -> None: ...  # while recording; 0: none
def tick() -> None: ...  # do now what the ticker would do next
def probe() -> None: ...  # check that the hooks are still reached; updates displaced_* of the status
def publish_on_crash() -> None: ...  # a fault or an abort that nobody handles publishes the page before it ends us
def return_free_memory() -> None: ...  # malloc's free pages go back to the system (glibc; elsewhere nothing happens)

# Attribution: whose the resident pages of this process are. A kind is a position in ATTRIBUTION_KINDS, a name one in
# the list of names; the name of a "given" row is the decimal number of the range's name.
ATTRIBUTION_COLUMNS: tuple[str, ...]
ATTRIBUTION_KINDS: tuple[str, ...]
ROLLUP_COLUMNS: tuple[str, ...]  # what smaps_rollup says, attempts it took to agree with it, whether it did

# `ranges`: packed (start, size, name number). OSError: a file of /proc cannot be read; its name is the error's.
def attribute(ranges: bytes) -> tuple[bytes, list[str], bytes]: ...  # rows, names, one row of the rollup

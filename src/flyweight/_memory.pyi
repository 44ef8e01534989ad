"""The tracking allocator: hooks, shadow map, site table, samples, histories (native/memory).

Packed answers are rows of signed 64-bit integers in native byte order: read them with ``memoryview(answer).cast("q")``.
The columns of each are named by a tuple constant of this module, in order.
"""

DOMAINS: tuple[str, ...]  # ("python", "native", "mapped"); a domain's number is its position

def start(
    *,
    sampled: bool,
    native: bool,
    full_stacks: bool,
    native_stacks: bool,
    sample_interval_bytes: int,
    own_limit_bytes: int,  # 0: none. Own memory above it turns exact recording into sampling
    limit_bytes: int,  # 0: none. Python allocations that would take the tracked total above it fail (MemoryError)
    seed: int,
    page: str,  # prefix of the shared page's path, to which "." and the process id are added; "" for none
) -> None: ...  # RuntimeError when already recording or the build cannot be tracked, OSError when the page cannot be made
def stop() -> None: ...  # no error when not recording
def active() -> bool: ...

# now in tick resolution (0.25 s) everywhere except elapsed_ms, which is precise
STATUS_COLUMNS: tuple[str, ...]
# recording, sampled, native, full_stacks, native_stacks, sample_interval_bytes, started_unix_ms, elapsed_ms,
# degraded_at_ms (-1: never), degraded_reason (0 none, 1 own memory, 2 site table full), untracked_frees, lost_frees,
# limit_bytes, limit_hits, displaced_python, displaced_native, patched_libraries, ticker_running, site_count,
# session (1, 2, ... one per start), file_mapping_bytes, slow_lock_taken,
# limit_site (site of the first allocation that the limit refused, -1 none)
def status() -> bytes: ...  # one row

COUNTER_COLUMNS: tuple[str, ...]
# current_bytes, peak_bytes, allocated_bytes, freed_bytes, allocation_count, deallocation_count, live_count
def counters() -> bytes: ...  # 4 rows: python, native, mapped, all together (its peak is the peak of the sum)

SITE_COLUMNS: tuple[str, ...]
# site, file, function, line, domain, live_count, live_bytes, peak_bytes, total_count, total_bytes, largest_bytes, first_seen_ms
# file and function are string numbers. Sampled mode: live_* and total_* are estimates, peak_bytes the largest estimate seen.
def sites() -> bytes: ...  # one row per site that allocated in this session
def string(number: int) -> str: ...

AGE_BINS: int  # 16
AGE_COLUMNS: tuple[str, ...]
# site, count, bytes, oldest_ms, youngest_ms, largest_bytes, live_count, then AGE_BINS columns: live blocks of the site (of any age and size)
# by time of allocation, in AGE_BINS equal stretches from start to now, oldest first
def ages(min_age_ms: int, min_size: int) -> bytes: ...  # sites that have a live block; count.. only of blocks at least that old and large
def blocks(site: int, limit: int) -> bytes: ...  # rows (address, size_bytes, age_ms), oldest first
HISTORY_WINDOWS: int  # 16
# rows: site, windows (filled), window_ms, then HISTORY_WINDOWS pairs (lowest live_count, lowest live_bytes) of each window, oldest first
def histories() -> bytes: ...
SERIES_COLUMNS: tuple[str, ...]  # elapsed_ms (end of the interval), lowest_bytes, highest_bytes, last_bytes; all domains together
def series() -> bytes: ...  # oldest first: up to 512 coarse rows for long ago, then one for each of the last 512 ticks

SAMPLE_COLUMNS: tuple[str, ...]
# stack, native_stack, domain, live_samples, live_bytes, live_count, total_samples, total_bytes, total_count, live_bytes_variance, total_bytes_variance, oldest_ms, site
def samples() -> bytes: ...  # one row per distinct (stack, native stack, domain); estimates rounded to integers. full_stacks: exact, one row per stack, variances 0
def stack(number: int) -> list[tuple[str, int, str, bool]]: ...  # (file, line, function, entry), innermost first; entry: C called this frame
def native_stack(number: int) -> list[int]: ...  # return addresses, innermost first
def symbol(address: int) -> tuple[str, str, int]: ...  # library path, nearest exported function ("" unknown), offset

OWN_COLUMNS: tuple[str, ...]  # shadow_bytes, site_bytes, stack_bytes, sample_bytes, history_bytes, other_bytes, padding_bytes
def own_memory() -> bytes: ...  # one row, resident bytes of the profiler's own data

# Phases: what one thread (and one asyncio task: one contextvars context) allocates and frees between begin and end.
PHASE_COLUMNS: tuple[str, ...]
# elapsed_ms, allocated_bytes, freed_bytes, allocation_count, deallocation_count, net_bytes, peak_net_bytes
def phase_begin() -> int: ...  # number of the phase; it nests inside the phase open in this thread and context
def phase_end(phase: int) -> bytes: ...  # one row
def phase_read(phase: int) -> bytes: ...  # one row, while it is open

def set_limit(limit_bytes: int) -> None: ...  # while recording; 0: none
def tick() -> None: ...  # do now what the ticker would do next (tests; also used where no ticker runs)
def probe() -> None: ...  # check that the hooks are still reached; updates displaced_*

"""Sampled mode through the module itself, over many seeds: how often the interval it states holds the truth.

python tests/soak/sampled_estimates.py --seeds 1000
"""

from __future__ import annotations

import argparse
import gc
import math
import subprocess
import sys

INTERVAL = 4096
BLOCKS = 4000
SIZES = [2 + index * 7919 % 900 for index in range(BLOCKS)]


def allocate(slots: list[bytes | None], pairs: list[tuple[int, int]]) -> None:
    one = b"x"
    for slot, size in pairs:
        slots[slot] = one * size


def measure(seeds: int, first: int = 1) -> tuple[float, float, float, float]:
    """Shares of seeds whose 95 % interval of total and of live bytes hold the truth; deviations of the means in
    standard errors."""
    from flyweight import _memory

    columns = _memory.SAMPLE_COLUMNS
    slots: list[bytes | None] = [None] * BLOCKS
    pairs = list(enumerate(SIZES))
    truth = sum(33 + size for size in SIZES)
    live_truth = sum(33 + size for size in SIZES[::2])
    within = live_within = 0
    totals: list[float] = []
    lives: list[float] = []
    gc.disable()
    for seed in range(first, first + seeds):
        _memory.start(
            sampled=True,
            native=False,
            full_stacks=False,
            native_stacks=False,
            sample_interval_bytes=INTERVAL,
            own_limit_bytes=0,
            limit_bytes=0,
            seed=seed,
            page="",
        )
        allocate(slots, pairs)
        for slot in range(1, BLOCKS, 2):
            slots[slot] = None
        words = memoryview(_memory.samples()).cast("q")
        sums = dict.fromkeys(columns, 0)
        for at in range(0, len(words), len(columns)):
            row = dict(zip(columns, words[at : at + len(columns)], strict=True))
            frames = _memory.stack(row["stack"])
            if frames and frames[0][2] == "allocate":
                for column in columns:
                    sums[column] += row[column]
        slots[:] = [None] * BLOCKS
        _memory.stop()
        totals.append(sums["total_bytes"])
        lives.append(sums["live_bytes"])
        within += abs(sums["total_bytes"] - truth) <= 1.96 * math.sqrt(sums["total_bytes_variance"])
        live_within += abs(sums["live_bytes"] - live_truth) <= 1.96 * math.sqrt(sums["live_bytes_variance"])

    def deviation(values: list[float], expected: float) -> float:
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        return (mean - expected) / math.sqrt(variance / len(values))

    return within / seeds, live_within / seeds, deviation(totals, truth), deviation(lives, live_truth)


def check(seeds: int) -> int:
    """1 when an interval holds the truth too rarely or too often, or a mean is biased."""
    outcome = subprocess.run([sys.executable, __file__, "--seeds", str(seeds)], capture_output=True, text=True)
    print(outcome.stdout.strip() or outcome.stderr)
    return outcome.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    seeds = parser.parse_args().seeds
    within, live_within, total_deviation, live_deviation = measure(seeds)
    print(
        f"of {seeds} runs {within:.1%} hold the total and {live_within:.1%} what is live; "
        f"means off by {total_deviation:+.2f} and {live_deviation:+.2f} standard errors"
    )
    # Two hundredths at a thousand runs, as many standard errors at fewer.
    margin = 0.02 * math.sqrt(1000 / min(seeds, 1000))
    good = all(abs(share - 0.95) <= margin for share in (within, live_within))
    return 0 if good and max(abs(total_deviation), abs(live_deviation)) < 3 else 1


if __name__ == "__main__":
    sys.exit(main())

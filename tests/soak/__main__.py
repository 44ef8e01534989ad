"""The long proofs of the profiler: random steps against a reference, long native tests, sampled estimates.

python -m tests.soak [--minutes 60] [--seed 1]
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from pathlib import Path

from tests.soak import allocation_model, real_programs, sampled_estimates

ROOT = Path(__file__).resolve().parents[2]


def native_tests(sanitizer: str) -> int:
    build = ROOT / "build" / f"native-soak-{sanitizer}"
    for command in (
        ["cmake", "-S", str(ROOT / "tests" / "native"), "-B", str(build), "-DSOAK=ON", f"-DSANITIZE={sanitizer}"],
        ["cmake", "--build", str(build), "--parallel"],
        ["ctest", "--test-dir", str(build), "--output-on-failure"],
    ):
        outcome = subprocess.run(command, capture_output=True, text=True)
        if outcome.returncode != 0:
            print(outcome.stdout[-8000:], outcome.stderr[-4000:], sep="\n")
            return 1
    print(outcome.stdout.strip().splitlines()[-1])
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of random steps; the rest takes about ten more")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    if (reason := allocation_model.missing_tool()) is not None:
        print(f"cannot run: {reason}", file=sys.stderr)
        return 2
    print(f"Python {platform.python_version()}, seed {options.seed}", flush=True)
    failed = 0
    print("native tests, long form:", end=" ", flush=True)
    failed += native_tests("none")
    print("sampled estimates, 1,000 seeds:", end=" ", flush=True)
    failed += sampled_estimates.check(1000)
    failed += real_programs.check()
    print("random steps:", end=" ", flush=True)
    failed += allocation_model.soak(options.minutes * 60, options.seed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

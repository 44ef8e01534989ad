"""Runs one labelled program under the profiler and prints its verdicts as JSON: watch.py PROGRAM SECONDS [MODE]"""

import importlib
import json
import os
import sys


def main(name: str, seconds: float, mode: str = "exact") -> None:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    program = importlib.import_module(name)
    # Loaded before, as they would be in a program that is watched for hours.
    from flyweight import memory
    from flyweight.memory.holders import holders
    from flyweight.memory.leaks import leaks
    from flyweight.memory.steady import is_steady_state

    memory.start(mode=mode, publish=False, **({"sample_interval": 1024} if mode == "sampled" else {}))
    program.run(seconds)
    verdicts = leaks(min_age_s=seconds / 3, min_size=1024, include_steady=True)
    steady = is_steady_state(limit_bytes=1024 * 1024, window_s=0.6 * seconds)
    held = [
        holders(leak).to_dict()
        for leak in verdicts
        if leak.verdict == "growing" and leak.domain == "python" and leak.file == program.__file__
    ]
    memory.stop()
    print(json.dumps({"leaks": [leak.to_dict() for leak in verdicts], "steady": steady.to_dict(), "held": held}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])

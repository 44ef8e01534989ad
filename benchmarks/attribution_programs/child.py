"""One attribution in a fresh process: ``python -P -m benchmarks.attribution_programs.child JSON``; answers with JSON.

With ``tracked`` the recording begins before anything of the program is imported.
"""

from __future__ import annotations

import sys
from importlib import import_module
from time import thread_time


def main() -> None:
    tracked = '"tracked": true' in sys.argv[1]
    if tracked:
        from flyweight import memory

        memory.start(publish=False)
    import json
    import site

    request = json.loads(sys.argv[1])
    if request.get("site_packages"):
        site.addsitedir(request["site_packages"])
    program = import_module(f"benchmarks.attribution_programs.{request['program']}")
    held = program.run(request.get("places", []))
    if not tracked:
        from flyweight import memory

    times, cpu_times = [], []
    for _ in range(request.get("repeats", 1)):
        begun = thread_time()
        found = memory.attribution()
        cpu_times.append(1000 * (thread_time() - begun))
        times.append(found.elapsed_ms)
    answer = {
        "attribution": found.to_dict(),
        "elapsed_ms": times,
        "cpu_ms": cpu_times,
        "planted": getattr(program, "PLANTED", {}),
    }
    if tracked:
        answer["report"] = memory.report().to_dict()
    del held
    print("\n" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

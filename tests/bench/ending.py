"""How long a process that has loaded torch takes to end: python -m tests.bench.ending [rounds], a minute.

As Python ends, freeing every object, and as a command does (`ssc_sweep.stop.end_fast`), in turn.
"""

import subprocess
import sys
import time

CODE = """
from ssc_sweep import stop
if {fast}:
    stop.end_fast()
import ssc_sweep.study.execute, ssc_sweep.findings.report
print("ready", flush=True)
stop.run(lambda: 0)
"""


def seconds(fast: bool) -> float:
    """Return how long a process lives on after its last line."""
    call = [sys.executable, "-c", CODE.format(fast=fast)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        start = time.perf_counter()
        assert process.wait() == 0
        return time.perf_counter() - start


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    times = [(seconds(fast=False), seconds(fast=True)) for _ in range(rounds)]
    for name, found in zip(("as Python ends", "as a command ends"), zip(*times, strict=True), strict=True):
        print(f"{name:20}" + " ".join(f"{s:6.2f}" for s in found) + " s")


if __name__ == "__main__":
    main()

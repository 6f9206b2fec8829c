"""Workers with memory pages of 2 MB against pages of 4 KB: python -m tests.bench.pages [rounds], some minutes.

A study of 60 runs, in turn with the one and with the other. Where Linux gives huge pages to every process, or to none
(/sys/kernel/mm/transparent_hugepage/enabled), both are the same.
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

from ssc_sweep.study.workers import HUGE_PAGES, TUNABLES
from tests.bench.workers import STUDY, run


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"Linux gives huge pages: {Path('/sys/kernel/mm/transparent_hugepage/enabled').read_text().strip()}")
    ratios = []
    with tempfile.TemporaryDirectory() as place:
        for i in range(rounds):
            took = {}
            for value in (1, 0) if i % 2 else (0, 1):
                os.environ[TUNABLES] = f"{HUGE_PAGES}={value}"
                took[value] = run(Path(place), (*STUDY, f"study=pages_{i}_{value}"))
            ratios.append(took[1] / took[0])
            print(f"2 MB {took[1]:6.1f} s, 4 KB {took[0]:6.1f} s", flush=True)
    print(f"2 MB / 4 KB {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()

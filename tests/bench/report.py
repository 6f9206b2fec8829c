"""How long the report of 300 runs takes, and how large it is: python -m tests.bench.report, about a minute.

Six arms of 50 seeds on the small sample of NHEFS, ten epochs each, really trained; then the findings alone, from disk.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEEDS = 50
STUDY = ("hypothesis=epochs,lr,ema", "dataset_size=n100", f"seeds={SEEDS}", "study=large")
MOST_SECONDS, MOST_BYTES = 20.0, 5e6


def run(folder: Path, *words: str) -> float:
    """Run a command of ours in a folder and return its wall time, s."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        trained = run(folder, "ssc_sweep", "-m", *STUDY)
        runs = len(list(folder.glob("outputs/large/**/DONE")))
        # From a command's start to its end: imports, reading every file, figures, page.
        seconds = min(run(folder, "ssc_sweep.findings", "outputs/large") for _ in range(2))
        size = (folder / "outputs/large/report.html").stat().st_size
    print(f"{runs} runs trained and reported in {trained:.0f} s")
    for name, value, limit, unit in (
        ("report alone", seconds, MOST_SECONDS, "s"),
        ("page", size / 1e6, MOST_BYTES / 1e6, "MB"),
    ):
        print(f"{name:14}{value:6.1f} {unit:3} at most {limit:g} {unit}: {'met' if value < limit else 'missed'}")


if __name__ == "__main__":
    main()

"""How the time of a whole study grows with runs, rows and columns: python -m tests.bench.scaling [file.svg].

From the first word of a command to its end, two workers. Exponents are slopes of log time on log size over the sizes
where time above the start of a command (the smallest size) dominates; memory is that of all processes, at its peak.
About ten minutes.
"""

import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import matplotlib as mpl
import psutil

mpl.use("svg")
import matplotlib.pyplot as plt
import numpy as np

TINY = ("dataset_size=n100", "epochs=1", "covariates=confounders", "model.width=16")
TABLE = ("model=mean_teacher", "dataset=synthetic", "epochs=1", "split=shuffled", "seeds=4")
EVERY = 0.5  # seconds between two looks at the memory
RUNS, ROWS, COLUMNS = (12, 120, 1002, 5001), (100, 1000, 10_000, 100_000, 1_000_000), (10, 100, 1000)
AXES = {
    "runs": {n: ("hypothesis=lr", *TINY, f"seeds={n // 3}") for n in RUNS},
    "rows": {n: (*TABLE, f"dataset.rows={n}", f"batch.size={max(10, n // 200)}") for n in ROWS},
    "columns": {n: (*TABLE, "dataset.rows=2000", f"dataset.d_x={n}", "batch.size=20") for n in COLUMNS},
}


def memory(process: psutil.Process) -> int:
    """Bytes of a process and all that it started, what they share counted once (PSS, Linux)."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += one.memory_full_info().pss
    return total


def run(words: tuple[str, ...]) -> tuple[float, int]:
    """(seconds, peak bytes of all its processes together) of a command."""
    with tempfile.TemporaryDirectory() as folder:
        start, peak = time.perf_counter(), 0
        call = [sys.executable, "-m", "ssc_sweep", "-m", *words, "study=s", "workers=2"]
        process = psutil.Popen(call, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                peak = max(peak, memory(process))
            time.sleep(EVERY)
        assert process.returncode == 0, words
        return time.perf_counter() - start, peak


def main() -> None:
    figure, panels = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
    for panel, (name, sizes) in zip(panels, AXES.items(), strict=True):
        took = {n: run(words) for n, words in sizes.items()}
        times = {n: seconds for n, (seconds, _) in took.items()}
        n, seconds = np.array(list(times)), np.array(list(times.values()))
        above = seconds - seconds[0]
        exponent = np.polyfit(np.log(n[-2:]), np.log(above[-2:]), 1)[0]
        print(f"{name:8}" + "  ".join(f"{k:,}: {s:.1f} s" for k, s in times.items()) + f"   exponent {exponent:.2f}")
        print(
            f"{'':8}peak memory of all processes " + "  ".join(f"{k:,}: {b / 1e9:.2f} GB" for k, (_, b) in took.items())
        )
        panel.loglog(n, seconds, "o-", color="#20639b")
        panel.set_xlabel(name)
        panel.set_title(f"exponent {exponent:.2f}", fontsize=9)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds, whole study")
    if len(sys.argv) > 1:
        figure.savefig(Path(sys.argv[1]), metadata={"Date": None})


if __name__ == "__main__":
    main()

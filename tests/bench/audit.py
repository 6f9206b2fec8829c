"""Time of the audit, from the command to its end: python -m tests.bench.audit [rows] [columns] [csv|parquet]

Prints the median of five on NHEFS, the quick characteristics alone, and a large table (gaps, answers, categories: see
tests.bench.load). Wall seconds, and beside them those of the processor: where others work on the machine the second
say more. Peak memory is what the process held (RSS).
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from tests.bench.load import COLUMNS, ROWS, table

RUNS = 5
QUICK = """
import time
from hydra import compose, initialize_config_dir
from ssc_sweep.audit.characteristics import characteristics
from ssc_sweep.config import check, conf_dir
from ssc_sweep.data.source import Data
with initialize_config_dir(str(conf_dir())):
    split = Data().split(check(compose("config")))
wall, own = [], []
for _ in range(21):
    start = time.perf_counter(), time.process_time()
    characteristics(split, quick=True)
    wall.append(time.perf_counter() - start[0])
    own.append(time.process_time() - start[1])
print(f"{1e3 * sorted(wall)[10]:.1f} ms, processor {1e3 * sorted(own)[10]:.1f} ms")
"""


def timed(folder: str, *words: str) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak memory in GiB of one audit."""
    command = [sys.executable, "-m", "ssc_sweep.audit", *words]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, f"{command} ended with status {status}"
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def main() -> None:
    words = sys.argv[1:]
    rows, columns = (int(words[0]), int(words[1])) if len(words) > 1 else (ROWS, COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        found = [timed(folder, "dataset=nhefs", "split=file_order") for _ in range(RUNS)]
        wall, own = (median(column) for column in list(zip(*found, strict=True))[:2])
        print(f"nhefs, median of {RUNS}: {wall:.2f} s, processor {own:.2f} s", flush=True)
        quick = subprocess.run([sys.executable, "-c", QUICK], capture_output=True, text=True, check=True)
        print(f"nhefs, quick characteristics, median of 21: {quick.stdout.strip()}", flush=True)
        for kind in words[2:] or ("csv", "parquet"):
            file = Path(folder) / f"table.{kind}"
            (arrow_csv.write_csv if kind == "csv" else parquet.write_table)(table(rows, columns), file)
            data = ("dataset=csv", f"dataset.path={file}", "dataset.treatment=dose", "dataset.outcome=weight")
            wall, own, peak = timed(folder, *data)
            print(f"{kind}, {rows:,} x {columns}: {wall:.1f} s, processor {own:.1f} s, peak {peak:.2f} GiB", flush=True)
            file.unlink()


if __name__ == "__main__":
    main()

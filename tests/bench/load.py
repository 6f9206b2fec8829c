"""Time and memory of reading a large table: python -m tests.bench.load [rows] [columns] [csv|parquet]

Writes a file of numbers with gaps, whole numbers, 0/1 answers and text categories, reads it in a process of its own
with `dataset=csv`'s function and prints seconds, and the peak of the memory that the process held (RSS).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

ROWS, COLUMNS = 1_000_000, 50
GAPS = 0.05  # share of the cells of a number column that are empty
READ = """
import resource, sys, time
from ssc_sweep.data.table import load
start = time.perf_counter()
cohort = load(path=sys.argv[1], treatment="dose", outcome="weight", kinds={}, missing={"c001": [9]}, codes={}, roles={},
              drop=[], unit="kg", squared=[], modifiers=[], delimiter="comma", decimal="point", encoding="utf-8",
              sha256=None)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"{seconds:.1f} s, peak memory {peak / 2**20:.2f} GiB, x {cohort.x.shape}")
"""


def table(rows: int, columns: int) -> pa.Table:
    """A table of treatment `dose`, outcome `weight` and columns - 2 covariates; one in ten is text, one in ten 0/1."""
    draw = np.random.default_rng(0)
    made: dict[str, pa.Array] = {
        "dose": pa.array(draw.integers(0, 3, rows), mask=draw.random(rows) < GAPS),
        "weight": pa.array(np.round(draw.normal(3, 8, rows), 3), mask=draw.random(rows) < GAPS / 10),
    }
    words = pa.array([f"level {i}" for i in range(12)])
    for j in range(columns - 2):
        gap = draw.random(rows) < GAPS
        if j % 10 == 0:
            made[f"c{j:03}"] = words.take(pa.array(draw.integers(0, 12, rows), mask=gap))
        elif j % 10 == 1:
            made[f"c{j:03}"] = pa.array(np.where(draw.random(rows) < GAPS, 9, draw.integers(0, 2, rows)))
        elif j % 10 == 2:
            made[f"c{j:03}"] = pa.array(draw.integers(0, 90, rows), mask=gap)
        else:
            made[f"c{j:03}"] = pa.array(np.round(draw.normal(size=rows), 6), mask=gap)
    return pa.table(made)


def measured(rows: int, columns: int, kind: str) -> str:
    """Write the file, read it, and say what that took."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"table.{kind}"
        if kind == "csv":
            arrow_csv.write_csv(table(rows, columns), file)
        else:
            parquet.write_table(table(rows, columns), file)
        read = subprocess.run([sys.executable, "-c", READ, file], capture_output=True, text=True, check=True)
        return f"{kind}, {rows:,} x {columns}, {file.stat().st_size / 2**20:.1f} MiB: {read.stdout.strip()}"


def main() -> None:
    words = sys.argv[1:]
    rows, columns = (int(words[0]), int(words[1])) if len(words) > 1 else (ROWS, COLUMNS)
    for kind in words[2:] or ("csv", "parquet"):
        print(measured(rows, columns, kind), flush=True)


if __name__ == "__main__":
    main()

"""Folders against tables: python -m tests.bench.files [folders] [tables], about a minute each on a quiet machine.

A study of 1,002 tiny runs with its report, under run_files=folders and run_files=tables: files, folders and bytes of
its runs; seconds of the command, of the same command again, which trains nothing, and of the findings alone.
Seconds of the processor are those of the command's own process, without workers: they say more on a busy machine.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.workers import TINY

OURS = {"study.yaml", "summary.csv", "verdicts.csv", "report.html"}  # of the study, not of its runs
RUNS = 1002


def took(folder: Path, *words: str) -> str:
    """Run a command; return its seconds, and those of the processor."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-W", "ignore", "-m", *words], cwd=folder, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{time.perf_counter() - start:6.1f} s ({used:.1f} s of the processor)"


def measure(kind: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        words = ("ssc_sweep", *TINY, "report=true", f"run_files={kind}")
        for name, call in (("train", words), ("again", words), ("findings", ("ssc_sweep.findings", "outputs/tiny"))):
            print(f"{kind:9}{name:10}{took(Path(place), *call)}", flush=True)
        study = Path(place) / "outputs/tiny"
        shutil.rmtree(study / "figures")
        paths = [path for path in study.rglob("*") if path.name not in OURS]
        files = [path.stat() for path in paths if path.is_file()]
        size, on_disk = sum(one.st_size for one in files), sum(512 * one.st_blocks for one in files)
        print(
            f"{kind:9}files     {len(files):,}, {len(files) / RUNS:.3f} a run, in {len(paths) - len(files):,} folders"
        )
        for name, total in (("bytes", size), ("on disk", on_disk)):
            print(f"{kind:9}{name:10}{total / 1e6:.1f} MB, {total / RUNS / 1e3:.1f} KB a run", flush=True)


def main() -> None:
    for kind in sys.argv[1:] or ("folders", "tables"):
        measure(kind)


if __name__ == "__main__":
    main()

"""Worker processes against one process with all threads: python -m tests.bench.workers [rounds], up to an hour.

The README's study, 60 runs with ten seeds, from the first word of the command to its end:

- as it was before there were workers (commit 0006a42, from git, in the same environment),
- as it is, and under Hydra's joblib launcher with one process a core,

side by side, quiet and with one core taken by a busy process; the old code is stopped after ten minutes. Then a study
of 1,000 tiny runs, and the same command again with nothing left to train.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BEFORE = "0006a42"
STUDY = ("-m", "hypothesis=lr,batch,ema", "seeds=10")
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
TINY = ("-m", "hypothesis=lr", "seeds=334", "dataset_size=n100", "epochs=1", "covariates=confounders", "study=tiny")
AIMS = {"quiet": 0.65, "busy": 0.4}
# Seconds after which the old code is stopped: its two threads may wait for each other for an hour.
LONGEST = 600.0


def run(folder: Path, words: tuple[str, ...], source: Path | None = None) -> float:
    """Seconds that a command takes, LONGEST at most; with the code in `source` instead of ours."""
    env = dict(os.environ)
    if source is not None:
        env["PYTHONPATH"] = str(source / "src")
    start = time.perf_counter()
    call = [sys.executable, "-W", "ignore", "-m", "ssc_sweep", *words]
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(call, cwd=folder, capture_output=True, check=True, env=env, timeout=LONGEST)
    return time.perf_counter() - start


@contextmanager
def busy() -> Iterator[None]:
    """One core taken by somebody else."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def compare(folder: Path, before: Path, rounds: int, state: str) -> None:
    times: dict[str, list[float]] = {"before": [], "workers": []}
    for i in range(rounds):
        times["before"].append(run(folder, (*STUDY, f"study=before_{state}_{i}"), before))
        times["workers"].append(run(folder, (*STUDY, f"study=workers_{state}_{i}")))
    ratio = statistics.median(w / b for w, b in zip(times["workers"], times["before"], strict=True))
    for name, seconds in times.items():
        stopped = ", stopped" if max(seconds) >= LONGEST else ""
        print(f"{state:6}{name:10}" + " ".join(f"{s:6.1f}" for s in seconds) + f" s{stopped}")
    verdict = "met" if ratio <= AIMS[state] else "missed"
    print(f"{state:6}workers / before {ratio:.2f}, at most {AIMS[state]}: {verdict}")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    root = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        before = folder / "code"
        subprocess.run(["git", "-C", str(root), "worktree", "add", "--detach", str(before), BEFORE], check=True)
        try:
            compare(folder, before, rounds, "quiet")
            with busy():
                compare(folder, before, rounds, "busy")
        finally:
            subprocess.run(["git", "-C", str(root), "worktree", "remove", "--force", str(before)], check=True)
        ours, joblib = run(folder, (*STUDY, "study=a")), run(folder, (*STUDY, "study=b", *JOBLIB))
        print(f"joblib launcher {joblib:.1f} s, ours {ours:.1f} s: {joblib / ours:.1f} times, at least 2")
        first, again = run(folder, TINY), run(folder, TINY)
        print(f"1,002 tiny runs {first:.1f} s, {1000 * first / 1002:.1f} ms a run, at most 20; again {again:.1f} s")


if __name__ == "__main__":
    main()

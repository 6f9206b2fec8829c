"""What kills, full disks, damaged files and hostile input do: python -m tests.faults [minutes [part]], or make faults.

    kills      SIGKILL of the command or of a worker at random moments, then the same command: the summary is that of
               an undisturbed study to the last bit, in both precisions; nothing is trained twice; no leftover but logs
    disks      a file system of 3 MB; a folder that cannot be written; a run's folder removed
    damage     every file of a study cut in turn
    starts     200 starts and stops leave no process and no file

A short form of each is in tests/test_faults.py, which also has the property tests of random words and random tables;
SSC_SWEEP_EXAMPLES=1000 makes them long.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from tests.processes import Started, begin, of_session

BASE = ("-m", "dataset_size=n100", "covariates=confounders", "model.width=16", "study=s")
MANY = ("epochs=10", "seed=range(0,16)", "optimizer.lr=1e-4,1e-3")
TINY = (*BASE, *MANY, "workers=2", "save_weights=none")
FEW = ("epochs=2", "seed=0,1", "optimizer.lr=1e-4,1e-3")
TABLES = "run_files=tables"
UNSTEADY = ["seconds", "stack", "overrides"]
Start = Callable[..., Started]
Run = Callable[..., tuple[int, str]]  # run(folder, *words): the exit code of a command, and what stood on stderr


def ended(folder: Path, *words: str) -> tuple[int, str]:
    """(exit code, what stood on stderr) of a command."""
    process = begin(folder, *words)
    _, err = process.communicate()
    return process.returncode, err


def summary(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "outputs/s/summary.csv").drop(columns=UNSTEADY)


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.is_file()]


def done_in_tables(folder: Path, done: Path) -> bytes:
    """The content of DONE, given by its path, of a run that lies in a table."""
    arm, seed = done.parent.parent.relative_to(folder / "outputs/s").as_posix(), int(done.parent.name[5:])
    rows = pd.concat([pd.read_parquet(path) for path in folder.glob("outputs/s/tables/*.parquet")])
    (found,) = rows[(rows["arm"] == arm) & (rows["seed"] == seed)]["DONE"]
    return bytes(found)


KILLS = 5  # of one study


def kills(
    folder: Path,
    times: int,
    draw: random.Random,
    *more: str,
    runs: Sequence[str] = MANY,
    run: Run = ended,
    start: Start = begin,
) -> None:
    """Kill `times` times; each study must come out as if nobody had.

    The last of a study's kills hits a worker, after which the command goes on; the others hit the command.

    Args:
        run: runs the commands that nobody kills.
        start: starts those that are killed.
    """
    words = (*BASE, *runs, "workers=2", "save_weights=none", *more)
    whole = folder / "whole"
    whole.mkdir()
    before_it = time.monotonic()
    code, err = run(whole, *words)
    assert code == 0, err
    length = time.monotonic() - before_it
    for left in range(times, 0, -KILLS):
        place = folder / f"killed_{left}"
        place.mkdir()
        done: dict[Path, tuple[int, bytes]] = {}
        for still in range(min(KILLS, left), 0, -1):
            kill(start(place, *words), place, draw.uniform(0, length / 3), draw if still == 1 else None)
            check_done(place, done, words)
        code, err = run(place, *words)
        assert code == 0, err
        check_done(place, done, words)
        pd.testing.assert_frame_equal(summary(place), summary(whole), check_exact=True)
        assert leftovers(place) == [], leftovers(place)
        shutil.rmtree(place)
    shutil.rmtree(whole)


def kill(process: Started, place: Path, after: float, draw: random.Random | None) -> None:
    """Kill a command these seconds after its study has begun or gone on; with `draw`, one of its workers instead."""
    study = place / "outputs/s/study.yaml"
    before = study.stat().st_mtime_ns if study.exists() else 0
    while process.poll() is None and not (study.exists() and study.stat().st_mtime_ns != before):
        time.sleep(0.01)
    time.sleep(after)
    victim: int | None = process.pid
    if draw is not None:
        while not (workers := workers_of(process)) and process.poll() is None:
            time.sleep(0.01)
        victim = draw.choice(workers) if workers else None  # none: the command has ended
    if victim is not None:
        with suppress(ProcessLookupError):  # it was quicker
            os.kill(victim, signal.SIGKILL)
    process.communicate()


def workers_of(process: Started) -> list[int]:
    """The workers of a command, and the server that they are forked from."""
    living = [one for one in of_session(process.pid) if one.pid != process.pid]
    return [one.pid for one in living if "forkserver" in " ".join(one.cmdline())]


def check_done(place: Path, done: dict[Path, tuple[int, bytes]], words: Sequence[str]) -> None:
    """Check that what had ended before a command is as it was; note what has ended since."""
    for path, (changed, content) in done.items():
        if path.exists():
            assert path.stat().st_mtime_ns == changed, "trained twice"
        else:  # a run that lay in a folder may lie in a table now; its DONE holds the time when it ended
            assert TABLES in words and done_in_tables(place, path) == content, "trained twice"
    kept = [*place.glob("outputs/s/**/DONE"), *place.glob("outputs/s/tables/*.parquet")]
    done |= {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept}


def disks(folder: Path, *more: str, run: Run = ended) -> None:
    """A disk of 3 MB, where root may mount one: one line, finished runs stay, and with room the study goes on."""
    small = folder / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        print("disks: no right to mount a small file system; left out", file=sys.stderr)
        return
    words = (*BASE[:-2], "model.width=128", *MANY[1:], "epochs=1", "workers=2", "study=s", "save_weights=all",
             f"outputs={small}", *more)  # fmt: skip
    try:
        code, err = run(folder, *words)
        assert code in (1, 2) and "Traceback" not in err, err
        assert [line for line in err.splitlines() if line.startswith("error: ")], err
        subprocess.run(["mount", "-o", "remount,size=300m", str(small)], check=True)
        code, err = run(folder, *words)
        assert code == 0, err
    finally:
        subprocess.run(["umount", str(small)], check=True)


def damage(folder: Path, runs: Sequence[str] = FEW, run: Run = ended) -> None:
    """Cut every file of a small study in turn to half of its length: noticed, or made again; never a traceback."""
    words = (*BASE, *runs, "workers=0")
    assert run(folder, *words)[0] == 0
    right = summary(folder)
    whole = folder / "outputs.whole"
    shutil.move(folder / "outputs", whole)
    for path in sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file() and p.parent.name != "figures"):
        shutil.copytree(whole, folder / "outputs")
        target = folder / "outputs" / path
        target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])
        code, err = run(folder, *words)
        assert code in (0, 1, 2) and "Traceback" not in err, (path, err)
        assert code == 0 or err.splitlines()[-1].startswith("error: "), (path, err)
        if code == 0:  # then nothing is missing
            pd.testing.assert_frame_equal(summary(folder), right, check_exact=True, obj=str(path))
        shutil.rmtree(folder / "outputs")
    shutil.rmtree(whole)


def starts(folder: Path, times: int, draw: random.Random) -> None:
    """Start and stop, over and over: no process and no file stays."""
    for _ in range(times):
        process = begin(folder, *TINY)
        time.sleep(draw.uniform(0, 6))
        number = draw.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        told = time.monotonic()
        for _ in range(draw.choice([1, 1, 2, 3])):  # who is impatient presses again
            with suppress(ProcessLookupError):  # it was quicker
                os.killpg(process.pid, number) if draw.random() < 0.5 else process.send_signal(number)
            time.sleep(draw.uniform(0, 0.3))
        process.wait(timeout=20)
        took = time.monotonic() - told
        _, err = process.communicate(timeout=20)
        # In its first moments Python itself has not loaded a line of ours.
        early = process.returncode == -number and "in main" not in err
        early |= "init_import_site" in err and "ssc_sweep" not in err
        assert early or (process.returncode in (0, 128 + number) and "Traceback" not in err), (process.returncode, err)
        assert took < 5 + 5 * (os.getloadavg()[0] > 3), f"{took:.1f} s to stop"
        for _ in range(100):
            if not of_session(process.pid):
                break
            time.sleep(0.05)
        assert of_session(process.pid) == []
        assert leftovers(folder) == [], leftovers(folder)
        shutil.rmtree(folder / "outputs", ignore_errors=True)


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    print(f"seed {seed}")
    share = max(1, int(50 * min(1.0, minutes / 60)))
    parts: dict[str, Callable[[Path], None]] = {
        f"kills, float32, {share}": lambda place: kills(place, share, draw),
        f"kills, tables, {share}": lambda place: kills(place, share, draw, TABLES),
        f"kills, float64, {share}": lambda place: kills(place, share, draw, "precision=float64"),
        "disks": disks,
        "damage": damage,
        f"starts, {4 * share}": lambda place: starts(place, 4 * share, draw),
    }
    broken = False
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    chosen = {name: part for name, part in parts.items() if wanted in name}
    if not chosen:
        sys.exit(f"no part is called {wanted}: allowed are {', '.join(parts)}")
    for name, part in chosen.items():
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as place:
            try:
                part(Path(place))
                how = "held"
            except AssertionError as error:
                how, broken = f"BROKEN: {error}", True
        print(f"{name}: {how}, {time.monotonic() - begin:.0f} s", flush=True)
    sys.exit(broken)


if __name__ == "__main__":
    main()

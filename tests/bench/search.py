"""The search against plain hydra-optuna-sweeper with Hydra's basic launcher: same space, same number of runs.

    python -m tests.bench.search [runs] [seeds per trial]        default: 40 runs, 5 seeds a trial

Ours has runs / seeds trials of several seeds; plain has as many trials of one seed as there are runs. Both confirm on
the same ten fresh seeds, plain by the same rule: after its search the best trials are confirmed one after another
until one holds the target, and the time of that counts. Printed: wall time of both searches, time until the first
configuration was confirmed below the target, and the confirmed RMSE of each.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import yaml

from ssc_sweep.config import conf_dir
from ssc_sweep.study.rule import Rule
from ssc_sweep.study.search.record import mean
from ssc_sweep.study.search.score import works

RULE = Rule(target=15.0)
MOST_CONFIRMED = 5


def run(folder: Path, *words: str) -> float:
    """Run a command and return its wall time, s. Exit code 1 is an answer here: the target was missed."""
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "ssc_sweep", "-m", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode in (0, 1), ended.stderr
    return time.perf_counter() - start


def rmse(study: Path) -> list[float | None]:
    return [json.loads(path.read_text())["rmse"] for path in sorted(study.glob("**/metrics.json"))]


def plain(folder: Path, space: dict[str, str], runs: int) -> tuple[float, float | None, float]:
    """Search with one seed a trial, then confirm. Returns: seconds of the search, seconds to the target, RMSE."""
    params = [f"{key}={value}" for key, value in space.items()]
    basic = ("hydra/launcher=basic", "study=plain")
    searched = run(
        folder, *params, *basic, "hydra/sweeper=optuna", f"hydra.sweeper.n_trials={runs}", "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.max_failure_rate=1", "hydra.sweeper.study_name=plain",
        f"hydra.sweeper.storage=sqlite:///{folder / 'plain.db'}",
    )  # fmt: skip
    study = optuna.load_study(study_name="plain", storage=f"sqlite:///{folder / 'plain.db'}")
    total, best = searched, float("inf")
    ranked = sorted((t for t in study.trials if t.values is not None), key=lambda trial: trial.values[0])
    for number, trial in enumerate(ranked[:MOST_CONFIRMED]):
        name = f"confirm{number}"
        words = [f"{key}={value}" for key, value in trial.params.items()]
        total += run(folder, *words, "hydra/launcher=basic", f"study={name}", "seed=range(1000,1010)")
        found = rmse(folder / "outputs" / name)
        best = min(best, mean(found))
        if works(found, RULE.target, RULE.works_share):
            return searched, total, mean(found)
    return searched, None, best


def ours(folder: Path, space: str, trials: int, seeds: int) -> tuple[float, float | None, float]:
    """The same with trials of several seeds; once to the end of its trials, once until it is done."""
    words = (
        "experiment=search",
        f"search_space={space}",
        f"n_trials={trials}",
        f"hydra.sweeper.seeds_per_trial={seeds}",
    )
    searched = run(folder, *words, "study=ours", "hydra.sweeper.stop_at_target=false", "hydra.sweeper.confirm_best=1")
    until = run(folder, *words, "study=until", "hydra.sweeper.confirm_best=1")
    best = yaml.safe_load((folder / "outputs/until/best.yaml").read_text())
    return searched, until if best["target_met"] else None, mean(best["confirmed_rmse"])


def main() -> None:
    runs, seeds = (int(word) for word in [*sys.argv[1:], *("40", "5")[len(sys.argv) - 1 :]])
    name = "plan_and_data"
    space = yaml.safe_load((conf_dir() / f"search_space/{name}.yaml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        mine = ours(Path(folder), name, runs // seeds, seeds)
        other = plain(Path(folder), space, runs)
    print(
        f"{name}: {runs} runs; wall time of the search, time to the first configuration confirmed below 15 kg, its RMSE"
    )
    for who, (searched, until, found) in (("ours", mine), ("plain", other)):
        print(f"{who:6} {searched:7.1f} s   {'never' if until is None else f'{until:.1f} s':>9}   {found:.2f} kg")
    print(f"ours / plain: wall time {mine[0] / other[0]:.2f} (ours includes confirming one trial)")
    if mine[1] is not None and other[1] is not None:
        print(f"ours / plain: time to the target {mine[1] / other[1]:.2f}")


if __name__ == "__main__":
    main()

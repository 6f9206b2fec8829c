"""The search against plain hydra-optuna-sweeper with Hydra's basic launcher, same machine, same space, taking turns.

    python -m tests.bench.search [trials] [seeds a trial] [sampler seeds] [first]    default: 60 5 3 0, about 16 minutes

One search is luck, and its winners lie far apart: 3 sampler seeds tell the times, the winner needs a dozen.

The same trials: one list of a few configurations, each with the same seeds, through both. Ours is one search whose
trials are several seeds, plain one search for each seed; the same random sampler draws the list, which is checked.

To the target: the time until a configuration was shown to hold it. Ours stops there; plain ends its search, and then
its best are confirmed one after another, in the same rounds of fresh seeds and by the same test.

The winner: RMSE on validation rows, on fresh seeds, of the best after the full search of each, of equally many
confirmed: first of those that hold. Both searches have
equally many trials; one of plain's is one seed, for it knows no other. What each took is printed beside it, and the 95%
interval of the ratio, from resampled sampler seeds.
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import yaml
from scipy.stats import bootstrap

from ssc_sweep.config import conf_dir
from ssc_sweep.study.search.candidate import BEST_FIRST, Candidate
from ssc_sweep.study.search.confirm import next_round
from ssc_sweep.study.search.trials import Record, begin, mean
from ssc_sweep.verdicts.evidence import Works
from ssc_sweep.verdicts.rule import Rule

SPACE = "plan_and_data"
RULE = Rule(target=15.0, sequential=True)
CONFIRMED, FRESH = 3, 100
TEST_SHARE = "split.test_share=0.2"
SAME = 12  # configurations that both train with all seeds
# What ours / plain may be at most.
SAME_TRIALS, TO_TARGET, WINNER = 0.5, 1 / 3, 1.0


@dataclass(frozen=True)
class Found:
    """What a search led to: seconds until a configuration was confirmed below the target, RMSE of the best, and the
    seconds of the full search with its confirmations."""

    to_target: float
    winner: float
    seconds: float


def run(folder: Path, *words: str) -> float:
    """Run a command and return its wall time, s. Exit code 1 is an answer here: runs failed, a target was missed."""
    start = time.perf_counter()
    call = [sys.executable, "-m", "ssc_sweep", "-m", *words]
    ended = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 1):
        sys.exit(f"{' '.join(words)}: {ended.stderr}")
    return time.perf_counter() - start


def params(database: Path, name: str) -> list[dict[str, object]]:
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{database}")
    return [trial.params for trial in study.trials]


def ours(folder: Path, study: str, trials: int, seeds: int, *words: str) -> float:
    search = ("experiment=search", f"search_space={SPACE}", f"study={study}", f"n_trials={trials}")
    return run(folder, *search, f"hydra.sweeper.seeds_per_trial={seeds}", *words)


def plain(folder: Path, study: str, trials: int, *words: str) -> float:
    space = yaml.safe_load((conf_dir() / f"search_space/{SPACE}.yaml").read_text())
    return run(
        folder, *(f"{key}={value}" for key, value in space.items()), "hydra/launcher=basic", f"study={study}",
        TEST_SHARE, "hydra/sweeper=optuna", f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.max_failure_rate=1", f"hydra.sweeper.study_name={study}",
        f"hydra.sweeper.storage=sqlite:///{folder / 'plain.db'}", *words,
    )  # fmt: skip


def same_trials(folder: Path, seeds: int) -> tuple[float, float]:
    """Wall time of the same configurations with the same seeds, ours and plain, s."""
    sampler = ("hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=0")
    # At least one trial is confirmed, on at least two seeds: two runs that plain does not have.
    few = ("hydra.sweeper.stop_at_target=false", "hydra.sweeper.confirm_best=1", "hydra.sweeper.confirm_seeds=2")
    few = (*few, "rule.works_share=0.1", "rule.alpha=0.4")  # which two seeds can show
    mine = ours(folder, "same", SAME, seeds, *sampler, *few, "hydra.sweeper.prune=false")
    other = sum(plain(folder, f"same{seed}", SAME, *sampler, f"seed={seed}") for seed in range(seeds))
    listed = params(folder / "outputs/same/search.db", "same")
    assert all(params(folder / "plain.db", f"same{seed}") == listed for seed in range(seeds))
    return mine, other


def search_ours(folder: Path, trials: int, seeds: int, sampler: int) -> Found:
    seed = f"hydra.sweeper.sampler.seed={sampler}"
    until = ours(folder, f"until{sampler}", trials, seeds, seed, "hydra.sweeper.confirm_best=1")
    full = ("hydra.sweeper.stop_at_target=false", f"hydra.sweeper.confirm_best={CONFIRMED}")
    seconds = ours(folder, f"full{sampler}", trials, seeds, seed, *full)
    first, last = (folder / f"outputs/{name}{sampler}/best.yaml" for name in ("until", "full"))
    met = first.exists() and yaml.safe_load(first.read_text())["target_met"]
    winner = mean(yaml.safe_load(last.read_text())["confirmed_rmse"]) if last.exists() else math.inf
    return Found(until if met else math.inf, winner, seconds)


def search_plain(folder: Path, trials: int, sampler: int) -> Found:
    name = f"plain{sampler}"
    seconds = plain(folder, name, trials, f"hydra.sweeper.sampler.seed={sampler}")
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 'plain.db'}")
    ranked = sorted((t for t in study.trials if t.values is not None), key=lambda trial: trial.values[0])
    to_target, found = math.inf, []
    record = begin(optuna.create_study(), RULE, FRESH)
    for number, trial in enumerate(ranked[:CONFIRMED]):
        words = [f"{key}={value}" for key, value in trial.params.items()]
        seconds += confirm_plain(folder, f"{name}_{number}", record, number, words)
        one = record.candidates()[number]
        answer = record.share(one).answer
        found.append((BEST_FIRST[answer], mean(one.rmse)))
        if answer is Works.YES:
            to_target = min(to_target, seconds)
    return Found(to_target, min(found, default=(0, math.inf))[1], seconds)


def confirm_plain(folder: Path, study: str, record: Record, number: int, words: list[str]) -> float:
    """Add fresh seeds until the record knows enough of this candidate; wall time, s."""
    seconds, one = 0.0, record.candidate(number)
    while not record.settled(number):
        seeds = next_round(one, record, 1)
        fresh = f"seed=range({seeds[0]},{seeds[-1] + 1})"
        seconds += run(folder, *words, TEST_SHARE, "hydra/launcher=basic", f"study={study}", fresh)
        known = (*one.seeds, *seeds)
        rmse, test = (
            tuple(read(folder / "outputs" / study, seed, key) for seed in known) for key in ("rmse", "test_rmse")
        )
        one = Candidate(number, one.place, known, rmse, test)
        record.keep(one)
    return seconds


def read(study: Path, seed: int, key: str) -> float | None:
    """A number of a run; None where the run has none."""
    path = next(study.glob(f"**/seed={seed}/metrics.json"), None)
    return None if path is None else json.loads(path.read_text())[key]


def line(name: str, unit: str, mine: float, other: float, limit: float | None) -> str:
    """One line of the result; a time or an RMSE that nothing has reached is infinite."""
    numbers = f"{name:24}{mine:9.2f} {unit:3}{other:9.2f} {unit:3}"
    if math.isinf(mine):
        return f"{numbers}     -   ours never got there"
    ratio = mine / other
    return f"{numbers}{ratio:6.2f}" + (
        "" if limit is None else f"   at most {limit:.2f}: {'met' if ratio <= limit else 'missed'}"
    )


def interval(mine: list[float], other: list[float]) -> str:
    """The 95% interval of the ratio of two medians, by resampling the sampler seeds."""

    def ratio(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.median(a) / np.median(b))

    if len(mine) < 2 or not np.isfinite([*mine, *other]).all():
        return "no interval of the winners' ratio: too few of them, or a search that has none"
    options = {"paired": True, "vectorized": False, "method": "percentile", "rng": 0}
    low, high = bootstrap((mine, other), ratio, **options).confidence_interval
    return f"winners: 95% interval of the ratio {low:.2f} to {high:.2f}"


def main() -> None:
    words = [*sys.argv[1:], *("60", "5", "3", "0")[len(sys.argv) - 1 :]]
    trials, seeds, samplers, first = (int(word) for word in words)
    start = time.perf_counter()
    mine: list[Found] = []
    other: list[Found] = []
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        same = same_trials(here, seeds)
        for sampler in range(first, first + samplers):
            turns = [(partial(search_ours, here, trials, seeds), mine), (partial(search_plain, here, trials), other)]
            # Whoever comes second may find a warmer, or a busier, machine.
            for search, found in turns if sampler % 2 == 0 else turns[::-1]:
                found.append(search(sampler))
            a, b = mine[-1], other[-1]
            print(
                f"sampler seed {sampler}: to the target {a.to_target:.1f} s, {b.to_target:.1f} s; "
                f"winner {a.winner:.2f} kg, {b.winner:.2f} kg; in all {a.seconds:.0f} s, {b.seconds:.0f} s",
                flush=True,
            )
    print(f"{SPACE}: {trials} trials, ours of {seeds} seeds each; median of {samplers} sampler seeds")
    print(f"{'':24}{'ours':>12}{'plain':>13}{'ratio':>7}")
    print(line(f"the same {SAME} trials", "s", *same, SAME_TRIALS))
    for name, unit, of, limit in (
        (f"to a confirmed {RULE.target:g} kg", "s", "to_target", TO_TARGET),
        ("winner on fresh seeds", "kg", "winner", WINNER),
        ("the whole search", "s", "seconds", None),
    ):
        print(line(name, unit, *(statistics.median(getattr(f, of) for f in found) for found in (mine, other)), limit))
    print(interval([found.winner for found in mine], [found.winner for found in other]))
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()

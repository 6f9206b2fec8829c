"""Simulated studies for the bench of verdicts: whence their runs come, and when a look at them first decides.

Runs are drawn in three ways: log-normal with the mean and sd of the RMSE that re-running the plan's arms gave; from a
mixture with the tails of real failing runs (tests.verdicts.noise); and from real runs, with replacement, by seed, so
that an arm and its control keep what they share. real_runs.csv has their RMSE in kg, 40 seeds of the plan's arms:

    python -m ssc_sweep -m hypothesis=epochs,lr,batch,ema,precision seeds=40 study=real
    python -m tests.bench.simulated outputs/real/summary.csv > tests/bench/real_runs.csv
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ssc_sweep.verdicts import sequential, share
from ssc_sweep.verdicts.judge import Verdict
from ssc_sweep.verdicts.paired import sign_flip
from tests.verdicts.noise import real_noise

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

REAL = Path(__file__).with_name("real_runs.csv")
NEVER = math.inf
AT_ONCE = 2000  # rows that are weighed at a time


@dataclass(frozen=True)
class Group:
    """Runs of one arm: mean and sd of their RMSE in kg, and the verdict that unlimited seeds would give."""

    name: str
    mean: float
    sd: float
    right: Verdict

    @property
    def log_sd(self) -> float:
        return math.sqrt(math.log1p((self.sd / self.mean) ** 2))

    @property
    def log_mean(self) -> float:
        return math.log(self.mean) - self.log_sd**2 / 2

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        """RMSE: log-normal with this mean and sd."""
        return np.exp(rng.normal(self.log_mean, self.log_sd, shape))


CONTROL = Group("control", 55.7, 28.7, Verdict.FAILS_SAME)
ARMS = (
    Group("lr 1e-4", 25.1, 6.6, Verdict.HELPS),
    Group("lr 1e-5", 70.9, 37.0, Verdict.WORSE),
    Group("batch 32", 27.7, 12.0, Verdict.HELPS),
    Group("batch 64", 21.5, 6.7, Verdict.HELPS),
    Group("precomputed statistics", 15.5, 5.9, Verdict.HELPS),
    Group("1 epoch", 80.7, 25.0, Verdict.WORSE),
    Group("shuffled rows", 5.2, 1.3, Verdict.MAKES_IT_WORK),
)


@cache
def real_runs() -> pd.DataFrame:
    """RMSE, kg: a row a seed, a column an arm."""
    return pd.read_csv(REAL, index_col="seed")


def resampled(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """RMSE of runs of the failing configuration, drawn from the real ones."""
    return rng.choice(real_runs()["control"].to_numpy(), shape)


@dataclass(frozen=True)
class Effect:
    """Log differences of an arm from its control.

    Attributes:
        draw: differences of a shape, the last axis seeds.
        centre: the true one where they are symmetric about it; None where they need not be.
    """

    name: str
    draw: Draw
    centre: float | None


def effects() -> list[Effect]:
    """Those of the plan's arms as log-normals, one with the tails of failing runs, and the real ones."""

    def of_group(arm: Group) -> Draw:
        return lambda rng, shape: np.log(arm.draw(rng, shape)) - np.log(CONTROL.draw(rng, shape))

    def of_real(name: str) -> Draw:
        table = real_runs()
        x = np.log(table[name].to_numpy()) - np.log(table["control"].to_numpy())
        return lambda rng, shape: rng.choice(x, shape)

    def tails(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        return math.log(0.6) + np.log(real_noise(rng, shape)) - np.log(real_noise(rng, shape))

    drawn = [Effect(arm.name, of_group(arm), arm.log_mean - CONTROL.log_mean) for arm in ARMS]
    real = [Effect(f"real: {name}", of_real(name), None) for name in real_runs() if name != "control"]
    return [*drawn, Effect("0.6 times, heavy tails", tails, math.log(0.6)), *real]


# Looks after every seed. Differences are (studies, seeds), all finite; what is returned says of each study the seeds
# after which the answer is there first, NEVER where it does not come. These ask for the wealth at one centre only; the
# intervals of ssc_sweep.verdicts are where it is too small, so both say the same (tests/verdicts/test_simulated.py).


def first(decided: NDArray[np.bool_]) -> Floats:
    """Along the last axis: the number, from 1, of the first that is True."""
    return np.where(decided.any(axis=-1), decided.argmax(axis=-1) + 1.0, NEVER)


def above(x: Floats, centre: float, level: float) -> NDArray[np.bool_]:
    """Whether the interval at `level` lies above this centre, after each seed; shape of x."""
    needed, n = math.log(2 / level), np.arange(1.0, x.shape[-1] + 1)
    mean = np.cumsum(x, axis=-1) / n
    variance = np.maximum(np.cumsum(x**2, axis=-1) / n - mean**2, 0) * n / np.maximum(n - 1, 1)
    half = stats.t.isf(level / 2, np.maximum(n - 1, 1)) * np.sqrt(variance / n)
    rejected = [
        sequential.log_wealth(part - centre, sequential.spreads(part)) >= needed
        for part in np.array_split(x, max(1, math.ceil(len(x) / AT_ONCE)))
    ]
    return np.logical_or.accumulate(np.concatenate(rejected), axis=-1) & (mean - half > centre) & (n > 1)


def below(x: Floats, centre: float, level: float) -> NDArray[np.bool_]:
    return above(-x, -centre, level)


def first_outside(x: Floats, centre: float, level: float) -> Floats:
    """Seeds after which the interval does not hold this centre."""
    return first(above(x, centre, level) | below(x, centre, level))


def first_within(x: Floats, margin: float, level: float) -> Floats:
    """Seeds after which the interval lies within the margin on both sides."""
    return first(above(x, -margin, level) & below(x, margin, level))


def share_rejected(k: Floats, t: Floats, q: float, level: float) -> NDArray[np.bool_]:
    """Whether k of t runs that work rule out the share q."""
    return share.log_wealth(k, t, np.full(np.broadcast_shapes(k.shape, t.shape), q)) >= math.log(1 / level)


def share_chances(true: float, works_share: float, level: float, n: int) -> tuple[Floats, Floats]:
    """Chances that an arm whose runs work with chance `true` is told that it works, or does not, by each look.

    Exact: the chance of every count that has not decided is carried from run to run.

    Returns:
        (yes, no), each of shape (n + 1,): after 0 to n runs.
    """
    chance, yes, no = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    chance[0] = 1.0
    for t in range(1, n + 1):
        chance[1:] = chance[1:] * (1 - true) + chance[:-1] * true
        chance[0] *= 1 - true
        k = np.arange(t + 1.0)
        out = share_rejected(k, np.full(t + 1, float(t)), works_share, level)
        above = k / t > works_share
        yes[t] = yes[t - 1] + chance[: t + 1][out & above].sum()
        no[t] = no[t - 1] + chance[: t + 1][out & ~above].sum()
        chance[: t + 1][out] = 0.0
    return yes, no


def fixed_power(effect: Effect, n: int, level: float, studies: int, rank: bool = False) -> float:
    """How often the sign-flip test of the mean, or the signed-rank test, of n pairs decides; the draws depend on n."""
    x = effect.draw(np.random.default_rng(n), (studies, n))
    if rank:
        return float(np.mean(stats.wilcoxon(x, axis=1).pvalue < level))
    p = np.concatenate([sign_flip(part, level)[0] for part in np.array_split(x, max(1, studies // 25))])
    return float(np.mean(p < level))


def fixed_seeds(effect: Effect, level: float, studies: int, rank: bool = False, power: float = 0.8) -> int:
    """The fewest seeds at which such a test decides that often; steps of at most 2%."""
    x = effect.draw(np.random.default_rng(0), (100_000,))
    d = abs(float(x.mean())) / float(x.std())
    # A guess: the t test.
    n = math.floor(math.log2(2 / level)) + 1
    while stats.nct.sf(stats.t.isf(level / 2, n - 1), n - 1, min(d * math.sqrt(n), 37.0)) < power:
        n += max(1, n // 50)
    if fixed_power(effect, n, level, studies, rank) < power:
        while fixed_power(effect, n, level, studies, rank) < power:
            n += max(1, n // 50)
        return n
    while n > 2 and fixed_power(effect, fewer := n - max(1, n // 50), level, studies, rank) >= power:
        n = fewer
    return n


def main() -> None:
    runs = pd.read_csv(sys.argv[1])
    table = pd.DataFrame(
        {arm.partition("/")[2] or arm: mine.set_index("seed")["rmse"] for arm, mine in runs.groupby("arm")}
    ).sort_index()
    table.round(6).to_csv(sys.stdout)


if __name__ == "__main__":
    main()

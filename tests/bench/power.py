"""How often the verdict is right at the plan's effect sizes: python -m tests.bench.power, two minutes.

Each study has a control and seven arms, Holm-adjusted together. Runs are independent draws, log-normal with the mean
and sd of the RMSE (kg) that re-running the plan's arms gave; the right verdict is the one that unlimited seeds would
give. The last row is an arm that changes nothing, in a study of its own.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssc_sweep.verdicts.evidence import Evidence, seeds_needed, weigh
from ssc_sweep.verdicts.judge import Verdict, judge, judge_study
from ssc_sweep.verdicts.paired import equivalence, sign_flip
from ssc_sweep.verdicts.rule import Rule

Floats = NDArray[np.float64]

RULE = Rule(target=15.0)
SEEDS = (5, 10, 20, 40)
STUDIES = 500
LIMIT_STUDIES = 1000
ADVISED, MOST_TRIED = (5, 10, 20), 300


@dataclass(frozen=True)
class Group:
    """Runs of one arm: mean and sd of their RMSE in kg, and the verdict that is right for it."""

    name: str
    mean: float
    sd: float
    right: Verdict

    def draw(self, rng: np.random.Generator, n: int) -> Floats:
        """RMSE of n runs: log-normal with this mean and sd."""
        variance = math.log1p((self.sd / self.mean) ** 2)
        return np.exp(rng.normal(math.log(self.mean) - variance / 2, math.sqrt(variance), n))


CONTROL = Group("control", 55.7, 28.7, Verdict.NO_DIFFERENCE)
ARMS = (
    Group("lr 1e-4", 25.1, 6.6, Verdict.HELPS),
    Group("lr 1e-5", 70.9, 37.0, Verdict.WORSE),
    Group("batch 32", 27.7, 12.0, Verdict.HELPS),
    Group("batch 64", 21.5, 6.7, Verdict.HELPS),
    Group("precomputed statistics", 15.5, 5.9, Verdict.HELPS),
    Group("1 epoch", 80.7, 25.0, Verdict.WORSE),
    Group("shuffled rows", 5.2, 1.3, Verdict.MAKES_IT_WORK),
)


def real_noise(rng: np.random.Generator, shape: tuple[int, ...], clamped: float = 0.4) -> Floats:
    """RMSE (kg) like that of real failing runs: a share near 99, where predictions hit their bound, others near 32."""
    stuck, free = rng.normal(99, 2.5, shape), 32 * np.exp(rng.normal(0, 0.45, shape))
    return np.where(rng.random(shape) < clamped, stuck, free)


def log_mean(clamped: float) -> float:
    """Mean of the log of `real_noise`."""
    return clamped * (math.log(99) - 0.5 * (2.5 / 99) ** 2) + (1 - clamped) * math.log(32)


def covered(clamped: float, n: int, rng: np.random.Generator) -> float:
    """How often the interval holds the true difference: failing runs, a share of them clamped, against a calm arm."""
    noisy, calm = real_noise(rng, (LIMIT_STUDIES, n), clamped), rng.normal(0, 0.1, (LIMIT_STUDIES, n))
    x = np.log(noisy) - log_mean(clamped) - calm
    ends = [sign_flip(part, RULE.alpha)[1:] for part in np.array_split(x, LIMIT_STUDIES // 50)]
    low, high = (np.concatenate(side) for side in zip(*ends, strict=True))
    return float(np.mean((low <= 0) & (high >= 0)))


def called_the_same(x: Floats) -> float:
    """Share of the studies, one a row, whose test of equivalence finds no difference beyond the margin."""
    return float(np.mean([equivalence(row, RULE.log_margin) < RULE.alpha for row in x]))


def differences(rng: np.random.Generator, n: int) -> dict[str, Floats]:
    """Log differences whose mean lies at the margin or beyond it, so that "the same" is false."""
    shape = (LIMIT_STUDIES, n)
    skewed = np.exp(rng.normal(0, 1, shape)) - math.exp(0.5)
    jumps = np.where(rng.random(shape) < 0.1, math.log(4), 0.0) + rng.normal(0, 0.01, shape)
    return {
        "normal, sd 0.1": RULE.log_margin + rng.normal(0, 0.1, shape),
        "log-normal, skewed to one side": RULE.log_margin + 0.1 * skewed,
        "nine of ten pairs equal, the tenth 4 times worse": jumps,
    }


def shares_right(n: int, rng: np.random.Generator) -> dict[str, float]:
    """Share of studies of n seeds in which an arm gets its right verdict."""
    right = dict.fromkeys([arm.name for arm in ARMS] + ["no change"], 0)
    for _ in range(STUDIES):
        control = CONTROL.draw(rng, n)
        found = judge_study({arm.name: (arm.draw(rng, n), control) for arm in ARMS}, RULE)
        for arm in ARMS:
            right[arm.name] += found[arm.name].verdict is arm.right
        right["no change"] += judge(CONTROL.draw(rng, n), control, RULE).verdict is CONTROL.right
    return {name: count / STUDIES for name, count in right.items()}


def level_evidence(sd: float) -> Evidence:
    """The evidence of 20 pairs whose log differences have mean 0 and this sd."""
    x = np.tile([-1.0, 1.0], 10)
    return weigh(np.exp(x * sd / x.std(ddof=1)), np.ones(20), RULE)


def advice(n: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Percentiles of the seeds that an arm of ratio 0.6 is advised after n pairs, and how often that many decided."""
    told, right = [], []
    while len(told) < STUDIES // 2:
        arm, control = 0.6 * real_noise(rng, (n,)), real_noise(rng, (n,))
        found = judge(arm, control, RULE)
        if found.seeds_needed is None:
            continue
        told.append(found.seeds_needed)
        if found.seeds_needed <= MOST_TRIED:
            shape = (found.seeds_needed,)
            again = judge(0.6 * real_noise(rng, shape), real_noise(rng, shape), RULE)
            right.append(again.verdict is Verdict.HELPS)
    low, middle, high = np.percentile(told, (10, 50, 90))
    return float(low), float(middle), float(high), float(np.mean(right))


def print_limits(rng: np.random.Generator) -> None:
    """Where differences are so far from normal that neither the interval nor "no difference" keeps its word."""
    print("\n| share of clamped runs | interval covers, 10 seeds | 20 seeds | 40 seeds |\n|---|---:|---:|---:|")
    for clamped in (0.4, 0.7, 0.9):
        print(f"| {clamped:.0%} |" + "".join(f" {covered(clamped, n, rng):.1%} |" for n in SEEDS[1:]))
    print('\n| differences at the margin or beyond | false "no difference", 10 seeds | 20 seeds | 40 seeds |')
    print("|---|---:|---:|---:|")
    drawn = {n: differences(rng, n) for n in SEEDS[1:]}
    for name in drawn[SEEDS[1]]:
        print(f"| {name} |" + "".join(f" {called_the_same(drawn[n][name]):.1%} |" for n in SEEDS[1:]))


def main() -> None:
    begin = time.perf_counter()
    rng = np.random.default_rng(0)
    power = {n: shares_right(n, rng) for n in SEEDS}
    print("| arm | RMSE, kg | right verdict |" + "".join(f" {n} seeds |" for n in SEEDS))
    print("|---|---|---|" + "---:|" * len(SEEDS))
    for arm in (*ARMS, Group("no change", CONTROL.mean, CONTROL.sd, CONTROL.right)):
        cells = "".join(f" {power[n][arm.name]:.0%} |" for n in SEEDS)
        print(f"| {arm.name} | {arm.mean} \u00b1 {arm.sd} | {arm.right} |{cells}")
    log_sd = math.sqrt(math.log1p((CONTROL.sd / CONTROL.mean) ** 2))
    needed = seeds_needed(level_evidence(math.sqrt(2) * log_sd), 1, RULE)
    print(f"\nequal arms whose log RMSE differs by an sd of {math.sqrt(2) * log_sd:.2f}: about {needed} seeds show it")
    print("\n| pairs so far | advised seeds, 10th percentile | median | 90th | decided by that many |")
    print("|---|---:|---:|---:|---:|")
    for n in ADVISED:
        low, middle, high, right = advice(n, rng)
        print(f"| {n} | {low:.0f} | {middle:.0f} | {high:.0f} | {right:.0%} |")
    print_limits(np.random.default_rng(1))
    print(f"\n{STUDIES} simulated studies a column, {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()

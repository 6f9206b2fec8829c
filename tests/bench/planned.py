"""How often a verdict is right after so many seeds, and where none keeps its word; printed by tests.bench.verdicts.

The right verdict is the one that unlimited seeds would give. A planned number of seeds is judged by the fixed test;
under seeds=auto the loop that conducts a study decides when to stop, with runs drawn instead of trained.
"""

import math
from collections.abc import Sequence

import numpy as np

from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.job import Outcome, Status
from ssc_sweep.study.judged import comparison
from ssc_sweep.study.rounds import Limits, Outcomes, Progress, until_decided
from ssc_sweep.verdicts.evidence import Matters, difference
from ssc_sweep.verdicts.judge import Judgement, judge_study
from ssc_sweep.verdicts.paired import sign_flip
from ssc_sweep.verdicts.planning import seeds_for_difference
from ssc_sweep.verdicts.rule import Rule
from tests.bench.simulated import ARMS, CONTROL, Floats, Group, above, below
from tests.verdicts.alone import judge
from tests.verdicts.noise import log_mean, real_noise

FIXED, AUTO = Rule(target=15.0), Rule(target=15.0, sequential=True)
SEEDS = (5, 10, 20, 40)
STUDIES, AUTO_STUDIES, LIMIT_STUDIES = 200, 60, 1000
MOST_SEEDS = 100
NO_CHANGE = Group("no change", CONTROL.mean, CONTROL.sd, CONTROL.right)
ADVISED, MOST_TRIED = (5, 10, 20), 300


def by_seed(values: Floats) -> dict[int, float]:
    return dict(enumerate(values.tolist()))


# Power


def shares_right(n: int, rng: np.random.Generator) -> dict[str, float]:
    """Share of studies of n seeds in which an arm gets its right verdict. No change: a study of its own."""
    right = dict.fromkeys([arm.name for arm in (*ARMS, NO_CHANGE)], 0)
    for _ in range(STUDIES):
        rmse = {group.name: by_seed(group.draw(rng, (n,))) for group in (CONTROL, *ARMS, NO_CHANGE)}
        found = judge_study(rmse, {arm.name: (arm.name, CONTROL.name) for arm in ARMS}, FIXED)
        found |= judge_study(rmse, {NO_CHANGE.name: (NO_CHANGE.name, CONTROL.name)}, FIXED)
        for arm in (*ARMS, NO_CHANGE):
            right[arm.name] += found[arm.name].verdict is arm.right
    return {name: count / STUDIES for name, count in right.items()}


def conducted(groups: Sequence[Group], rng: np.random.Generator, most: int = MOST_SEEDS) -> dict[str, Judgement]:
    """The verdicts of a study under seeds=auto of these arms against CONTROL."""
    rmse = {group.name: group.draw(rng, (most,)) for group in (CONTROL, *groups)}
    arms = [Arm(CONTROL.name, CONTROL.name, None, None, ())]
    arms += [Arm(group.name, group.name, "h", CONTROL.name, ()) for group in groups]
    progress: list[Progress] = []

    def train(wanted: Sequence[tuple[str, int]]) -> Outcomes:
        return {(name, seed): Outcome(Status.FINISHED, {"rmse": rmse[name][seed]}) for name, seed in wanted}

    limits = Limits(max_seeds=most, time_budget_s=None, first_seed=0)
    until_decided(arms, arms, AUTO, limits, train, progress.append)
    return {arm.folder: progress[-1].judged[comparison(arm)] for arm in arms[1:]}


def print_power(rng: np.random.Generator) -> None:
    print("\nShare of studies with the right verdict. Seven arms a study, log-normal; no change: a study of its own.\n")
    power = {n: shares_right(n, rng) for n in SEEDS}
    auto = [conducted(ARMS, rng) | conducted([NO_CHANGE], rng) for _ in range(AUTO_STUDIES)]
    print("| arm | RMSE, kg | right verdict |" + "".join(f" {n} seeds |" for n in SEEDS), end="")
    print(f" auto, {MOST_SEEDS} at most | its seeds: half | 80% |")
    print("|---|---|---|" + "---:|" * (len(SEEDS) + 3))
    for arm in (*ARMS, NO_CHANGE):
        cells = "".join(f" {power[n][arm.name]:.0%} |" for n in SEEDS)
        found = [study[arm.name] for study in auto]
        right = np.mean([one.verdict is arm.right for one in found])
        half, most = np.quantile([one.works.n for one in found], (0.5, 0.8), method="higher")
        cells += f" {right:.0%} | {half:.0f} | {most:.0f} |"
        print(f"| {arm.name} | {arm.mean} \u00b1 {arm.sd} | {arm.right} |{cells}")
    print(f"\n{STUDIES} studies a planned number, {AUTO_STUDIES} under seeds=auto.")
    log_sd = math.sqrt(2) * CONTROL.log_sd
    x = np.tile([-1.0, 1.0], 10)
    seen = difference(x * log_sd / x.std(ddof=1), AUTO.level(3), FIXED)
    needed = seeds_for_difference(seen, AUTO.level(3), FIXED)
    print(f"Equal arms whose log RMSE differs by an sd of {log_sd:.2f}: about {needed} seeds show it.")


# Advice


def advice(n: int, rule: Rule, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Percentiles of the seeds that an arm of ratio 0.6 is advised after n pairs, and how often that many decided."""
    told, right = [], []
    while len(told) < STUDIES:
        arm, control = 0.6 * real_noise(rng, (n,)), real_noise(rng, (n,))
        found = judge(by_seed(arm), by_seed(control), rule).seeds_matter
        if found is None:
            continue
        told.append(found)
        if found <= MOST_TRIED:
            again = np.log(0.6 * real_noise(rng, (found,)) / real_noise(rng, (found,)))
            right.append(difference(again, rule.level(3), rule).answer is Matters.BETTER)
    low, middle, high = np.percentile(told, (10, 50, 90))
    return float(low), float(middle), float(high), float(np.mean(right))


def print_advice(rng: np.random.Generator) -> None:
    print("\nAn arm at 0.6 times the control's RMSE, heavy tails: seeds advised to tell whether it matters, and how")
    print(f"often a fresh study of as many (up to {MOST_TRIED}) tells.\n")
    print("| seeds | pairs so far | advised: 10th percentile | median | 90th | that many tell |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, rule in (("planned", FIXED), ("auto", AUTO)):
        for n in ADVISED:
            low, middle, high, right = advice(n, rule, rng)
            print(f"| {name} | {n} | {low:.0f} | {middle:.0f} | {high:.0f} | {right:.0%} |")


# Limits


def clamped_against_calm(clamped: float, n: int, rng: np.random.Generator) -> Floats:
    """Differences, less their mean, of failing runs, a share of them clamped, against an arm that hardly scatters."""
    noisy, calm = real_noise(rng, (LIMIT_STUDIES, n), clamped), rng.normal(0, 0.1, (LIMIT_STUDIES, n))
    return np.log(noisy) - log_mean(clamped) - calm


def covered(x: Floats) -> float:
    """How often the fixed 95% interval of differences (studies, n) holds 0."""
    ends = [sign_flip(part, FIXED.alpha)[1:] for part in np.array_split(x, len(x) // 50)]
    low, high = (np.concatenate(side) for side in zip(*ends, strict=True))
    return float(np.mean((low <= 0) & (high >= 0)))


def called_the_same(x: Floats) -> float:
    """Share of the studies, one a row, whose fixed 95% interval lies within the margin."""
    ends = [sign_flip(part, FIXED.alpha)[1:] for part in np.array_split(x, len(x) // 50)]
    low, high = (np.concatenate(side) for side in zip(*ends, strict=True))
    return float(np.mean((low > -FIXED.log_margin) & (high < FIXED.log_margin)))


def odd_differences(rng: np.random.Generator, n: int) -> dict[str, Floats]:
    """Log differences whose mean lies at the margin or beyond it, so that "the same" is false."""
    shape = (LIMIT_STUDIES, n)
    skewed = np.exp(rng.normal(0, 1, shape)) - math.exp(0.5)
    jumps = np.where(rng.random(shape) < 0.1, math.log(4), 0.0) + rng.normal(0, 0.01, shape)
    return {
        "normal, sd 0.1": FIXED.log_margin + rng.normal(0, 0.1, shape),
        "log-normal, skewed to one side": FIXED.log_margin + 0.1 * skewed,
        "nine of ten pairs equal, the tenth 4 times worse": jumps,
    }


def print_limits(rng: np.random.Generator) -> None:
    last, between = SEEDS[-1], MOST_SEEDS
    head = "".join(f" {n} seeds |" for n in SEEDS[1:])
    head += f" auto, {last} seeds | {between} | at every look to {between} |"
    line = "|---|" + "---:|" * (len(SEEDS) + 2)
    print("\nHow often a 95% interval holds the mean log difference; runs partly clamped against calm ones:\n")
    print(f"| share of clamped runs |{head}\n{line}")
    for clamped in (0.4, 0.7, 0.9):
        cells = [covered(clamped_against_calm(clamped, n, rng)) for n in SEEDS[1:]]
        x = clamped_against_calm(clamped, between, rng)
        holds = ~(above(x, 0.0, AUTO.alpha) | below(x, 0.0, AUTO.alpha))
        cells += [float(holds[:, n - 1].mean()) for n in (last, between)] + [float(holds.all(axis=1).mean())]
        print(f"| {clamped:.0%} |" + "".join(f" {cell:.1%} |" for cell in cells))
    print('\nHow often "no difference" is said, at 95%, of differences whose mean lies at the margin or beyond:\n')
    print(f"| differences |{head.replace('every', 'some')}\n{line}")
    drawn = {n: odd_differences(rng, n) for n in (*SEEDS[1:], between)}
    for name, x in drawn[between].items():
        cells = [called_the_same(drawn[n][name]) for n in SEEDS[1:]]
        told = above(x, -AUTO.log_margin, AUTO.alpha) & below(x, AUTO.log_margin, AUTO.alpha)
        cells += [float(told[:, n - 1].mean()) for n in (last, between)] + [float(told.any(axis=1).mean())]
        print(f"| {name} |" + "".join(f" {cell:.1%} |" for cell in cells))


def main() -> None:
    print_power(np.random.default_rng(3))
    print_advice(np.random.default_rng(4))
    print_limits(np.random.default_rng(5))


if __name__ == "__main__":
    main()

"""Whether verdicts keep their word, and how many seeds they take: python -m tests.bench.verdicts, some minutes.

Simulated studies with runs of tests.bench.simulated. A study of eight arms makes 17 claims, so that an interval of
seeds=auto has level 0.05 / 17. Chances of the share that works are exact; those of the other question are simulated.
What planned numbers of seeds, advice and odd differences are worth: tests.bench.planned, printed after this.
"""

import math
import time

import numpy as np
from scipy import optimize, stats

from ssc_sweep.verdicts import sequential
from ssc_sweep.verdicts.rule import Rule
from tests.bench import planned
from tests.bench.simulated import (
    ARMS,
    CONTROL,
    Draw,
    Effect,
    Floats,
    effects,
    first,
    first_outside,
    first_within,
    fixed_seeds,
    real_runs,
    resampled,
    share_chances,
    share_rejected,
)
from tests.verdicts.noise import real_noise

RULE = Rule(target=15.0, sequential=True)
STUDIES, LOOKS = 2000, 200
EIGHT, ONE = RULE.level(17), RULE.level(3)  # of a study of eight arms, of one
HOLM = RULE.alpha / 8  # the smallest level that Holm's adjustment asks of eight tests of one question
FIXED_STUDIES, SEQUENTIAL_STUDIES = 400, 1000
MOST_FIXED = 400  # an effect that takes a fixed test more seeds than these is left out
MOST_TIMES = 1.3

TRUE_SHARES = (0.1, 0.5, 0.8, 0.95)


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


# False claims


def mixture_quantile(q: float) -> float:
    """RMSE below which a share q of the runs of the mixture lies."""

    def beyond(value: float) -> float:
        return float(0.4 * stats.norm.cdf(value, 99, 2.5) + 0.6 * stats.norm.cdf(math.log(value / 32) / 0.45) - q)

    return float(optimize.brentq(beyond, 1.0, 200.0))


def real_quantile(q: float) -> float:
    """RMSE below which a share q of the real runs of the control lies, exactly."""
    ordered = np.sort(real_runs()["control"].to_numpy())
    at = round(q * len(ordered))
    assert math.isclose(at, q * len(ordered)) and ordered[at - 1] < ordered[at]
    return float(ordered[at - 1 : at + 1].mean())


def false_claims(draw: Draw, targets: dict[float, float], rng: np.random.Generator) -> dict[float, tuple[float, ...]]:
    """Shares of null studies of eight arms that claim a difference, that claim a wrong share, that do either.

    Args:
        targets: true share of runs that work -> the target that makes it so.
    """
    counts = {true: np.zeros(3, int) for true in targets}
    for _ in range(STUDIES // 100):
        rmse = draw(rng, (100, 9, LOOKS))
        x = np.log(rmse[:, 1:] / rmse[:, :1])
        differs = np.isfinite(first_outside(x.reshape(-1, LOOKS), 0.0, EIGHT)).reshape(100, 8).any(axis=1)
        for true, target in targets.items():
            k, t = np.cumsum(rmse < target, axis=-1, dtype=float), np.arange(1.0, LOOKS + 1)
            out = share_rejected(k, t, RULE.works_share, EIGHT)
            above = k / t > RULE.works_share
            wrong = out if true == RULE.works_share else out & (above if true < RULE.works_share else ~above)
            share_wrong = wrong.any(axis=(1, 2))
            counts[true] += [differs.sum(), share_wrong.sum(), (differs | share_wrong).sum()]
    return {true: tuple(count / STUDIES) for true, count in counts.items()}


def print_false_claims(rng: np.random.Generator) -> None:
    print(f"{STUDIES:,} studies of eight arms like their control, a look after every seed up to {LOOKS}:")
    print("\n| runs | truly work | false on whether it matters | on whether it works | on either |")
    print("|---|---:|---:|---:|---:|")
    worst = 0.0
    for name, draw, quantile in (
        ("heavy-tailed mixture", real_noise, mixture_quantile),
        ("real, resampled", resampled, real_quantile),
    ):
        for true, found in false_claims(draw, {q: quantile(q) for q in TRUE_SHARES}, rng).items():
            print(f"| {name} | {true:.0%} |" + "".join(f" {value:.2%} |" for value in found))
            worst = max(worst, found[2])
    print(f"\nany false claim: at most {worst:.2%} of studies (aim: 5%): {verdict(worst <= 0.05)}")


# Coverage


def print_coverage(rng: np.random.Generator, known: list[Effect]) -> None:
    print(f"\nThe 95% confidence sequence holds the centre at each of {LOOKS} looks, {STUDIES:,} studies of one arm:")
    print("\n| differences | holds it at every look |\n|---|---:|")
    pairs = {
        "mixture, arm 0.6 times the control": lambda shape: (
            math.log(0.6) + np.log(real_noise(rng, shape) / real_noise(rng, shape))
        ),
        "real runs of the control, resampled, arm 0.6 times": lambda shape: (
            math.log(0.6) + np.log(resampled(rng, shape) / resampled(rng, shape))
        ),
    }
    drawn = {name: (draw, math.log(0.6)) for name, draw in pairs.items()}
    worst = 1.0
    for name, (draw, centre) in drawn.items():
        held = np.mean(np.isinf(first_outside(draw((STUDIES, LOOKS)), centre, RULE.alpha)))
        print(f"| {name} | {held:.1%} |")
        worst = min(worst, float(held))
    for effect in known:
        x = effect.draw(rng, (STUDIES, LOOKS))
        held = np.mean(np.isinf(first_outside(x, effect.centre, RULE.alpha)))
        print(f"| {effect.name} (log-normal) | {held:.1%} |")
        worst = min(worst, float(held))
    together = whole_studies(rng)
    print(f"\nall 15 intervals of a study of seven arms at once, at every look: {together:.1%}")
    print(f"aim: 95%: {verdict(min(worst, together) >= 0.95)}")


def whole_studies(rng: np.random.Generator) -> float:
    """Share of studies of the seven log-normal arms all of whose intervals hold the truth at every look."""
    level = RULE.level(2 * len(ARMS) + 1)
    log_control = np.log(CONTROL.draw(rng, (STUDIES, LOOKS)))
    right = np.ones(STUDIES, bool)
    for group in (CONTROL, *ARMS):
        log_rmse = log_control if group is CONTROL else np.log(group.draw(rng, (STUDIES, LOOKS)))
        true = float(stats.norm.cdf((math.log(RULE.threshold) - group.log_mean) / group.log_sd))
        k = np.cumsum(log_rmse < math.log(RULE.threshold), axis=-1, dtype=float)
        right &= ~share_rejected(k, np.arange(1.0, LOOKS + 1), true, level).any(axis=-1)
        if group is not CONTROL:
            right &= np.isinf(first_outside(log_rmse - log_control, group.log_mean - CONTROL.log_mean, level))
    return float(right.mean())


# Seeds that it takes


def typical(ratios: list[float]) -> float:
    return math.exp(float(np.mean(np.log(ratios))))


def print_seeds(rng: np.random.Generator) -> None:
    print(
        "\nSeeds until it is known that an arm matters, in a study of eight. Fixed: the fewest with 80% power, for the"
    )
    print("sign-flip test of the mean and the signed-rank test at the same level, and for sign flips at alpha / 8.")
    print("Auto: half, 80% and 95% of studies decide within so many.\n")
    print("| effect | fixed: flips | ranks | flips, Holm | auto: half | 80% | 95% | half / best fixed | half / Holm |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    ratios, holm_ratios, most_ratios = [], [], []
    for effect in effects():
        x = effect.draw(rng, (100_000,))
        # The normal approximation to the fewest seeds.
        rough = ((stats.norm.isf(EIGHT / 2) + stats.norm.ppf(0.8)) * x.std() / x.mean()) ** 2
        if rough > MOST_FIXED:
            print(f"| {effect.name} | about {rough:,.0f} | | | | | | | |")
            continue
        flips = fixed_seeds(effect, EIGHT, FIXED_STUDIES)
        ranks = fixed_seeds(effect, EIGHT, FIXED_STUDIES, rank=True)
        holm = fixed_seeds(effect, HOLM, FIXED_STUDIES)
        looked = first_outside(effect.draw(rng, (SEQUENTIAL_STUDIES, 4 * flips)), 0.0, EIGHT)
        half, most, nearly = np.quantile(looked, (0.5, 0.8, 0.95), method="higher")
        ratios.append(half / min(flips, ranks))
        holm_ratios.append(half / holm)
        most_ratios.append(most / min(flips, ranks))
        counts = f"{flips} | {ranks} | {holm} | {half:.0f} | {most:.0f} | {nearly:.0f}"
        print(f"| {effect.name} | {counts} | {ratios[-1]:.2f} | {holm_ratios[-1]:.2f} |", flush=True)
    met = verdict(max(ratios) <= MOST_TIMES)
    print("\nTimes the best fixed number at the same level, half of the studies decide within")
    print(f"{max(ratios):.2f} at worst, {typical(ratios):.2f} on average (aim: at most {MOST_TIMES} at worst): {met}")
    print(f"the same beside the fixed number at alpha / 8: {max(holm_ratios):.2f} and {typical(holm_ratios):.2f}")
    print(f"80% of studies decide within {typical(most_ratios):.2f} times the best fixed number on average")
    print("\nNo difference beyond 10%, arms alike, log differences normal:\n")
    print("| sd of the log difference | half of studies | 80% |\n|---|---:|---:|")
    for sd in (0.01, 0.03, 0.1, 0.2):
        looked = first_within(rng.normal(0, sd, (SEQUENTIAL_STUDIES, 400)), RULE.log_margin, EIGHT)
        half, most = np.quantile(looked, (0.5, 0.8), method="higher")
        print(f"| {sd} | {half:.0f} | {most:.0f} |")


# The share that works


def reached(chances: Floats, wanted: float) -> str:
    """The seeds after which a chance is at least what is wanted."""
    seeds = float(first(chances >= wanted)) - 1
    return f"{seeds:.0f}" if math.isfinite(seeds) else f"> {len(chances) - 1}"


def print_shares() -> None:
    print("\nWhether it works, works_share 0.8, exact chances:\n")
    print("| arms | truly work | told yes: within 50 | 100 | 200 | told no: within 12 | 100 | 200 | half by | 80% |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for arms, level in ((1, ONE), (8, EIGHT)):
        for true in (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 1.0):
            yes, no = share_chances(true, RULE.works_share, level, 600)
            chances = [yes[n] for n in (50, 100, 200)] + [no[n] for n in (12, 100, 200)]
            told = "".join(f" {chance:.1%} |" for chance in chances)
            seeds = " | |"
            if true != RULE.works_share:
                known = yes if true > RULE.works_share else no
                seeds = f" {reached(known, 0.5)} | {reached(known, 0.8)} |"
            print(f"| {arms} | {true:.0%} |{told}{seeds}")
    boundary = max(share_chances(0.8, 0.8, level, LOOKS)[0][-1] for level in (ONE, EIGHT))
    good = min(share_chances(0.97, 0.8, level, 100)[0][-1] for level in (ONE, EIGHT))
    bad = min(share_chances(0.1, 0.8, level, 12)[1][-1] for level in (ONE, EIGHT))
    print(f"\nworks in 80% of seeds, called working: {boundary:.2%} (aim: at most 5%): {verdict(boundary <= 0.05)}")
    print(f"works in 97%, called working within 100: {good:.1%} (aim: at least 80%): {verdict(good >= 0.8)}")
    print(f"works in 10%, told so within 12 seeds: {bad:.1%} (aim: at least 90%): {verdict(bad >= 0.9)}")
    print("\nSeeds that show that an arm works which does in 97%, among eight, by works_share:")
    for share in (0.7, 0.8, 0.9):
        yes, _ = share_chances(0.97, share, EIGHT, 600)
        print(f"  {share}: half of studies within {reached(yes, 0.5)}, 80% within {reached(yes, 0.8)}")


def main() -> None:
    begin = time.perf_counter()
    print_false_claims(np.random.default_rng(0))
    print_coverage(np.random.default_rng(1), effects()[: len(ARMS)])
    print_seeds(np.random.default_rng(2))
    print_shares()
    planned.main()
    print(
        f"\n{time.perf_counter() - begin:.0f} s; fewest seeds that can decide among eight: {sequential.fewest(EIGHT)}"
    )


if __name__ == "__main__":
    main()

"""The numbers of one arm against its control, seed by seed, and how many seeds would decide."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ssc_sweep.verdicts.paired import EQUAL, SMALLEST_P, Floats, equivalence, fewest, sign_flip, spread
from ssc_sweep.verdicts.rule import Rule

FEWEST_FOR_A_GUESS = 5  # from fewer pairs nothing is concluded about the spread
ENOUGH_POWER = 0.8  # chance of a decision at the number of seeds that is called enough
MOST_SEEDS = 100_000  # more than this is not called a number of seeds


@dataclass(frozen=True)
class Evidence:
    """What one arm's runs say against the control's, seed by seed. Ratios are arm / control: below 1 is better.

    Attributes:
        n_seeds: seeds at which both sides ran, lost runs included.
        n_pairs: seeds at which both sides have an RMSE; all of mean, sd, interval and p_value is about these.
        n_lost: the arm's runs without an RMSE.
        n_lost_control: the control's.
        n_lost_alone: seeds at which the arm was lost and the control was not.
        n_lost_alone_control: seeds at which the control was lost and the arm was not.
        ratio: of the geometric mean RMSE, exp(log_mean); NaN without pairs.
        ratio_low, ratio_high: its 1 - alpha interval; 0 and inf where there are too few pairs for one.
        log_mean: mean log difference.
        log_sd: its standard deviation over seeds; NaN below two pairs.
        d_z: log_mean / log_sd, the paired effect size; NaN where the sd is 0 or unknown.
        wins, ties, losses: seeds at which the arm's RMSE is lower, equal, higher; a lost run loses against one that
            is not, and two lost ones tie.
        p_value: two-sided sign-flip test of no difference.
        p_lost: two-sided exact test that both sides are lost equally often; None where no seed was lost on one side.
        p_tost: test that the difference lies beyond the margin; small means it does not.
        works, works_control: runs with an RMSE below the target, of n_seeds.
    """

    n_seeds: int
    n_pairs: int
    n_lost: int
    n_lost_control: int
    n_lost_alone: int
    n_lost_alone_control: int
    ratio: float
    ratio_low: float
    ratio_high: float
    log_mean: float
    log_sd: float
    d_z: float
    wins: int
    ties: int
    losses: int
    p_value: float
    p_lost: float | None
    p_tost: float
    works: int
    works_control: int


def weigh(arm: Floats, control: Floats, rule: Rule) -> Evidence:
    """Compute the numbers of one arm from RMSE per seed: (n_seeds,), (n_seeds,), NaN where lost."""
    arm_lost, control_lost = np.isnan(arm), np.isnan(control)
    alone, alone_control = arm_lost & ~control_lost, control_lost & ~arm_lost
    paired = ~(arm_lost | control_lost)
    x = np.log(arm[paired]) - np.log(control[paired])
    x[np.abs(x) <= EQUAL] = 0.0
    n = len(x)
    p_value, low, high = (float(value) for value in sign_flip(x, rule.alpha))
    mean = float(x.mean()) if n else math.nan
    sd = spread(x)
    n_alone, n_alone_control = int(alone.sum()), int(alone_control.sum())
    discordant = n_alone + n_alone_control
    with np.errstate(over="ignore"):
        ratio, ratio_low, ratio_high = (float(np.exp(value)) for value in (mean, low, high))
    return Evidence(
        n_seeds=len(arm),
        n_pairs=n,
        n_lost=int(arm_lost.sum()),
        n_lost_control=int(control_lost.sum()),
        n_lost_alone=n_alone,
        n_lost_alone_control=n_alone_control,
        ratio=ratio,
        ratio_low=ratio_low,
        ratio_high=ratio_high,
        log_mean=mean,
        log_sd=sd,
        d_z=mean / sd if sd > 0 else math.nan,
        wins=int((x < 0).sum()) + n_alone_control,
        ties=int((x == 0).sum() + (arm_lost & control_lost).sum()),
        losses=int((x > 0).sum()) + n_alone,
        p_value=p_value,
        p_lost=float(stats.binomtest(n_alone, discordant).pvalue) if discordant else None,
        p_tost=equivalence(x, rule.log_margin),
        works=int((arm < rule.threshold).sum()),
        works_control=int((control < rule.threshold).sum()),
    )


def losses_even(evidence: Evidence, rule: Rule) -> bool:
    """Whether neither side lost clearly more runs alone than the other."""
    lean = abs(evidence.n_lost_alone - evidence.n_lost_alone_control)
    return lean == 0 or (evidence.n_seeds - lean) / evidence.n_seeds >= rule.works_share


def seeds_needed(evidence: Evidence, tests: int, rule: Rule) -> int | None:
    """How many seeds in total would decide, if what was seen so far is typical.

    Two ways lead to a decision, the shorter one is told: the log differences, unless one side lost clearly more runs
    (power of the t test of a difference or of equivalence, at the observed mean and sd); and the lost runs, at their
    observed shares. Tests of a difference run at alpha / tests, Holm's strictest step.

    From a few pairs no spread can be told: the number is then the least that a claim takes.

    Returns:
        None where neither way is open, or beyond 100,000 seeds.
    """
    level = rule.alpha / tests
    if level <= SMALLEST_P:
        return None
    if evidence.n_pairs < FEWEST_FOR_A_GUESS:
        most = max(evidence.n_pairs, evidence.n_lost_alone, evidence.n_lost_alone_control)
        return evidence.n_seeds + max(1, fewest(level) - most) if most else None
    ways = [_seeds_by_losses(evidence, level, rule)]
    if losses_even(evidence, rule):
        pairs = _pairs_by_differences(evidence.log_mean, evidence.log_sd, level, rule)
        ways.append(None if pairs is None else math.ceil(pairs * evidence.n_seeds / evidence.n_pairs))
    known = [max(seeds, evidence.n_seeds + 1) for seeds in ways if seeds is not None and seeds <= MOST_SEEDS]
    return min(known, default=None)


def _pairs_by_differences(mean: float, sd: float, level: float, rule: Rule) -> int | None:
    """Smallest number of pairs with enough power for either test; bisection, since power grows with n."""
    start = fewest(level)
    if sd == 0:
        return start

    def decides(n: int) -> bool:
        def reached(shift: float, alpha: float) -> float:
            """Power of a one-sided t test at this level for a centre that lies `shift` beyond the null."""
            # Beyond 37 standard errors the power is 1, and its computation unsafe.
            return float(stats.nct.sf(stats.t.isf(alpha, n - 1), n - 1, min(math.sqrt(n) * shift / sd, 37.0)))

        different = reached(abs(mean), level / 2)
        # Both tests of equivalence reject at least this often (Bonferroni's inequality).
        same = 0.0
        if abs(mean) < rule.log_margin:
            sides = (rule.log_margin - mean, rule.log_margin + mean)
            same = sum(reached(shift, rule.alpha) for shift in sides) - 1
        return max(different, same) >= ENOUGH_POWER

    low, high = start - 1, start
    while not decides(high):
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def _seeds_by_losses(evidence: Evidence, level: float, rule: Rule) -> int | None:
    """Smallest number of seeds at which the test of the lost runs has enough power, at the shares seen so far.

    None where these shares leave losses even: then they decide nothing, however many seeds there are.
    """
    if losses_even(evidence, rule):
        return None
    few, many = sorted((evidence.n_lost_alone, evidence.n_lost_alone_control))
    for n in range(evidence.n_seeds + 1, 100 * evidence.n_seeds):
        lost = np.arange(n + 1)  # seeds at which one side alone is lost: those that tell the sides apart
        # The test rejects where at least this many of them were lost by one side: 2 P(count or more) < level.
        count = stats.binom.isf(level / 2, lost, 0.5) + 1
        reached = stats.binom.sf(count - 1, lost, many / (few + many))
        if float((stats.binom.pmf(lost, n, (few + many) / evidence.n_seeds) * reached).sum()) >= ENOUGH_POWER:
            return n
    return None

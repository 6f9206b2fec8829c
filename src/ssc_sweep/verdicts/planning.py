"""How many seeds an answer takes, if what was seen so far is typical."""

import math
from collections.abc import Callable

from scipy import stats

from ssc_sweep.verdicts.evidence import Difference, Matters, Share, Works
from ssc_sweep.verdicts.paired import fewest
from ssc_sweep.verdicts.rule import Rule

ENOUGH_POWER = 0.8  # chance of an answer at the number of seeds that is called enough
MOST_SEEDS = 100_000  # more than this is not called a number of seeds
FEWEST_FOR_A_GUESS = 5  # from fewer pairs nothing is concluded about the spread
# A number of seeds from fewer pairs than these is no more than a guess: docs/VERDICTS.md.
FEWEST_FOR_AN_ESTIMATE = 20
# Under seeds=auto 80% of studies have their answer within so many times the seeds of a fixed test with 80% power, at
# the effects of python -m tests.bench.verdicts.
MORE_FOR_LOOKS = 1.45
# How far, in standard errors, the truth may lie from what was seen before an answer is called out of reach.
BENEFIT_OF_DOUBT = 1.645


def seeds_for_difference(seen: Difference, level: float, rule: Rule, hopeful: bool = False) -> int | None:
    """How many seeds in total would say whether the arm matters: power of t tests at the mean and sd seen so far.

    Args:
        hopeful: let the truth lie farther from what is tested than what was seen, by BENEFIT_OF_DOUBT standard errors,
            and looks cost nothing.

    Returns:
        None where nothing is known of the spread, or beyond MOST_SEEDS.
    """
    if seen.answer is not Matters.OPEN:
        return seen.n
    if seen.n < FEWEST_FOR_A_GUESS or math.isnan(seen.log_sd):
        return None
    away = hopeful * BENEFIT_OF_DOUBT * seen.log_sd / math.sqrt(seen.n)
    centre = abs(seen.log_mean)
    n = _smallest(lambda n: _decides(n, centre + away, max(0.0, centre - away), seen.log_sd, level, rule), level)
    return n if n is None or hopeful else _with_looks(n, rule)


def _with_looks(n: int, rule: Rule) -> int:
    return math.ceil(MORE_FOR_LOOKS * n) if rule.sequential else n


def _decides(n: int, far: float, near: float, sd: float, level: float, rule: Rule) -> bool:
    """Whether n pairs have enough power for a difference of `far`, or to show that one of `near` does not matter."""
    if sd == 0:
        return True
    threshold = stats.t.isf(level / 2, n - 1)

    def reached(shift: float) -> float:
        # Beyond 37 standard errors the power is 1, and its computation unsafe.
        return float(stats.nct.sf(threshold, n - 1, min(math.sqrt(n) * shift / sd, 37.0)))

    # Both sides of the margin are cleared at least this often (Bonferroni's inequality).
    within = rule.log_margin - near > 0 and reached(rule.log_margin - near) + reached(rule.log_margin + near) - 1
    return max(reached(far), float(within)) >= ENOUGH_POWER


def seeds_for_share(seen: Share, level: float, rule: Rule, hopeful: bool = False) -> int | None:
    """How many seeds in total would say whether the arm works: the normal approximation at the share seen so far.

    Args:
        hopeful: as above.

    Returns:
        None where there are too few runs, where the share is works_share itself, or beyond MOST_SEEDS.
    """
    if seen.answer is not Works.OPEN:
        return seen.n
    if seen.n < FEWEST_FOR_A_GUESS:
        return None
    # Some of each kind added, so that 0 of 10 does not mean never: half a one as in Jeffreys' prior for what is likely,
    # two as in Agresti & Coull 1998 for how far the truth may lie from it.
    added = 2.0 if hopeful else 0.5
    q = (seen.works + added) / (seen.n + 2 * added)
    away = hopeful * BENEFIT_OF_DOUBT * math.sqrt(q * (1 - q) / (seen.n + 4))
    q = min(max(q + math.copysign(away, q - rule.works_share), 0.0), 1.0)
    if q == rule.works_share:
        return None
    certain = float(stats.norm.isf(level / 2)) * math.sqrt(rule.works_share * (1 - rule.works_share))
    power = float(stats.norm.ppf(ENOUGH_POWER)) * math.sqrt(q * (1 - q))
    n = math.ceil(((certain + power) / (q - rule.works_share)) ** 2)
    if n > MOST_SEEDS:
        return None
    return max(n if hopeful else _with_looks(n, rule), seen.n + 1)


def _smallest(enough: Callable[[int], bool], level: float) -> int | None:
    """The smallest number of pairs that is enough, by bisection: power grows with it."""
    low = fewest(level) - 1
    high = low + 1
    while not enough(high):
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def out_of_reach(seeds: int | None, known: int, most: int) -> bool:
    """Whether an answer that takes `seeds` cannot be had from at most `most`; not said before there is an estimate."""
    return known >= FEWEST_FOR_AN_ESTIMATE and (seeds is None or seeds > most)

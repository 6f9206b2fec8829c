"""Estimate how many seeds an answer takes, if the runs so far are typical; and how many at least, if they all agree."""

import math
from collections.abc import Callable

from scipy import stats

from ssc_sweep.verdicts.evidence import Difference, Matters, Share, Works
from ssc_sweep.verdicts.paired import fewest
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.verdicts.share import leaves_out

ENOUGH_POWER = 0.8  # probability of an answer with a sufficient number of seeds
MOST_SEEDS = 100_000  # larger estimates are not reported
FEWEST_FOR_A_GUESS = 5  # fewer pairs give no estimate of the spread
# An estimate from fewer pairs than this is only a guess: docs/VERDICTS.md.
FEWEST_FOR_AN_ESTIMATE = 20
# With seeds=auto, 80% of studies have their answer within this multiple of the seeds of a fixed test with 80% power, at
# the effects of python -m tests.bench.verdicts.
MORE_FOR_LOOKS = 1.45
# How far, in standard errors, the truth may lie from the estimate before an answer is called out of reach.
BENEFIT_OF_DOUBT = 1.645


def seeds_for_difference(seen: Difference, level: float, rule: Rule, hopeful: bool = False) -> int | None:
    """Return how many seeds in total would show whether the arm matters: power of t tests at the mean and sd so far.

    Args:
        hopeful: assume that the truth lies BENEFIT_OF_DOUBT standard errors farther from the tested value than the
            estimate, and that looks cost nothing.

    Returns:
        None if the spread is unknown, or beyond MOST_SEEDS.
    """
    if seen.answer is not Matters.OPEN:
        return seen.n
    if seen.n < FEWEST_FOR_A_GUESS or math.isnan(seen.log_sd):
        return None
    away = hopeful * BENEFIT_OF_DOUBT * seen.log_sd / math.sqrt(seen.n)
    first = fewest(level)
    if first is None:
        return None
    centre = abs(seen.log_mean)
    n = _smallest(lambda n: _decides(n, centre + away, max(0.0, centre - away), seen.log_sd, level, rule), first)
    return n if n is None or hopeful else _with_looks(n, rule)


def _with_looks(n: int, rule: Rule) -> int:
    return math.ceil(MORE_FOR_LOOKS * n) if rule.sequential else n


def _decides(n: int, far: float, near: float, sd: float, level: float, rule: Rule) -> bool:
    """Return whether n pairs have enough power to detect a difference `far`, or to show that `near` does not matter."""
    if sd == 0:
        return True
    threshold = stats.t.isf(level / 2, n - 1)

    def reached(shift: float) -> float:
        # Beyond 37 standard errors the power is 1, and its computation unreliable.
        return float(stats.nct.sf(threshold, n - 1, min(math.sqrt(n) * shift / sd, 37.0)))

    # Probability of clearing both sides of the margin is at least this (Bonferroni's inequality).
    within = rule.log_margin - near > 0 and reached(rule.log_margin - near) + reached(rule.log_margin + near) - 1
    return max(reached(far), float(within)) >= ENOUGH_POWER


def seeds_for_share(seen: Share, level: float, rule: Rule, hopeful: bool = False) -> int | None:
    """Return how many seeds in total would show whether the arm works: normal approximation at the share so far.

    While all runs agree (`Share.agree`), the smallest number that can show it: that many if all further runs agree too.

    Args:
        hopeful: as above; no matter while all runs agree.

    Returns:
        None if there are too few runs, if the share equals works_share, or beyond MOST_SEEDS.
    """
    if seen.answer is not Works.OPEN:
        return seen.n
    if seen.n < FEWEST_FOR_A_GUESS:
        return None
    if seen.agree:
        works = seen.works > 0
        return _smallest(lambda n: leaves_out(rule.works_share, n, works, level, rule.sequential), seen.n + 1)
    # Add pseudo-counts to both kinds, so that 0 of 10 does not mean never: 1/2 as in Jeffreys' prior for the likely
    # share, 2 as in Agresti & Coull 1998 for how far the truth may lie from it.
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


def _smallest(enough: Callable[[int], bool], first: int) -> int | None:
    """Return the smallest sufficient number of seeds from `first` on, by bisection; None beyond MOST_SEEDS."""
    low, high = first - 1, first
    while not enough(high):
        low, high = high, 2 * high
        if low >= MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high if high <= MOST_SEEDS else None


def out_of_reach(seeds: int | None, known: int, most: int) -> bool:
    """Return whether an answer that takes `seeds` needs more than `most`; False while too few are known.

    A study may have 100 seeds, and the answer takes 150. After twenty seeds it is given up, after ten it is not.

    >>> out_of_reach(150, known=20, most=100), out_of_reach(150, known=10, most=100)
    (True, False)
    """
    return known >= FEWEST_FOR_AN_ESTIMATE and (seeds is None or seeds > most)

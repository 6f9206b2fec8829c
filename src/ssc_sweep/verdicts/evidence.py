"""The numbers behind the two answers about an arm: how many of its runs work, and how it compares with its control.

Runs that failed - raised, ran out of memory, were killed - reflect the machine, and are left out beforehand. A run that
diverged has no RMSE (NaN) but reflects the model: it does not work, and is worse than any run with an RMSE.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ssc_sweep.data.cohort import Floats
from ssc_sweep.verdicts import sequential, share
from ssc_sweep.verdicts.paired import EQUAL, capped, sign_flip, spread
from ssc_sweep.verdicts.rule import Rule

Runs = Mapping[int, float]  # seed -> RMSE, NaN for a run that diverged


class Works(StrEnum):
    """Does it work?"""

    YES = "yes"
    NO = "no"
    OPEN = "open"


class Matters(StrEnum):
    """Does it matter? APART: arm and control have different validation rows, so their RMSE cannot be compared."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "no difference"
    OPEN = "open"
    APART = "other rows"


@dataclass(frozen=True)
class Share:
    """How many of an arm's runs work.

    Attributes:
        works, n: runs below the target, and all runs that count.
        low, high: interval of the share of runs that work, at the study's level.
        answer: YES if the whole interval is above works_share, NO if it is all below.
    """

    works: int
    n: int
    low: float
    high: float
    answer: Works

    @property
    def agree(self) -> bool:
        """Return whether all runs work, or none does."""
        return self.works in (0, self.n)


@dataclass(frozen=True)
class Difference:
    """An arm against its control, seed by seed. Ratios are arm / control: below 1 is better.

    Attributes:
        n: seeds at which both have a run that counts; 0 if they are not compared, for their rows differ.
        lost_alone, lost_alone_control: of these, seeds at which only the arm, or only the control, diverged.
        ratio: of a typical pair, exp of the centre of the log differences (fixed number of seeds: of their mean;
            seeds=auto: of their Hodges-Lehmann median); NaN without pairs.
        low, high: its interval at the study's level; 0 and inf if there are too few pairs.
        log_mean, log_sd: of the log differences; a pair with one lost side counts as the largest one seen, and at least
            as a factor of e. NaN if there are too few.
        d_z: log_mean / log_sd, the paired effect size; NaN if the sd is 0 or unknown.
        wins, ties, losses: seeds at which the arm is better, equal, worse.
        p: two-sided, of no difference; not adjusted for other arms.
        answer: by the interval.
    """

    n: int
    lost_alone: int
    lost_alone_control: int
    ratio: float
    low: float
    high: float
    log_mean: float
    log_sd: float
    d_z: float
    wins: int
    ties: int
    losses: int
    p: float
    answer: Matters

    @property
    def identical(self) -> bool:
        """Return whether no pair differs: the change alters no run, or no result."""
        return self.n > 0 and self.ties == self.n


def share_working(runs: Runs, level: float, rule: Rule) -> Share:
    """Judge whether runs work, at 1 - level."""
    works = np.array([runs[seed] < rule.threshold for seed in sorted(runs)], dtype=bool)
    low, high = (share.growing_interval if rule.sequential else share.fixed_interval)(works, level)
    answer = Works.YES if low > rule.works_share else Works.NO if high < rule.works_share else Works.OPEN
    return Share(int(works.sum()), len(works), low, high, answer)


def log_differences(arm: Runs, control: Runs) -> Floats:
    """Return log(arm) - log(control) at the seeds of both, in seed order; +inf where only the arm diverged, -inf where
    only the control did, 0 where both did."""
    seeds = sorted(set(arm) & set(control))
    mine = np.array([arm[seed] for seed in seeds], dtype=np.float64)
    other = np.array([control[seed] for seed in seeds], dtype=np.float64)
    x = np.log(mine) - np.log(other)
    x[np.abs(x) <= EQUAL] = 0.0
    lost, lost_control = ~np.isfinite(mine), ~np.isfinite(other)
    x[lost & ~lost_control], x[~lost & lost_control], x[lost & lost_control] = math.inf, -math.inf, 0.0
    return x


def difference(x: Floats, level: float, rule: Rule) -> Difference:
    """Judge log differences x (n,) of an arm or a contrast, at 1 - level."""
    n, sized = len(x), capped(x)
    if rule.sequential:
        p, (low, high) = sequential.p_value(x), sequential.interval(x, level)
        centre = _hodges_lehmann(sized) if n else math.nan
    else:
        p, low, high = (float(value) for value in sign_flip(sized, level))
        centre = float(sized.mean()) if n else math.nan
    if n and not np.isfinite(x).any():
        centre = float(np.sign(x.sum())) * math.inf
    mean, sd = float(sized.mean()) if n else math.nan, spread(sized)
    with np.errstate(over="ignore"):
        ratio, ratio_low, ratio_high = (float(np.exp(value)) for value in (centre, low, high))
    return Difference(
        n=n,
        lost_alone=int((x == math.inf).sum()),
        lost_alone_control=int((x == -math.inf).sum()),
        ratio=ratio,
        low=ratio_low,
        high=ratio_high,
        log_mean=mean,
        log_sd=sd,
        d_z=mean / sd if sd > 0 else math.nan,
        wins=int((x < 0).sum()),
        ties=int((x == 0).sum()),
        losses=int((x > 0).sum()),
        p=p,
        answer=_answer(low, high, rule),
    )


def _answer(low: float, high: float, rule: Rule) -> Matters:
    """Return the answer of an interval of the log ratio. An interval within the margin means no difference, even
    without 0."""
    if -rule.log_margin < low and high < rule.log_margin:
        return Matters.SAME
    if high < 0:
        return Matters.BETTER
    return Matters.WORSE if low > 0 else Matters.OPEN


def _hodges_lehmann(x: Floats) -> float:
    """Return the median of the means of all pairs, each value paired with itself too (Hodges & Lehmann 1963)."""
    i, j = np.triu_indices(len(x))
    return float(np.median((x[i] + x[j]) / 2))

"""Intervals for the share of runs that work, for a fixed and for a growing number of seeds.

Fixed: Clopper & Pearson (1934, Biometrika 26, 404-413). Growing: bet against the share q with a mixture over all
shares, by the prior Beta(a, b):

    wealth_t(q) = B(k + a, t - k + b) / B(a, b) / (q^k (1 - q)^(t - k))        k of t runs work

which is a martingale that starts at 1 if q is the true share. The shares whose wealth has never reached 1/alpha are a
confidence sequence at level 1 - alpha (Ville 1939; Robbins 1970, Ann. Math. Stat. 41, 1397-1409). That holds for any
prior. This one has its mean at the default of rule.works_share and the weight of one and a half runs: compared with
Jeffreys' Beta(1/2, 1/2) it shows sooner that an arm works, and as soon that one does not (docs/VERDICTS.md).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import betaln, xlog1py, xlogy

from ssc_sweep.data.cohort import Floats

PRIOR = (1.2, 0.3)
HALVINGS = 50


def fixed_interval(works: NDArray[np.bool_], level: float) -> tuple[float, float]:
    """Return the Clopper-Pearson interval at 1 - `level` of the share of True in `works` (n,); (0, 1) for none.

    None of ten runs works. The upper end is the share q with (1 - q)^10 = 0.025.

    >>> low, high = fixed_interval(np.zeros(10, dtype=bool), 0.05)
    >>> low, round(high, 3), round(1 - 0.025**0.1, 3)
    (0.0, 0.308, 0.308)
    """
    if not len(works):
        return 0.0, 1.0
    found = stats.binomtest(int(works.sum()), len(works)).proportion_ci(1 - level, method="exact")
    return float(found.low), float(found.high)


def log_wealth(k: Floats, t: Floats, q: Floats) -> Floats:
    """Return the log wealth against a share q if k of t runs work; arrays of one shape."""
    return np.asarray(betaln(k + PRIOR[0], t - k + PRIOR[1]) - betaln(*PRIOR) - xlogy(k, q) - xlog1py(t - k, -q))


def leaves_out(share: float, n: int, works: bool, level: float, sequential: bool) -> bool:
    """Return whether the interval of n runs that all work, or none of which does, leaves this share out.

    All of n runs work. The lower end is the share q with q^n = 0.025: above 0.9 from log 0.025 / log 0.9 = 35.01 on.

    >>> [leaves_out(0.9, n, True, 0.05, sequential=False) for n in (35, 36)]
    [False, True]
    """
    if sequential:
        wealth = log_wealth(np.array(float(n * works)), np.array(float(n)), np.array(share))
        return bool(wealth >= -np.log(level))
    return bool(n * np.log(share if works else 1 - share) < np.log(level / 2))


def growing_interval(works: NDArray[np.bool_], level: float) -> tuple[float, float]:
    """Return the confidence sequence at 1 - `level` after the last of `works` (n,), in order of arrival.

    The freedom to look after each run has a price. Planned, ten runs of which none works give 0 to 0.31.

    >>> low, high = growing_interval(np.zeros(10, dtype=bool), 0.05)
    >>> low, round(high, 2)
    (0.0, 0.5)
    """
    if not len(works):
        return 0.0, 1.0
    t = np.arange(1.0, len(works) + 1)
    k = np.cumsum(works, dtype=np.float64)
    needed = np.log(1 / level)
    ends = []
    # Wealth falls towards k / t from both sides, so each end is the only crossing between there and 0 or 1.
    for far in (0.0, 1.0):
        out, inside = np.full(len(t), far), k / t
        for _ in range(HALVINGS):
            middle = (out + inside) / 2
            rejected = log_wealth(k, t, middle) >= needed
            out, inside = np.where(rejected, middle, out), np.where(rejected, inside, middle)
        ends.append(out)
    # If k is 0 or t, that end stays at 0 or 1 except for rounding.
    low, high = np.where(k == 0, 0.0, ends[0]), np.where(k == t, 1.0, ends[1])
    return float(low.max()), float(high.min())

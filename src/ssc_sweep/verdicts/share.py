"""Intervals for the share of runs that work, for a number of seeds that was fixed and for one that grew.

Fixed: Clopper & Pearson (1934, Biometrika 26, 404-413). Grown: the share q is bet against with a mixture over all
shares, by the prior Beta(a, b):

    wealth_t(q) = B(k + a, t - k + b) / B(a, b) / (q^k (1 - q)^(t - k))        k of t runs work

which is a martingale that starts at 1 if q is the true share. The shares whose wealth has never reached 1/alpha are a
confidence sequence at level 1 - alpha (Ville 1939; Robbins 1970, Ann. Math. Stat. 41, 1397-1409). That holds for any
prior. This one has its mean at the default of rule.works_share and the weight of one and a half runs: beside Jeffreys'
Beta(1/2, 1/2) it shows sooner that an arm works, and as soon that one does not (docs/VERDICTS.md).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import betaln, xlog1py, xlogy

Floats = NDArray[np.float64]

PRIOR = (1.2, 0.3)
HALVINGS = 50


def fixed_interval(works: NDArray[np.bool_], level: float) -> tuple[float, float]:
    """Clopper-Pearson interval at 1 - `level` of the share of True among `works` (n,); (0, 1) for none."""
    if not len(works):
        return 0.0, 1.0
    found = stats.binomtest(int(works.sum()), len(works)).proportion_ci(1 - level, method="exact")
    return float(found.low), float(found.high)


def log_wealth(k: Floats, t: Floats, q: Floats) -> Floats:
    """Log wealth against a share q after k of t runs work; arrays of one shape."""
    return np.asarray(betaln(k + PRIOR[0], t - k + PRIOR[1]) - betaln(*PRIOR) - xlogy(k, q) - xlog1py(t - k, -q))


def growing_interval(works: NDArray[np.bool_], level: float) -> tuple[float, float]:
    """The confidence sequence at 1 - `level` after the last of `works` (n,), in the order in which they came."""
    if not len(works):
        return 0.0, 1.0
    t = np.arange(1.0, len(works) + 1)
    k = np.cumsum(works, dtype=np.float64)
    needed = np.log(1 / level)
    ends = []
    # Wealth falls towards k / t from either side, so that each end is the one crossing between there and 0 or 1.
    for far in (0.0, 1.0):
        out, inside = np.full(len(t), far), k / t
        for _ in range(HALVINGS):
            middle = (out + inside) / 2
            rejected = log_wealth(k, t, middle) >= needed
            out, inside = np.where(rejected, middle, out), np.where(rejected, inside, middle)
        ends.append(out)
    # Where k is 0 or t, that end stays at 0 or 1 but for rounding.
    low, high = np.where(k == 0, 0.0, ends[0]), np.where(k == t, 1.0, ends[1])
    return float(low.max()), float(high.min())

"""Paired differences of a number of seeds that was fixed before: sign-flip test and interval.

Test and interval: sign flips. If the change did nothing, each x_i could as well have had the other sign, so the mean
is compared with the means under all 2^n sign patterns (Fisher 1935, The Design of Experiments, section 21;
scipy.stats.permutation_test gives the same p, but no interval). Flipping the signs of a subset S lowers the mean below
delta exactly if the mean over S exceeds delta, so inverting the test needs no search: the interval lies between two
order statistics of the means over all non-empty subsets (Hartigan 1969, Using subsample values as typical values,
JASA 64, 1303-1317). It excludes 0 exactly if p < alpha: same means, same count.

Why not a BCa bootstrap (Efron 1987, JASA 82, 171-185): it is right only as n grows. Simulated 95% intervals covered

    noise of x                                      10 seeds: flips  BCa     20 seeds: flips  BCa
    t with 3 degrees of freedom                               95.5%  86.7%             95.3%  89.9%
    two arms with the noise of real failing runs              95.1%  90.0%             94.9%  91.9%
    one such arm against a calm one                           94.7%  93.1%             94.9%  93.7%
    log-normal: strong skew to one side                       91.3%  87.7%             92.0%  90.7%

The flips are exact for differences symmetric about their centre, whatever the tails. Strong skew misleads both, most of
all an arm nearly all of whose runs are clamped beside one whose runs are not: docs/VERDICTS.md has the coverage. Where
the change does nothing the differences are symmetric, so a false claim stays as rare as alpha says.

Speed: all patterns up to 15 pairs; beyond, the same 2^15 patterns, drawn once from a fixed seed. p is then right within
+-0.0035 at 0.05 (and valid as it stands: Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39), and the order of
the seeds does not change it, unless differences are of equal size. No p lies below 2^-14, which is enough for 800
claims in a study.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

PATTERNS = 2**15  # sign patterns: all of them up to 15 pairs, a fixed draw beyond
BLOCK = 2**10  # sign patterns that are numbers at a time; the others are bits
SMALLEST_P = 2 / PATTERNS  # two-sided
EQUAL = 1e-12  # relative: differences below this are rounding, not findings
LEAST_LOST = 1.0  # log ratio that a pair with one lost side counts as at least: a factor of e, beyond any margin in use


def t_interval(x: Floats) -> tuple[float, float, float]:
    """Mean and its 95% t interval of at least two values: (mean, low, high); NaN where a value is."""
    mean = float(x.mean())
    half = float(stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return mean, mean - half, mean + half


def capped(x: Floats) -> Floats:
    """Log differences with numbers for those of +-inf, where one side is lost: the largest seen, or LEAST_LOST.

    Under no difference the sign is a fair coin whatever the size, so any size keeps a test of it exact.
    """
    finite = np.isfinite(x)
    size = max(float(np.abs(x[finite]).max(initial=0.0)), LEAST_LOST)
    return np.where(finite, x, np.copysign(size, x))


def spread(x: Floats) -> float:
    """Standard deviation, 0 where only rounding tells the values apart, NaN below two values."""
    if len(x) < 2:
        return math.nan
    sd = float(x.std(ddof=1))
    return sd if sd > EQUAL * float(np.abs(x).max()) else 0.0


def sign_flip(x: Floats, alpha: float) -> tuple[Floats, Floats, Floats]:
    """Test that the differences centre on 0, and give the 1 - alpha interval of their centre.

    Args:
        x: differences, shape (..., n): any number of arms with n pairs each.
        alpha: level.

    Returns:
        Two-sided p, lower and upper end, each of shape (...). The ends are infinite where n is too small for alpha.
    """
    x = np.take_along_axis(x, np.argsort(np.abs(x), axis=-1, kind="stable"), axis=-1)  # the order of seeds is no news
    means = _subset_means(x)
    means[np.abs(means) <= EQUAL * np.abs(x).max(axis=-1, initial=0.0, keepdims=True)] = 0.0
    total = means.shape[-1] + 1  # the pattern as observed flips nothing and counts on both sides
    rarer = 1 + np.minimum((means <= 0).sum(axis=-1), (means >= 0).sum(axis=-1))
    p = np.minimum(1.0, 2 * rarer / total)
    # A centre delta is kept if at least k subset means lie on either side of it, that is if its p is at least alpha.
    k = math.ceil(alpha * total / 2 - EQUAL) - 1
    if k < 1:
        return p, np.full(p.shape, -np.inf), np.full(p.shape, np.inf)
    means.partition((k - 1, total - 1 - k), axis=-1)
    return p, means[..., k - 1], means[..., total - 1 - k]


def _subset_means(x: Floats) -> Floats:
    """Means of x (..., n) over the non-empty subsets of n pairs, shape (..., patterns - 1)."""
    n = x.shape[-1]
    packed, sizes = _subsets(n)
    totals = np.empty((*x.shape[:-1], len(sizes)))
    # A block at a time: as floats all patterns of thousands of pairs take more memory than the rest of a study.
    for start in range(0, len(sizes), BLOCK):
        block = np.unpackbits(packed[start : start + BLOCK], axis=1, count=n).astype(np.float64)
        totals[..., start : start + BLOCK] = x @ block.T
    return totals / sizes


@lru_cache(maxsize=8)
def _subsets(n: int) -> tuple[NDArray[np.uint8], Floats]:
    """Non-empty subsets of n pairs, a row of n bits each in bytes (patterns - 1, ceil(n / 8)), and their sizes."""
    blocks = ((np.packbits(block, axis=1), block.sum(axis=1, dtype=np.float64)) for block in _patterns(n))
    packed, sizes = (np.concatenate(parts)[: PATTERNS - 1] for parts in zip(*blocks, strict=True))
    assert len(packed) == min(2**n, PATTERNS) - 1
    return packed, sizes


def _patterns(n: int) -> Iterator[NDArray[np.uint8]]:
    """Non-empty subsets of n pairs as rows of 0 and 1, a block at a time; of many pairs some more than PATTERNS - 1."""
    if 2**n <= PATTERNS:
        yield ((np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1).astype(np.uint8)
        return
    # One stream: the same patterns as if drawn at once.
    rng = np.random.default_rng(0)
    for start in range(0, PATTERNS + 100, BLOCK):
        drawn = rng.integers(0, 2, (min(BLOCK, PATTERNS + 100 - start), n)).astype(np.uint8)
        yield drawn[drawn.any(axis=1)]


def fewest(level: float) -> int:
    """Return the smallest n at which a two-sided sign-flip p can fall below the level: 2 / 2^n < level."""
    return math.floor(math.log2(2 / level)) + 1

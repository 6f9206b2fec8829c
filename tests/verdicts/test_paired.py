"""The sign-flip test and its interval, for a number of seeds that was fixed before."""

import math
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ssc_sweep.verdicts import paired
from ssc_sweep.verdicts.paired import fewest, sign_flip, t_interval
from tests.verdicts.noise import log_mean, real_noise

Floats = NDArray[np.float64]


# Test and interval


def test_interval_by_hand() -> None:
    # Means over the subsets of 1, 2, 6: 1, 1.5, 2, 3, 3.5, 4, 6. Of 8 patterns only the observed one is as extreme, so
    # p = 2 * 1/8. At alpha = 0.3, k = ceil(8 * 0.15) - 1 = 1: the ends are the smallest and the largest mean.
    p, low, high = sign_flip(np.array([6.0, 1.0, 2.0]), 0.3)
    assert (p, low, high) == (0.25, 1.0, 6.0)
    # At alpha = 0.2, k = 0: no interval.
    assert [float(end) for end in sign_flip(np.array([6.0, 1.0, 2.0]), 0.2)[1:]] == [-math.inf, math.inf]


def test_interval_keeps_exactly_the_centres_that_the_test_keeps() -> None:
    x = np.random.default_rng(3).standard_t(3, 9) + 0.7
    _, low, high = sign_flip(x, 0.05)
    for centre in (low + 1e-9, high - 1e-9, x.mean()):
        assert sign_flip(x - centre, 0.05)[0] >= 0.05
    for centre in (low - 1e-9, high + 1e-9):
        assert sign_flip(x - centre, 0.05)[0] < 0.05


@pytest.mark.parametrize("n", [3, 6, 8, 10, 20])
def test_p_and_interval_agree_on_zero(n: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.standard_t(3, (300, n)) + rng.choice([0, 0.5, 1], (300, 1))
    x[:50] = np.round(x[:50])  # ties and zeros
    p, low, high = sign_flip(x, 0.05)
    assert (((low > 0) | (high < 0)) == (p < 0.05)).all()
    assert n < 6 or 0 < (p < 0.05).sum() < 300


@pytest.mark.parametrize("n", [2, 5, 9])
def test_p_is_that_of_scipy(n: int) -> None:
    arm, control = np.random.default_rng(n).normal(size=(2, n))
    theirs = stats.permutation_test(
        (arm, control), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=10**6
    )
    assert float(sign_flip(arm - control, 0.05)[0]) == pytest.approx(theirs.pvalue)


def test_drawn_patterns_agree_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(1).normal(0.5, 1, 16)
    drawn = sign_flip(x, 0.05)
    paired._subsets.cache_clear()
    monkeypatch.setattr(paired, "PATTERNS", 2**16)
    exact = sign_flip(x, 0.05)
    paired._subsets.cache_clear()
    assert np.array(drawn) == pytest.approx(np.array(exact), abs=0.005)
    assert not np.array_equal(drawn, exact)


@pytest.mark.parametrize("n", [5, 20, 333])
def test_patterns_kept_as_bits_are_those_drawn_at_once(n: int) -> None:
    if 2**n <= paired.PATTERNS:
        rows = np.array([[(i >> j) & 1 for j in range(n)] for i in range(1, 2**n)])
    else:
        rows = np.random.default_rng(0).integers(0, 2, (paired.PATTERNS + 100, n))[: paired.PATTERNS - 1]
        assert rows.any(axis=1).all()  # none is empty, so none was passed over
    packed, sizes = paired._subsets(n)
    assert np.array_equal(np.unpackbits(packed, axis=1, count=n), rows)
    assert np.array_equal(sizes, rows.sum(axis=1))
    x = np.random.default_rng(n).normal(0.3, 1, (2, n))
    assert paired._subset_means(x) == pytest.approx(x @ rows.T / rows.sum(axis=1), abs=1e-12)


def test_thousands_of_pairs_need_little_memory() -> None:
    """As numbers, 32,768 patterns of 1,667 pairs take 437 MB."""
    x = np.random.default_rng(0).normal(0.1, 1, 1667)
    paired._subsets.cache_clear()
    tracemalloc.start()
    p, low, high = sign_flip(x, 0.05)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
    assert p < 0.01 and 0 < low < x.mean() < high


def test_fewest_seeds_for_a_claim() -> None:
    # 2 / 2^5 = 0.0625, 2 / 2^6 = 0.03125; 2 / 2^8 = 0.0078, 2 / 2^9 = 0.0039 against 0.05 / 8 = 0.00625.
    assert (fewest(0.05), fewest(0.05 / 8), fewest(0.0625)) == (6, 9, 6)
    # With more pairs a part of the sign patterns is drawn: the smallest p is 2 / 2^15.
    assert fewest(2 / 2**15) is None and fewest(2.1 / 2**15) == 15
    assert sign_flip(np.arange(1.0, 41.0), 2 / 2**15)[1] == -np.inf
    assert sign_flip(np.arange(1.0, 41.0), 4.1 / 2**15)[1] > 0


# Simulated coverage


def t3(rng: np.random.Generator, n: int) -> Floats:
    return rng.standard_t(3, (1500, n))


def alike(rng: np.random.Generator, n: int) -> Floats:
    """Two arms with the noise of real failing runs."""
    first, second = np.log(real_noise(rng, (2, 1500, n)))
    return first - second


def against_a_calm_arm(rng: np.random.Generator, n: int) -> Floats:
    """The noise of real failing runs against an arm of little noise: skewed differences, their mean known."""
    return np.log(real_noise(rng, (1500, n))) - log_mean(0.4) + rng.normal(0, 0.3, (1500, n))


@pytest.mark.parametrize("noise", [t3, alike, against_a_calm_arm])
def test_the_interval_covers_about_95_percent(noise: object) -> None:
    assert callable(noise)
    x = noise(np.random.default_rng(10), 10)
    ends = [sign_flip(part, 0.05)[1:] for part in np.array_split(x, 30)]
    low, high = (np.concatenate(side) for side in zip(*ends, strict=True))
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.975


def test_the_rejected_interval_covers_too_little() -> None:
    x = t3(np.random.default_rng(0), 10)[:600]
    found = stats.bootstrap((x,), np.mean, axis=1, n_resamples=999, method="BCa", rng=np.random.default_rng(0))
    low, high = found.confidence_interval
    assert np.mean((low <= 0) & (high >= 0)) < 0.93


def test_the_t_interval_by_hand() -> None:
    # Mean 2, standard error 1 / sqrt(3), two degrees of freedom.
    assert t_interval(np.array([1.0, 2.0, 3.0])) == pytest.approx((2.0, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))

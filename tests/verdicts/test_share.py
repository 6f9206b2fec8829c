"""Intervals of the share of runs that work."""

import math

import numpy as np
import pytest
from scipy.special import beta

from ssc_sweep.verdicts.share import fixed_interval, growing_interval, log_wealth


def test_clopper_pearson_by_hand() -> None:
    # 0 of 10 at 95%: the upper end is where (1 - q)^10 = 0.025.
    low, high = fixed_interval(np.zeros(10, bool), 0.05)
    assert (low, high) == (0.0, pytest.approx(1 - 0.025**0.1))
    assert fixed_interval(np.array([], bool), 0.05) == (0.0, 1.0)


def test_wealth_by_hand() -> None:
    # 2 of 3 against 1/2: B(3.2, 1.3) / B(1.2, 0.3) / (1/8).
    expected = beta(3.2, 1.3) / beta(1.2, 0.3) * 8
    assert math.exp(log_wealth(np.array(2.0), np.array(3.0), np.array(0.5))) == pytest.approx(expected)


def test_the_first_run_pays_a_fair_bet() -> None:
    q = 0.3
    wealth = [math.exp(log_wealth(np.array(k), np.array(1.0), np.array(q))) for k in (0.0, 1.0)]
    assert (1 - q) * wealth[0] + q * wealth[1] == pytest.approx(1.0)


def test_the_ends_are_where_the_wealth_reaches_the_bound() -> None:
    works = np.array([1] * 12 + [0] * 3, bool)  # its last look is its narrowest here
    low, high = growing_interval(works[::-1], 0.05)
    t, k = 15.0, 12.0
    assert math.exp(log_wealth(np.array(k), np.array(t), np.array(low))) == pytest.approx(20, rel=1e-6)
    assert high < 1


def test_none_and_all() -> None:
    assert growing_interval(np.array([], bool), 0.05) == (0.0, 1.0)
    assert growing_interval(np.ones(30, bool), 0.05)[1] == 1.0
    assert growing_interval(np.zeros(30, bool), 0.05)[0] == 0.0


def test_an_excluded_share_stays_excluded() -> None:
    works = np.random.default_rng(0).random(200) < 0.6
    ends = [growing_interval(works[:n], 0.05) for n in range(1, 201, 10)]
    low, high = (np.array(side) for side in zip(*ends, strict=True))
    assert (np.diff(low) >= 0).all() and (np.diff(high) <= 0).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.97])
def test_the_true_share_is_covered_at_all_times(share: float) -> None:
    rng = np.random.default_rng(1)
    works = rng.random((2000, 150)) < share
    t, k = np.arange(1.0, 151), np.cumsum(works, axis=1, dtype=float)
    left = (log_wealth(k, t, np.array(share)) >= math.log(20)).any(axis=1)
    assert left.mean() <= 0.05

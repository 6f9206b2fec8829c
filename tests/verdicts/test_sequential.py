"""The confidence sequence for the centre of paired differences."""

import math

import numpy as np
import pytest
from scipy import stats

from ssc_sweep.verdicts.sequential import (
    BETS,
    confidence_sequence,
    fewest,
    interval,
    log_wealth,
    p_value,
    spreads,
)
from tests.verdicts.noise import real_noise


def test_wealth_by_hand() -> None:
    # One difference of 0.5 at spread 0.5: the mean over bets of 1 + b tanh(c).
    x, s = np.array([0.5]), np.array([0.5])
    expected = np.mean([1 + b * math.tanh(c) for b, c in BETS])
    assert math.exp(log_wealth(x, s)[0]) == pytest.approx(expected)
    # A second of -0.5: each bet's factors are multiplied before the mean is taken.
    both = np.mean([(1 + b * math.tanh(c)) * (1 - b * math.tanh(c)) for b, c in BETS])
    assert math.exp(log_wealth(np.array([0.5, -0.5]), np.array([0.5, 0.5]))[1]) == pytest.approx(both)


def test_spreads_know_only_what_came_before() -> None:
    x = np.array([1.0, 5.0, 9.0, 100.0, 3.0])
    # Beside 0.5 and 0.5: none; 0; |1 - 3|, |5 - 3|; 4, 0, 4 from 5; 6, 2, 2, 93 from 7.
    assert spreads(x) == pytest.approx([0.5, 0.5, 1.25, 0.5, 2.0])
    assert spreads(np.append(x[:4], -7.0)) == pytest.approx(spreads(x))
    # An infinite one has no size: 1 and 4 are 1.5 from their median.
    assert spreads(np.array([1.0, math.inf, -math.inf, 4.0, 0.0])) == pytest.approx([0.5, 0.5, 0.5, 0.5, 1.0])


def test_spreads_of_many_studies_are_those_of_each() -> None:
    x = np.random.default_rng(6).normal(size=(3, 4, 20))
    x[0, 0, :7], x[1, 2, 5] = math.inf, -math.inf
    alone = np.array([[spreads(row) for row in study] for study in x])
    assert (spreads(x) == alone).all()


def test_a_bet_is_fair_under_symmetry() -> None:
    """Over both signs of a difference, whatever its size, the wealth is 1 in the mean."""
    for size in (0.01, 1.0, 50.0, math.inf):
        s = np.array([0.5])
        wealth = [math.exp(log_wealth(np.array([sign * size]), s)[0]) for sign in (-1, 1)]
        assert np.mean(wealth) == pytest.approx(1.0)


def test_differences_of_one_sign_decide_when_bets_on_signs_can() -> None:
    # (2 * 1.98^5 + 1.8^5 + 1.5^5) / 4 = 21.8 and (2 * 1.98^6 + 1.8^6 + 1.5^6) / 4 = 41.5, against 2 / 0.05 = 40.
    assert fewest(0.05) == 6
    assert interval(np.full(5, -math.inf), 0.05) == (-math.inf, math.inf)
    assert interval(np.full(6, -math.inf), 0.05)[1] == -math.inf
    assert p_value(np.full(6, math.inf)) == pytest.approx(2 / ((2 * 1.98**6 + 1.8**6 + 1.5**6) / 4))


@pytest.mark.parametrize("seed", range(20))
def test_interval_and_p_agree_on_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_t(3, 40) + rng.choice([-1.0, -0.4, 0.0, 0.4])
    x[rng.random(40) < 0.05] = math.inf
    low, high = interval(x, 0.05)
    assert (low > 0 or high < 0) == (p_value(x) <= 0.05)
    assert low < high


def test_the_confidence_sequence_narrows_and_keeps_what_it_excluded() -> None:
    x = np.random.default_rng(0).normal(0.7, 1, 120)
    ends = [confidence_sequence(x[:n], 0.05) for n in range(5, 121, 5)]
    low, high = (np.array(side) for side in zip(*ends, strict=True))
    assert (np.diff(low) >= -1e-9).all() and (np.diff(high) <= 1e-9).all()
    assert low[-1] < 0.7 < high[-1] and high[-1] - low[-1] < 1.2


def test_the_interval_holds_the_t_interval_of_the_mean() -> None:
    """Nine pairs in ten equal, the tenth four times worse: the bets see the typical pair, the mean is 0.14."""
    x = np.random.default_rng(7).normal(0, 0.001, 60)
    x[9::10] += math.log(4)
    low, high = confidence_sequence(x, 0.05)
    assert -0.005 < low < high < 0.005
    expected = stats.ttest_1samp(x, 0.0).confidence_interval(0.95)
    assert interval(x, 0.05) == pytest.approx((low, expected.high))
    assert expected.low > low and expected.high > 0.24


def test_the_p_value_is_that_of_the_t_test_where_that_is_larger() -> None:
    x = np.where(np.arange(30) % 10 == 9, 8.0, -1.0)
    assert p_value(x) == pytest.approx(stats.ttest_1samp(x, 0.0).pvalue)
    assert confidence_sequence(x, 0.05)[1] < 0 < interval(x, 0.05)[1]


def test_equal_differences_are_a_point_for_the_mean() -> None:
    assert interval(np.full(30, 0.3), 0.05) == pytest.approx(confidence_sequence(np.full(30, 0.3), 0.05))
    assert p_value(np.zeros(30)) == 1.0


def test_interval_mirrors() -> None:
    x = np.random.default_rng(1).standard_t(3, 30) + 0.5
    low, high = interval(x, 0.05)
    assert interval(-x, 0.05) == pytest.approx((-high, -low))


def test_units_do_not_change_the_centre_found() -> None:
    """Shifting all differences shifts the interval: the spread does not know where 0 is."""
    x = np.random.default_rng(2).normal(0, 0.4, 60)
    assert np.subtract(interval(x + 3, 0.01), 3) == pytest.approx(interval(x, 0.01), abs=1e-6)


def test_lost_runs_move_the_interval_and_no_warning_is_raised() -> None:
    x = np.random.default_rng(3).normal(0, 0.1, 20)
    x[::4] = math.inf
    low, high = interval(x, 0.05)
    assert math.isfinite(low) and high > interval(x[np.isfinite(x)], 0.05)[1]
    assert confidence_sequence(np.array([math.inf] * 40 + [0.0]), 0.05) == (math.inf, math.inf)
    assert interval(np.array([]), 0.05) == (-math.inf, math.inf) and p_value(np.array([])) == 1.0


def test_looking_after_every_seed_does_not_add_false_claims() -> None:
    """300 studies of 8 arms, all runs alike, looked at after each of 100 seeds; also the true centre is covered."""
    rng = np.random.default_rng(4)
    wrong = 0
    needed = math.log(2 * 17 / 0.05)
    for _ in range(3):  # a hundred at a time
        log_rmse = np.log(real_noise(rng, (100, 9, 100)))
        x = log_rmse[:, 1:] - log_rmse[:, :1]
        s = spreads(x)
        best = np.maximum(log_wealth(x, s), log_wealth(-x, s)).max(axis=(1, 2))
        wrong += int((best >= needed).sum())
    assert wrong / 300 <= 0.05

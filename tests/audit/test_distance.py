"""Distances, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from ssc_sweep.audit.distance import domain, mahalanobis, mahalanobis_ratio, neighbour_ratio, shrinkage

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(200, 5), (20, 50), (30, 30)])
def test_the_shrunk_distance_is_that_of_scikit_learn(shape: tuple[int, int]) -> None:
    x = DRAW.standard_normal(shape) @ DRAW.standard_normal((shape[1], shape[1]))
    rows = 3 * DRAW.standard_normal((7, shape[1]))
    theirs = LedoitWolf().fit(x)
    assert shrinkage(x - x.mean(axis=0))[0] == pytest.approx(theirs.shrinkage_, rel=1e-9)
    np.testing.assert_allclose(mahalanobis(x, rows), np.sqrt(theirs.mahalanobis(rows)), rtol=1e-6)


def test_a_column_twice_is_no_trouble() -> None:
    x = DRAW.standard_normal((50, 2))[:, [0, 1, 1]]
    assert np.isfinite(mahalanobis(x, 10 * x)).all()


def test_nearest_neighbours_by_hand() -> None:
    # Training rows 0, 1, 3: nearest others at 1, 1, 2, median 1. Validation 5, 9: at 2 and 6, median 4.
    train, val = np.array([[0.0], [1.0], [3.0]]), np.array([[5.0], [9.0]])
    assert neighbour_ratio(train, val) == pytest.approx(4.0)


def test_doubled_rows_have_no_ratio() -> None:
    assert np.isnan(neighbour_ratio(np.ones((4, 1)), np.zeros((2, 1))))


def test_sides_that_are_alike_and_sides_that_are_not() -> None:
    train, val = DRAW.standard_normal((300, 10)), DRAW.standard_normal((300, 10))
    assert mahalanobis_ratio(train, val) == pytest.approx(1, abs=0.05)
    assert neighbour_ratio(train, val) == pytest.approx(1, abs=0.05)
    # Twice as far from the centre of a normal sample in every direction.
    assert mahalanobis_ratio(train, 2 * val) == pytest.approx(2, abs=0.1)


def test_a_few_rows_with_many_columns_are_no_farther_for_that() -> None:
    train, val = DRAW.standard_normal((40, 200)), DRAW.standard_normal((40, 200))
    assert mahalanobis_ratio(train, val) == pytest.approx(1, abs=0.05)


def test_the_domain_classifier_sees_a_shift_and_a_spread_and_nothing_in_chance() -> None:
    train, val = DRAW.standard_normal((200, 4)), DRAW.standard_normal((200, 4))
    auc, p = domain(train, val)
    assert 0.35 < auc < 0.62 and p > 0.02
    assert domain(train, val + 10) == (1.0, 0.005)
    auc, p = domain(train, 3 * val)  # equal means
    assert auc > 0.85 and p == 0.005


def test_the_p_value_is_uniform_where_sides_are_alike() -> None:
    found = [domain(DRAW.standard_normal((30, 3)), DRAW.standard_normal((30, 3)))[1] for _ in range(60)]
    assert sum(p <= 0.1 for p in found) <= 14  # binomial(60, 0.1): more once in a thousand
    assert 0.3 < np.mean(found) < 0.7

"""Small statistics, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from ssc_sweep.audit.arrays import MOST_ROWS, LeftOneOut, auc, left_out, r2, ridge, some_rows

DRAW = np.random.default_rng(0)


def test_auc_by_hand() -> None:
    # Pairs (positive, other): 3 > 1, 3 > 2, 2 > 1, 2 = 2: (3 + 1/2) / 4.
    assert auc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, True])) == 3.5 / 4
    assert np.isnan(auc(np.arange(3.0), np.ones(3, bool)))


def test_auc_is_that_of_scikit_learn() -> None:
    score, positive = DRAW.integers(0, 9, 200).astype(float), DRAW.random(200) < 0.3
    assert auc(score, positive) == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


@pytest.mark.parametrize("shape", [(40, 5), (5, 40)])
def test_ridge_is_that_of_scikit_learn(shape: tuple[int, int]) -> None:
    x, y = DRAW.standard_normal(shape), DRAW.standard_normal((shape[0], 2))
    theirs = Ridge(alpha=0.1 * shape[0]).fit(x, y)
    b = ridge(x, y, 0.1)
    np.testing.assert_allclose(b[0], theirs.intercept_, atol=1e-10)
    np.testing.assert_allclose(b[1:].T, theirs.coef_, atol=1e-10)


def test_leaving_one_out_is_fitting_without_it() -> None:
    x, y = DRAW.standard_normal((30, 4)), DRAW.standard_normal((30, 1))
    theirs = cross_val_predict(LinearRegression(), x, y, cv=LeaveOneOut())
    np.testing.assert_allclose(LeftOneOut(x, 1e-13).says(y[:, 0]), theirs[:, 0], atol=1e-8)


def test_no_row_is_judged_by_a_fit_to_it() -> None:
    x, y = DRAW.standard_normal((30, 2)), np.zeros((30, 1))
    y[7] = 1e6  # what is said of this row cannot know it
    assert abs(left_out(x, y, 0.1)[7, 0]) < 1e-3


def test_r2_by_hand() -> None:
    assert r2(np.array([0.0, 2.0]), np.array([0.0, 1.0])) == 0.5
    assert np.isnan(r2(np.ones(3), np.ones(3)))


def test_few_rows_are_all_looked_at_and_many_are_drawn() -> None:
    assert np.array_equal(some_rows(50, 3), np.arange(50))
    drawn = some_rows(10_000, 3)
    assert len(np.unique(drawn)) == MOST_ROWS and np.array_equal(drawn, some_rows(10_000, 3))
    assert len(some_rows(10_000, 10_000)) == 100

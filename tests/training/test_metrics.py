"""Metrics worked by hand."""

import numpy as np
import pytest

from ssc_sweep.training.metrics import accuracy, mean_predictor_rmse, nll, rmse


def test_rmse_by_hand() -> None:
    # Errors 3, 4 and 0, 0: sqrt((9 + 16) / 4) = 2.5.
    y = np.array([[1.0, 2.0], [0.0, 5.0]])
    assert rmse(y, np.array([[4.0, 6.0], [0.0, 5.0]])) == pytest.approx(2.5)


def test_rmse_is_pooled_not_averaged_over_batches() -> None:
    y, prediction = np.zeros((3, 1)), np.array([[3.0], [0.0], [0.0]])
    assert rmse(y, prediction) == pytest.approx(np.sqrt(3))


def test_rmse_of_nan_is_nan() -> None:
    assert np.isnan(rmse(np.zeros((2, 1)), np.array([[np.nan], [0.0]])))


def test_accuracy_by_hand() -> None:
    log_prob = np.log([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    assert accuracy(np.array([0, 1, 0, 0]), log_prob) == pytest.approx(0.75)


def test_accuracy_of_nan_is_nan() -> None:
    assert np.isnan(accuracy(np.array([0, 0]), np.array([[0.0, -1.0], [np.nan, np.nan]])))


def test_nll_by_hand() -> None:
    assert nll(np.log([0.5, 0.125])) == pytest.approx(2 * np.log(2))  # the mean of 1 and 3 log 2


def test_mean_predictor_by_hand() -> None:
    # Training mean 2; errors 1 and 7: sqrt((1 + 49) / 2) = 5.
    assert mean_predictor_rmse(np.array([[1.0], [3.0]]), np.array([[3.0], [9.0]])) == pytest.approx(5.0)

"""Metrics: pure functions of arrays. Pooled over all rows, in the unit of what they compare; NaN in, NaN out."""

import numpy as np

from ssc_sweep.data.cohort import Floats, Ints


def rmse(y: Floats, prediction: Floats) -> float:
    """Root mean squared error over all n rows and d_y outcomes, in the outcome's unit: (n, d_y), (n, d_y)."""
    return float(np.sqrt(np.mean((y - prediction) ** 2)))


def accuracy(t: Ints, log_prob: Floats) -> float:
    """Share of rows whose most probable treatment is the true one: (n,), (n, K). NaN if any probability is."""
    if np.isnan(log_prob).any():
        return float("nan")
    return float(np.mean(log_prob.argmax(axis=1) == t))


def nll(log_prob: Floats) -> float:
    """Negative log-likelihood per row, in nats, of a density in the outcome's unit: (n,)."""
    return -float(np.mean(log_prob))


def mean_predictor_rmse(y_train: Floats, y: Floats) -> float:
    """RMSE of predicting the mean outcome of the training rows for every row: (n_train, d_y), (n, d_y)."""
    return rmse(y, np.broadcast_to(y_train.mean(axis=0), y.shape))

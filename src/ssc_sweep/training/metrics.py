"""Metrics: pure functions of arrays. Pooled over all rows, in the unit of their input; NaN in, NaN out.

Shapes: n rows, d_y outcomes, K treatments, Q levels. `log_prob` is log P(T=k | x, y).
"""

import numpy as np

from ssc_sweep.audit.arrays import auc
from ssc_sweep.data.cohort import Floats, Ints


def rmse(y: Floats, prediction: Floats) -> float:
    """Root mean squared error over all n rows and d_y outcomes, in the outcome's unit: (n, d_y), (n, d_y).

    Errors of 3 and 4 kg:

    >>> round(rmse(np.array([[0.0], [0.0]]), np.array([[3.0], [4.0]])), 2)
    3.54
    """
    return float(np.sqrt(np.mean((y - prediction) ** 2)))


def rmse_per_batch(y: Floats, prediction: Floats, size: int) -> float:
    """Mean RMSE of successive batches of `size` rows. Never above the pooled RMSE if batches are of equal size.

    Errors of 1, 1, 7 and 7 kg: the pooled RMSE is 5, the mean of the two batches' is (1 + 7) / 2.

    >>> y, prediction = np.zeros((4, 1)), np.array([[1.0], [1.0], [7.0], [7.0]])
    >>> rmse(y, prediction), rmse_per_batch(y, prediction, 2)
    (5.0, 4.0)
    """
    starts = range(0, len(y), size)
    return float(np.mean([rmse(y[i : i + size], prediction[i : i + size]) for i in starts]))


def skill(error: float, reference: float) -> float:
    """Skill score 1 - error^2 / reference^2 (Murphy 1988, Mon. Weather Rev. 116:2417): 1 perfect, 0 the reference.

    NaN if the reference has no error.

    Half of the reference's error, the same, and twice as much:

    >>> skill(4.0, 8.0), skill(8.0, 8.0), skill(16.0, 8.0)
    (0.75, 0.0, -3.0)
    """
    return 1 - (error / reference) ** 2 if reference > 0 else float("nan")


def accuracy(t: Ints, log_prob: Floats) -> float:
    """Share of rows whose most probable treatment is the true one: (n,), (n, K). NaN if any probability is."""
    if np.isnan(log_prob).any():
        return float("nan")
    return float(np.mean(log_prob.argmax(axis=1) == t))


def majority_share(t: Ints, treatments: int) -> float:
    """Accuracy of always naming the most frequent treatment of these rows: (n,)."""
    return float(np.bincount(t, minlength=treatments).max() / len(t))


def auroc(t: Ints, log_prob: Floats) -> float:
    """Area under the ROC curve: P(a treated row scores above an untreated one), ties half; NaN with one treatment.

    With more than two treatments, the mean over pairs (Hand & Till 2001, Mach. Learn. 45:171).

    The treated rows, the last two, have P = 0.5 and 0.8, the others 0.1 and 0.6. Three of the four pairs are in order.

    >>> p = np.array([0.1, 0.6, 0.5, 0.8])
    >>> auroc(np.array([0, 0, 1, 1]), np.log(np.column_stack([1 - p, p])))
    0.75
    """
    present = np.unique(t)
    if len(present) < 2 or np.isnan(log_prob).any():
        return float("nan")
    pairs = [(i, j) for i in present for j in present if i < j]
    return float(np.mean([(_above(t, log_prob, i, j) + _above(t, log_prob, j, i)) / 2 for i, j in pairs]))


def _above(t: Ints, log_prob: Floats, low: int, high: int) -> float:
    """P(score of `high` is larger in a row of `high` than in one of `low`)."""
    rows = (t == low) | (t == high)
    # The difference of log probabilities underflows at neither end.
    score = log_prob[rows, high] if log_prob.shape[1] > 2 else log_prob[rows, high] - log_prob[rows, low]
    return auc(score, t[rows] == high)


def log_loss(t: Ints, log_prob: Floats) -> float:
    """Mean of -log P of the true treatment, nats: (n,), (n, K)."""
    return -float(np.mean(log_prob[np.arange(len(t)), t]))


def brier(t: Ints, log_prob: Floats) -> float:
    """Brier score: half the mean of sum_k (P_k - [t = k])^2, so that two treatments give (P_1 - t)^2: (n,), (n, K).

    P(treated) is 0.5 for a treated row and 0.75 for an untreated one: (0.25 + 0.5625) / 2.

    >>> round(brier(np.array([1, 0]), np.log([[0.5, 0.5], [0.25, 0.75]])), 4)
    0.4062
    """
    truth = np.eye(log_prob.shape[1])[t]
    return float(np.mean(((np.exp(log_prob) - truth) ** 2).sum(axis=1)) / 2)


def nll(log_prob: Floats) -> float:
    """Negative log-likelihood per row, in nats, of a density in the outcome's unit: (n,)."""
    return -float(np.mean(log_prob))


def coverage(y: Floats, low: Floats, high: Floats) -> float:
    """Share of the outcomes in their intervals: (n, d_y) each."""
    return float(np.mean((low <= y) & (y <= high)))


def mean_predictor_rmse(y_train: Floats, y: Floats) -> float:
    """RMSE of predicting the mean outcome of the training rows for every row: (n_train, d_y), (n, d_y).

    The training rows have the mean 3, which misses 0 and 6 by 3 each:

    >>> mean_predictor_rmse(np.array([[2.0], [4.0]]), np.array([[0.0], [6.0]]))
    3.0
    """
    return rmse(y, np.broadcast_to(y_train.mean(axis=0), y.shape))

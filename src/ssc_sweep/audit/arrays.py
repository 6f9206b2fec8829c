"""Small statistics that several measures share: ridge fit, out-of-fold scores, AUC, row samples for costly measures."""

import numpy as np

from ssc_sweep.data.cohort import Floats, Ints
from ssc_sweep.streams import stream

# Costly measures use at most this many rows and cells, so a million rows cost no more than some thousands.
MOST_ROWS = 2_000
MOST_CELLS = 1_000_000
FOLDS = 5
LARGEST = 1e150  # larger values have no finite squares and are not measured


def some_rows(n: int, columns: int, most: int = MOST_ROWS) -> Ints:
    """Return at most `most` of n row positions, drawn without replacement, always the same; fewer of wide tables."""
    size = min(n, most, max(100, MOST_CELLS // max(columns, 1)))
    return np.arange(n) if size == n else np.sort(stream(0, "audit").permutation(n)[:size])


def ridge(x: Floats, y: Floats, penalty: float) -> Floats:
    """Return coefficients (d + 1, k) of min |y - intercept - x b|^2 + penalty n |b|^2, the intercept first.

    Solved in the space of columns or of rows, whichever is smaller.

    Args:
        x: shape (n, d). y: shape (n, k).
        penalty: above 0, as columns may be sums of others.
    """
    n, d = x.shape
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    xc, yc = x - x_mean, y - y_mean
    if d <= n:
        b = np.linalg.solve(xc.T @ xc + penalty * n * np.eye(d), xc.T @ yc)
    else:
        b = xc.T @ np.linalg.solve(xc @ xc.T + penalty * n * np.eye(n), yc)
    return np.concatenate([(y_mean - x_mean @ b)[None], b])


def folds(n: int) -> Ints:
    """Return a fold 0 ... FOLDS-1 for each of n rows, shape (n,), the same at each call."""
    return stream(0, "audit.folds").permutation(n) % FOLDS


def left_out(x: Floats, y: Floats, penalty: float) -> Floats:
    """Return the ridge prediction for each row by a fit to the other folds, shape (n, k)."""
    fold, said = folds(len(x)), np.empty_like(y)
    for k in range(FOLDS):
        out = fold == k
        if out.any():
            b = ridge(x[~out], y[~out], penalty)
            said[out] = b[0] + x[out] @ b[1:]
    return said


class LeftOneOut:
    """Ridge predictions for each row by a fit to all others, for n > d.

    From one fit: with H the hat matrix, a row's residual is divided by 1 - H_ii (Allen's PRESS, 1974). Usable for
    several targets of the same rows.

    Args:
        x: shape (n, d).
        penalty: see `ridge`.
    """

    def __init__(self, x: Floats, penalty: float) -> None:
        n, d = x.shape
        self.x = np.column_stack([np.ones(n), x - x.mean(axis=0)])
        gram = self.x.T @ self.x + penalty * n * np.diag([0.0] + [1.0] * d)
        self.fit = np.linalg.solve(gram, self.x.T)
        self.own = np.maximum(1 - np.einsum("ij,ji->i", self.x, self.fit), 1e-9)

    def says(self, y: Floats) -> Floats:
        """Return the predictions for targets y, shape (n,)."""
        return y - (y - self.x @ (self.fit @ y)) / self.own


def r2(y: Floats, said: Floats) -> float:
    """Return 1 minus the squared error over that of the mean; NaN if y, shape (n,), is constant."""
    spread = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - said) ** 2).sum()) / spread if spread > 0 else float("nan")


def auc(score: Floats, positive: np.ndarray) -> float:
    """Return the probability that a positive row scores above a negative one, ties half; NaN if a side has no row.

    The Mann-Whitney statistic: mean ranks, ties shared.
    """
    ones, n = int(positive.sum()), len(positive)
    if ones in (0, n):
        return float("nan")
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (n - ones)))

"""Small statistics that several measures share: a ridge fit, out-of-fold scores, AUC, rows drawn for what is costly."""

import numpy as np

from ssc_sweep.data.cohort import Floats, Ints
from ssc_sweep.streams import stream

# What is costly looks at so many rows and cells at most: then a million rows cost no more than some thousands.
MOST_ROWS = 2_000
MOST_CELLS = 1_000_000
FOLDS = 5
LARGEST = 1e150  # the squares of larger values are no finite numbers: nothing is measured of them


def some_rows(n: int, columns: int, most: int = MOST_ROWS) -> Ints:
    """Positions of at most `most` of n rows, drawn without replacement, the same at each call; fewer of wide tables."""
    size = min(n, most, max(100, MOST_CELLS // max(columns, 1)))
    return np.arange(n) if size == n else np.sort(stream(0, "audit").permutation(n)[:size])


def ridge(x: Floats, y: Floats, penalty: float) -> Floats:
    """Coefficients (d + 1, k) of min |y - intercept - x b|^2 + penalty n |b|^2, the intercept first.

    Solved in the space of the columns or of the rows, whichever is smaller.

    Args:
        x: shape (n, d). y: shape (n, k).
        penalty: greater than 0: columns may be sums of others.
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
    """A fold 0 ... FOLDS-1 for each of n rows, shape (n,), the same at each call."""
    return stream(0, "audit.folds").permutation(n) % FOLDS


def left_out(x: Floats, y: Floats, penalty: float) -> Floats:
    """What ridge regression says of each row when it is fitted to the other folds, shape (n, k)."""
    fold, said = folds(len(x)), np.empty_like(y)
    for k in range(FOLDS):
        out = fold == k
        if out.any():
            b = ridge(x[~out], y[~out], penalty)
            said[out] = b[0] + x[out] @ b[1:]
    return said


class LeftOneOut:
    """What ridge regression says of each row when it is fitted to all others, for n > d.

    From one fit: with H the hat matrix, a row's residual is divided by 1 - H_ii (Allen's PRESS, 1974). The same rows
    may be asked for several targets.

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
        """Of targets y, shape (n,)."""
        return y - (y - self.x @ (self.fit @ y)) / self.own


def r2(y: Floats, said: Floats) -> float:
    """1 minus the squared error over that of the mean; NaN where y, shape (n,), is constant."""
    spread = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - said) ** 2).sum()) / spread if spread > 0 else float("nan")


def auc(score: Floats, positive: np.ndarray) -> float:
    """Probability that a positive row has a larger score than another one, ties half; NaN where a side has no row.

    The Mann-Whitney statistic: mean ranks, ties shared.
    """
    ones, n = int(positive.sum()), len(positive)
    if ones in (0, n):
        return float("nan")
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (n - ones)))

"""Distances of validation rows from training rows, over all columns."""

import numpy as np

from ssc_sweep.audit.arrays import auc, left_out, some_rows
from ssc_sweep.data.cohort import Floats
from ssc_sweep.streams import stream

PERMUTATIONS = 199
# Ridge penalty of the domain classifier, in units of its standardised columns: redundant columns share their weight.
PENALTY = 0.1


def shrinkage(x: Floats) -> tuple[float, float]:
    """Return Ledoit and Wolf's weight of the identity, 0 to 1, and its scale mu, for centred rows x, shape (n, d).

    The covariance estimate is (1 - weight) x'x / n + weight mu I (Ledoit & Wolf 2004, "A well-conditioned estimator
    for large-dimensional covariance matrices"). Sums over the d x d matrix are taken from the n x n one if that is
    smaller.
    """
    n, d = x.shape
    gram = x @ x.T if n < d else x.T @ x
    mu = float(np.trace(gram)) / (n * d)
    squared = float((gram**2).sum()) / n**2
    beta = (float(((x**2).sum(axis=1) ** 2).sum()) / n - squared) / (d * n)
    delta = squared / d - mu**2
    return (min(max(beta, 0.0), delta) / delta if delta > 0 else 1.0), mu


def mahalanobis(reference: Floats, rows: Floats) -> Floats:
    """Return distances (m,) of rows (m, d) from the mean of the reference (n, d), by its shrunk covariance."""
    mean = reference.mean(axis=0)
    x, away = reference - mean, rows - mean
    n, d = x.shape
    weight, mu = shrinkage(x)
    if n < d:
        values, vectors = np.linalg.eigh(x @ x.T)
        kept = values > 1e-10 * max(values[-1], 1e-300)
        values = values[kept]
        axes = x.T @ vectors[:, kept] / np.sqrt(values)
    else:
        values, axes = np.linalg.eigh(x.T @ x)
    along = away @ axes
    rest = np.maximum((away**2).sum(axis=1) - (along**2).sum(axis=1), 0.0) if n < d else np.zeros(len(rows))
    floor = max(weight * mu, 1e-12 * mu, 1e-300)
    return np.sqrt((along**2 / ((1 - weight) * np.maximum(values, 0) / n + floor)).sum(axis=1) + rest / floor)


def mahalanobis_ratio(train: Floats, val: Floats) -> float:
    """Return median distance of validation rows over that of training rows, each from a training half without them.

    Args:
        train, val: z of columns that vary in training, shapes (n, d) and (m, d).
    """
    if len(train) < 4 or train.shape[1] == 0:
        return float("nan")
    order = stream(0, "audit.halves").permutation(len(train))
    halves = train[order[::2]], train[order[1::2]]
    near = np.concatenate([mahalanobis(halves[0], halves[1]), mahalanobis(halves[1], halves[0])])
    far = np.concatenate([mahalanobis(half, val) for half in halves])
    return _ratio(far, near)


def neighbour_ratio(train: Floats, val: Floats) -> float:
    """Return the median distance of validation rows to the nearest training row, over that among training rows."""
    if len(train) < 2 or train.shape[1] == 0:
        return float("nan")
    own = _squared(train, train)
    np.fill_diagonal(own, np.inf)
    return _ratio(np.sqrt(_squared(val, train).min(axis=1)), np.sqrt(own.min(axis=1)))


def _ratio(far: Floats, near: Floats) -> float:
    """Return the ratio of medians; NaN if training rows have distance 0, as duplicates do."""
    below = float(np.median(near))
    return float(np.median(far)) / below if below > 0 else float("nan")


def _squared(a: Floats, b: Floats) -> Floats:
    """Return squared distances (n, m)."""
    found = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.maximum(found, 0.0)


def domain(train: Floats, val: Floats) -> tuple[float, float]:
    """Return the out-of-fold AUC of a linear classifier of validation against training rows, and its permutation p.

    The classifier is a ridge regression of the row's side on the columns and their squares, each standardised over
    both sides. p: how often shuffled labels give as large an AUC, (1 + count) / (1 + PERMUTATIONS).

    Args:
        train, val: shapes (n, d) and (m, d).
    """
    x = np.concatenate([train, val])
    x = _standard(np.concatenate([_standard(x), _standard(x) ** 2], axis=1))
    if x.shape[1] == 0 or len(x) < 10:
        return float("nan"), float("nan")
    side = np.arange(len(x)) >= len(train)
    draw = stream(0, "audit.permutations")
    sides = np.column_stack([side, *(draw.permutation(side) for _ in range(PERMUTATIONS))])
    scores = left_out(x, sides.astype(np.float64), PENALTY)
    aucs = np.array([auc(scores[:, i], sides[:, i]) for i in range(sides.shape[1])])
    return float(aucs[0]), float((aucs >= aucs[0]).mean())


def _standard(x: Floats) -> Floats:
    """Return columns with mean 0 and variance 1; drop constant ones."""
    spread = x.std(axis=0)
    kept = spread > 1e-9 * (1 + np.abs(x).max(axis=0, initial=0.0))
    return (x[:, kept] - x[:, kept].mean(axis=0)) / spread[kept]


def sample(train: Floats, val: Floats, most: int) -> tuple[Floats, Floats]:
    """Return at most `most` rows of each."""
    return tuple(rows[some_rows(len(rows), rows.shape[1], most)] for rows in (train, val))  # type: ignore[return-value]

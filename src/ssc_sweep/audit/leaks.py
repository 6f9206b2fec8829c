"""Find out whether a linear rule predicts the outcome or the treatment from the covariates, and from which ones.

The better of two fits counts: a linear model of all columns, each training row predicted by the fit to the others; and
one of a few columns, picked one by one on the training rows and trusted only as far as it also holds on the validation
rows. The second finds a leak if columns are many and rows are few.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ssc_sweep.audit.arrays import LeftOneOut, auc, r2, ridge
from ssc_sweep.data.cohort import HIDDEN, Floats, Ints

FEWEST_ROWS = 10
PENALTY = 1e-8  # so small that an exact sum of columns keeps R2 = 1
MOST_PICKED = 3
# A column belongs to a rule if what it adds is at least this share of the target's standard deviation.
MATTERS = 0.05

Measure = Callable[[Floats, Floats], float]


@dataclass(frozen=True)
class Side:
    """Rows of one side: z of columns that vary in training, (n, d); codes of treatments, (n,); outcomes, (n, d_y)."""

    z: Floats
    t: Ints
    y: Floats


@dataclass(frozen=True)
class Leak:
    """How well covariates predict a target, and the positions of the columns that do, the most important first."""

    value: float
    columns: tuple[int, ...] = ()


def leaks(train: Side, val: Side, treatments: int) -> tuple[Leak, Leak]:
    """Return R2 of the best-predicted outcome, and AUC of the best-predicted treatment, one against the others.

    Rows with an unknown treatment are left out of the AUC.
    """
    judge = _judge(train.z)
    outcomes = [_leak(train.z, y, val.z, y_val, r2, judge) for y, y_val in zip(train.y.T, val.y.T, strict=True)]
    known, known_val = train.t != HIDDEN, val.t != HIDDEN
    z, t, z_val, t_val = train.z[known], train.t[known], val.z[known_val], val.t[known_val]
    if not known.all():
        judge = _judge(z)
    codes = range(1 if treatments == 2 else 0, treatments)
    ones = [((t == k).astype(np.float64), (t_val == k).astype(np.float64)) for k in codes]
    treated = [_leak(z, one, z_val, one_val, _auc, judge) for one, one_val in ones]
    return _best(outcomes, 0.0), _best(treated, 0.5)


def _judge(x: Floats) -> LeftOneOut | None:
    """Return a leave-one-out fit of all columns; None if there are too few rows."""
    n, d = x.shape
    return LeftOneOut(x, PENALTY) if n > d + 1 and d and n >= FEWEST_ROWS else None


def _best(found: list[Leak], least: float) -> Leak:
    known = [leak for leak in found if leak.value == leak.value]
    if not known:
        return Leak(float("nan"))
    best = max(known, key=lambda leak: leak.value)
    return Leak(max(best.value, least), best.columns)


def _auc(y: Floats, said: Floats) -> float:
    return auc(said, y > 0.5)


def _leak(x: Floats, y: Floats, x_val: Floats, y_val: Floats, measure: Measure, judge: LeftOneOut | None) -> Leak:
    n, d = x.shape
    if n < FEWEST_ROWS or np.ptp(y) == 0 or d == 0:
        return Leak(float("nan"))
    few = _picked(x, y, x_val, y_val, measure)
    if judge is None:
        return few
    whole = measure(y, judge.says(y))
    return few if few.value >= whole else Leak(whole, _that_matter(x, y, list(range(d))))


def _that_matter(x: Floats, y: Floats, columns: list[int]) -> tuple[int, ...]:
    """Return those of the columns to which a linear fit on them gives weight, the heaviest first."""
    size = np.abs(ridge(x[:, columns], y[:, None], PENALTY)[1:, 0]) * x[:, columns].std(axis=0) / y.std()
    return tuple(columns[i] for i in np.argsort(-size) if size[i] > MATTERS)


def _picked(x: Floats, y: Floats, x_val: Floats, y_val: Floats, measure: Measure) -> Leak:
    """Orthogonal matching pursuit: add the column most correlated with the residual of y, then refit."""
    chosen: list[int] = []
    best, kept = float("-inf"), 0
    left = y - y.mean()
    size = np.sqrt((x**2).sum(axis=0))
    varied = np.ptp(y_val) > 0 if len(y_val) else False
    while len(chosen) < min(MOST_PICKED, x.shape[1], len(y) // 5):
        pull = np.abs(left @ x) / size
        pull[chosen] = -1.0
        chosen.append(int(np.argmax(pull)))
        b = ridge(x[:, chosen], y[:, None], PENALTY)[:, 0]
        said = b[0] + x[:, chosen] @ b[1:]
        left = y - said
        value = measure(y, said)
        if varied:
            value = min(value, measure(y_val, b[0] + x_val[:, chosen] @ b[1:]))
        if value > best + 1e-9:
            best, kept = value, len(chosen)
    return Leak(best, _that_matter(x, y, chosen[:kept]))

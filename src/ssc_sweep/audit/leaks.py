"""Whether the covariates tell the outcome or the treatment by a linear rule, and which of them.

Two answers count, whichever is better: a linear model of all columns, each training row judged by the fit to the
others; and one of a few columns, picked among the training rows one by one and believed only as far as it also holds
among the validation rows. The second finds a leak where columns are many and rows are few.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ssc_sweep.audit.arrays import auc, left_one_out, r2, ridge
from ssc_sweep.data.cohort import Floats, Ints

FEWEST_ROWS = 10
PENALTY = 1e-8  # so small that an exact sum of columns keeps R2 = 1
MOST_PICKED = 3
# A column belongs to a rule if what it adds is at least this share of the target's standard deviation.
MATTERS = 0.05

Measure = Callable[[Floats, Floats], float]


@dataclass(frozen=True)
class Leak:
    """How well covariates tell a target, and the positions of the columns that do, those that matter most first."""

    value: float
    columns: tuple[int, ...] = ()


def outcome_leak(train: Floats, y: Floats, val: Floats, y_val: Floats) -> Leak:
    """R2 of the outcome that is told best.

    Args:
        train, val: z of columns that vary in training, shapes (n, d) and (m, d).
        y, y_val: outcomes, shapes (n, d_y) and (m, d_y).
    """
    found = [_leak(train, y[:, i], val, y_val[:, i], r2) for i in range(y.shape[1])]
    return _best(found, 0.0)


def treatment_leak(train: Floats, t: Ints, val: Floats, t_val: Ints, treatments: int) -> Leak:
    """AUC of the treatment, one against the others, that is told best. Rows with an unknown treatment are left out.

    Args:
        t, t_val: codes 0 ... K-1, HIDDEN where unknown, shapes (n,) and (m,).
    """
    known, known_val = t >= 0, t_val >= 0
    x, x_val = train[known], val[known_val]
    ones = range(1 if treatments == 2 else 0, treatments)
    found = [
        _leak(x, (t[known] == k).astype(np.float64), x_val, (t_val[known_val] == k).astype(np.float64), _auc)
        for k in ones
    ]
    return _best(found, 0.5)


def _best(found: list[Leak], least: float) -> Leak:
    known = [leak for leak in found if leak.value == leak.value]
    if not known:
        return Leak(float("nan"))
    best = max(known, key=lambda leak: leak.value)
    return Leak(max(best.value, least), best.columns)


def _auc(y: Floats, said: Floats) -> float:
    return auc(said, y > 0.5)


def _leak(x: Floats, y: Floats, x_val: Floats, y_val: Floats, measure: Measure) -> Leak:
    n, d = x.shape
    if n < FEWEST_ROWS or np.ptp(y) == 0 or d == 0:
        return Leak(float("nan"))
    few = _picked(x, y, x_val, y_val, measure)
    if n <= d + 1:
        return few
    whole = measure(y, left_one_out(x, y[:, None], PENALTY)[:, 0])
    return few if few.value >= whole else Leak(whole, _that_matter(x, y, list(range(d))))


def _that_matter(x: Floats, y: Floats, columns: list[int]) -> tuple[int, ...]:
    """Those of the columns that a linear fit on them gives weight, the heaviest first."""
    size = np.abs(ridge(x[:, columns], y[:, None], PENALTY)[1:, 0]) * x[:, columns].std(axis=0) / y.std()
    return tuple(columns[i] for i in np.argsort(-size) if size[i] > MATTERS)


def _picked(x: Floats, y: Floats, x_val: Floats, y_val: Floats, measure: Measure) -> Leak:
    """Orthogonal matching pursuit: the column most correlated with what is left of y, then the fit anew."""
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

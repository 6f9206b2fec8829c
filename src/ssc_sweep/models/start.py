"""Where a model may start: the linear fit of one run's training rows, solved, in double precision.

    outcome     y ~ a_t + B x,   minimising sum w |y - a_t - B x|^2 + l2 |B|^2; the a_t are free
    treatment   P(t | x) = softmax(c + W x), minimising -sum log P(t) + l2 / 2 |W|^2

A row whose treatment is hidden has the probabilities p(t | x) in place of indicators of the treatment, and weight w.
That is unbiased, since E[Y | x] = sum_t p(t | x) a_t + B x (regression calibration, Carroll et al. 2006, chapter 4).
The l2 of each outcome is the largest of L2, times the number of rows, whose leave-one-out error is within one standard
error of the least (Breiman et al. 1984, the one-standard-error rule; the standard error is that of the difference). The
leave-one-out error is exact and costs one decomposition (Golub, Heath & Wahba 1979): leaving row i out changes the
prediction for any point q by -w_i K(q, i) e_i / (1 - w_i K(i, i)), with e the errors of the fit to all rows and K(q, i)
what q takes from row i.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from ssc_sweep.data.cohort import Floats, Ints

# Penalties a row that are tried: the outcome's, and the treatment's for all rows together.
L2 = np.logspace(-9, 3, 25)
L2_TREATMENT = np.logspace(-1, 4, 6)
# Least 1 - leverage: a row that the fit depends on alone says nothing of the error without it.
LEAST_FREE = 1e-9
# More rows than these do not make the start better.
TREATMENT_ROWS = 20_000


@dataclass(frozen=True)
class OutcomeStart:
    """The linear outcome of one run.

    Attributes:
        coefficient: B, shape (d_x, d_y).
        intercept: a, shape (K, d_y).
        left_out: each row's outcome minus its prediction under every treatment without that row, shape (n, K, d_y).
    """

    coefficient: Floats
    intercept: Floats
    left_out: Floats


def solve_outcome(x: Floats, p: Floats, y: Floats, weight: Floats) -> OutcomeStart:
    """Fit outcomes (n, d_y) to covariates (n, d_x) and probabilities of the treatments p (n, K), by weights (n,)."""
    root = np.sqrt(weight)[:, None]
    # Treatments are taken out of x and y first (Frisch-Waugh), so that they are not penalised.
    inner = np.linalg.inv((root * p).T @ (root * p))
    of_x, of_y = (inner @ (weight[:, None] * p).T @ each for each in (x, y))
    x_left, y_left = x - p @ of_x, y - p @ of_y
    turned, basis, spread = _principal(root * x_left, x_left)
    covered = (p @ inner * p).sum(axis=1)
    coefficient, left_out = np.empty((x.shape[1], y.shape[1])), np.empty((*p.shape, y.shape[1]))
    # What leaving a row out does to its prediction under treatment k: through the treatments, and through x.
    by_treatment = p @ inner
    shift = x[:, None, :] - of_x
    for i in range(y.shape[1]):
        shrunk, error, leverage = _penalised(turned, spread, y_left[:, i], weight, covered)
        coefficient[:, i] = basis @ (turned.T @ (weight * y_left[:, i]) / shrunk)
        kernel = by_treatment + np.einsum("nkd,nd->nk", shift, (turned / shrunk) @ basis.T)
        free = np.maximum(1 - weight * leverage, LEAST_FREE)
        full = y[:, [i]] - (x @ coefficient[:, [i]] + (of_y[:, i] - of_x @ coefficient[:, i]))
        left_out[:, :, i] = full + kernel * (weight * error / free)[:, None]
    return OutcomeStart(coefficient, of_y - of_x @ coefficient, left_out)


def _principal(weighted: Floats, rows: Floats) -> tuple[Floats, Floats, Floats]:
    """(rows in the principal axes of `weighted`, those axes, sums of squares): (n, r), (d, r), (r,)."""
    if len(weighted) < weighted.shape[1]:
        _, singular, axes = np.linalg.svd(weighted, full_matrices=False)
        return rows @ axes.T, axes.T, singular**2
    spread, axes = np.linalg.eigh(weighted.T @ weighted)
    return rows @ axes, axes, np.maximum(spread, 0)


def _penalised(
    turned: Floats, spread: Floats, y: Floats, weight: Floats, covered: Floats
) -> tuple[Floats, Floats, Floats]:
    """(spread + l2, errors of the fit, leverages) of the penalty that the module's rule chooses: (r,), (n,), (n,)."""
    along, total = turned.T @ (weight * y), weight.sum()
    fits, squares = [], np.empty((len(L2), len(y)))
    for i, l2 in enumerate(L2 * total):
        error = y - turned @ (along / (spread + l2))
        leverage = covered + turned**2 @ (1 / (spread + l2))
        fits.append((spread + l2, error, leverage))
        squares[i] = (error / np.maximum(1 - weight * leverage, LEAST_FREE)) ** 2
    # How much worse each penalty is than the best, row by row.
    worse = squares - squares[np.argmin(squares @ weight)]
    mean = worse @ weight / total
    error_of_mean = np.sqrt((worse - mean[:, None]) ** 2 @ weight**2) / total
    return fits[int(np.flatnonzero(mean <= error_of_mean)[-1])]


def solve_treatment(x: Floats, t: Ints, held_x: Floats, held_t: Ints, treatments: int) -> tuple[Floats, Floats]:
    """(W, c) of p(t | x) from rows in random order, covariates (n, d_x), treatments (n,): (d_x, K), (K,).

    The rows that are held out choose the penalty, and nothing else; without any it is the largest.
    """
    best, least = (np.zeros((x.shape[1], treatments)), np.zeros(treatments)), np.inf
    for l2 in L2_TREATMENT[::-1]:
        model = LogisticRegression(C=1 / l2, solver="newton-cholesky", max_iter=1000)
        model.fit(x[:TREATMENT_ROWS], t[:TREATMENT_ROWS])
        loss = log_loss(held_t, model.predict_proba(held_x), labels=model.classes_) if len(held_t) else 0.0
        if loss < least:
            w, c = model.coef_.T, model.intercept_
            if treatments == 2:  # scikit-learn has one score, for the second
                w, c = np.column_stack([np.zeros(len(w)), w]), np.array([0.0, c[0]])
            best, least = (w, c), loss
    return best

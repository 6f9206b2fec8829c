"""A starting point for models: the linear fit of one run's training rows, solved in double precision.

    treatment   p(t | x) = softmax(c + W x), minimising -sum log p(t) + l2 / 2 |W|^2
    outcome     E[Y | x, t] = a + B (x, p(. | x)) + e_t - sum_k p(k | x) e_k, e_0 = 0, minimising
                sum w |y - E[Y | x, t]|^2 + l2 |B|^2

This is Robinson's partially linear form (1988, Econometrica 56): the outcome given the covariates, plus the effects e
of the part of the treatment that the covariates do not predict. So what the penalty on B takes from a confounder does
not go into the effects. A row whose treatment is hidden has E[Y | x] = a + B (x, p), and weight w: it informs B alone.

The effects have the prior N(0, var y): a penalty of v / var y on |e|^2, with v the squared leave-one-out error of the
same fit with a penalty of 1. It matters if the covariates predict the treatment almost fully, as when one leaks it.

The l2 of each outcome is the largest of L2, times the number of rows, whose leave-one-out error is within one standard
error of the least (Breiman et al. 1984, the one-standard-error rule; the standard error is that of the difference). The
leave-one-out error is exact and costs one decomposition (Golub, Heath & Wahba 1979): leaving row i out changes the
prediction for any point q by -w_i K(q, i) r_i / (1 - w_i K(i, i)), with r the errors of the fit to all rows and K(q, i)
the weight of row i in the prediction for q.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from ssc_sweep.data.cohort import HIDDEN, Floats, Ints

# Penalties that are tried: the outcome's, per row, and the treatment's, for all rows together.
L2 = np.logspace(-9, 3, 25)
L2_TREATMENT = np.logspace(-1, 4, 6)
# Least 1 - leverage: a row that alone determines a part of the fit tells nothing of the error without it.
LEAST_FREE = 1e-9
# Smallest sd to divide p(t | x) by: it is constant if the covariates do not predict the treatment.
LEAST_SPREAD = 1e-3
# More rows than this do not improve the start.
OUTCOME_ROWS, TREATMENT_ROWS = 50_000, 20_000


@dataclass(frozen=True)
class OutcomeStart:
    """The linear outcome of one run: E[Y | x, t] = intercept_t + x coefficient + p(. | x) chance.

    Attributes:
        coefficient: shape (d_x, d_y).
        chance: shape (K, d_y), 0 for the first treatment.
        intercept: shape (K, d_y).
        left_out: each row's outcome minus its leave-one-out prediction under every treatment, shape (n, K, d_y).
    """

    coefficient: Floats
    chance: Floats
    intercept: Floats
    left_out: Floats


def solve_outcome(x: Floats, p: Floats, t: Ints, y: Floats, hidden_weight: float) -> OutcomeStart:
    """Fit outcomes (n, d_y) to covariates (n, d_x), p(t | x) (n, K) and treatments (n,); rows are in random order.

    Args:
        t: HIDDEN if the treatment is hidden; such rows have `hidden_weight`, all others 1.
    """
    fits = [_with_prior(x[:OUTCOME_ROWS], p[:OUTCOME_ROWS], t[:OUTCOME_ROWS], one, hidden_weight) for one in y.T]
    joined = {name: np.concatenate([vars(fit)[name] for fit in fits], axis=-1) for name in vars(fits[0])}
    # Rows outside the fit are left out already.
    rest = slice(OUTCOME_ROWS, None)
    line = x[rest] @ joined["coefficient"] + p[rest] @ joined["chance"]
    further = y[rest, None, :] - line[:, None, :] - joined["intercept"]
    return OutcomeStart(**joined | {"left_out": np.concatenate([joined["left_out"], further])})


def _with_prior(x: Floats, p: Floats, t: Ints, y: Floats, hidden_weight: float) -> OutcomeStart:
    """Fit one outcome to the first rows, with the effects' penalty from a fit with a penalty of 1."""
    y, seen = y[: len(t)], t != HIDDEN
    error = _fit(x, p, t, y, hidden_weight, 1.0).left_out[np.arange(len(t)), t, 0][seen]
    variance = y[seen].var()
    share = min(1.0, float((error**2).mean() / variance)) if variance > 0 else 1.0
    return _fit(x, p, t, y, hidden_weight, share)


def _fit(x: Floats, p: Floats, t: Ints, y: Floats, hidden_weight: float, prior: float) -> OutcomeStart:
    """Fit one outcome (n,), with the penalty `prior` on the effects."""
    n, k = p.shape
    seen = t != HIDDEN
    # Penalised by l2: x, and p in units of its spread. The rest: 1, and treatment minus p, for every treatment.
    spread = np.maximum(p[:, 1:].std(axis=0), LEAST_SPREAD)
    of_x = np.concatenate([x, p[:, 1:] / spread], axis=1)
    every = np.ones((n, k, k))
    every[:, :, 1:] = np.eye(k)[:, 1:] - p[:, None, 1:]
    rest = np.where(seen[:, None], every[np.arange(n), t], np.eye(k)[0])
    # A penalty on an effect is an extra row that says that it is 0.
    weight = np.concatenate([np.where(seen, 1.0, hidden_weight), np.full(k - 1, prior)])
    shrunk, rest, y_all = (np.concatenate([a, b]) for a, b in (
        (of_x, np.zeros((k - 1, of_x.shape[1]))), (rest, np.eye(k)[1:]), (y, np.zeros(k - 1))
    ))  # fmt: skip
    # The rest is partialled out first (Frisch-Waugh).
    inner = np.linalg.inv(rest.T @ (weight[:, None] * rest))
    x_level, y_level = (inner @ (rest.T * weight) @ each for each in (shrunk, y_all))
    x_left, y_left = shrunk - rest @ x_level, y_all - rest @ y_level
    turned, axes, squares = _principal(np.sqrt(weight)[:, None] * x_left, x_left)
    covered = np.einsum("nk,nk->n", rest @ inner, rest)
    denominator, error, leverage = _penalised(turned, squares, y_left, weight, covered, n)
    slope = axes @ (turned.T @ (weight * y_left) / denominator)
    level = y_level - x_level @ slope
    # Weight of each row in its own prediction, under every treatment.
    own = (turned[:n] / denominator) @ axes.T
    itself = np.einsum("nkc,nc->nk", every, rest[:n] @ inner - own @ x_level.T) + (of_x * own).sum(axis=1)[:, None]
    without = (weight * error / np.maximum(1 - weight * leverage, LEAST_FREE))[:n]
    left_out = y[:, None] - every @ level - (of_x @ slope)[:, None] + itself * without[:, None]
    effects = np.concatenate([[0.0], level[1:]])
    chance = np.concatenate([[0.0], slope[x.shape[1] :] / spread]) - effects
    found = slope[: x.shape[1]], chance, level[0] + effects, left_out
    return OutcomeStart(*(each[..., None] for each in found))


def _principal(weighted: Floats, rows: Floats) -> tuple[Floats, Floats, Floats]:
    """(rows in the principal axes of `weighted`, those axes, sums of squares): (n, r), (d, r), (r,)."""
    if len(weighted) < weighted.shape[1]:
        _, singular, axes = np.linalg.svd(weighted, full_matrices=False)
        return rows @ axes.T, axes.T, singular**2
    spread, axes = np.linalg.eigh(weighted.T @ weighted)
    return rows @ axes, axes, np.maximum(spread, 0)


def _penalised(
    turned: Floats, squares: Floats, y: Floats, weight: Floats, covered: Floats, count: int
) -> tuple[Floats, Floats, Floats]:
    """Return (squares + l2, errors of the fit, leverages) for the l2 chosen by the module's rule: (r,), (n,), (n,).

    The rule uses the first `count` rows.
    """
    along, judges = turned.T @ (weight * y), weight[:count]
    total = judges.sum()
    fits, errors = [], np.empty((len(L2), count))
    for i, l2 in enumerate(L2 * total):
        error = y - turned @ (along / (squares + l2))
        leverage = covered + turned**2 @ (1 / (squares + l2))
        fits.append((squares + l2, error, leverage))
        errors[i] = (error / np.maximum(1 - weight * leverage, LEAST_FREE))[:count] ** 2
    # How much worse each penalty is than the best, row by row.
    worse = errors - errors[np.argmin(errors @ judges)]
    mean = worse @ judges / total
    error_of_mean = np.sqrt((worse - mean[:, None]) ** 2 @ judges**2) / total
    return fits[int(np.flatnonzero(mean <= error_of_mean)[-1])]


def solve_treatment(x: Floats, t: Ints, held_x: Floats, held_t: Ints, treatments: int) -> tuple[Floats, Floats]:
    """(W, c) of p(t | x) from rows in random order, covariates (n, d_x), treatments (n,): (d_x, K), (K,).

    The rows held out only choose the penalty; without any, it is the largest.
    """
    best, least = (np.zeros((x.shape[1], treatments)), np.zeros(treatments)), np.inf
    for l2 in L2_TREATMENT[::-1]:
        model = LogisticRegression(C=1 / l2, solver="newton-cholesky", max_iter=1000)
        model.fit(x[:TREATMENT_ROWS], t[:TREATMENT_ROWS])
        loss = log_loss(held_t, model.predict_proba(held_x), labels=model.classes_) if len(held_t) else 0.0
        if loss < least:
            best, least = scores_of(model, treatments), loss
    return best


def scores_of(model: LogisticRegression, treatments: int) -> tuple[Floats, Floats]:
    """(W, c) of a fitted model, a column for each treatment: (d, K), (K,)."""
    w, c = model.coef_.T, model.intercept_
    if treatments == 2:  # scikit-learn has one score, for the second
        return np.column_stack([np.zeros(len(w)), w]), np.array([0.0, c[0]])
    return w.copy(), c.copy()

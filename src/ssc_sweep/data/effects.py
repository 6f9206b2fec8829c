"""Effect of a treatment on an outcome: five classical estimators of the average effect, after Hernan & Robins.

The effect compares treatment k >= 1 with treatment 0, over all n rows: E[Y(k)] - E[Y(0)]. D are the indicators of the
treatments 1 ... K-1, Z the adjustment columns, M the modifiers, centred on their mean, and p_k(z) = P(T = k | z).

    unadjusted           y ~ 1 + D, the difference of means
    IPW                  the same, each row weighted by 1 / p_t(z)
    outcome regression   y ~ 1 + D + Z
    standardisation      y ~ 1 + D + Z + D x M. As M has mean 0, the coefficient of D_k is the g-formula: the mean over
                         all rows of (outcome predicted under k - outcome predicted under 0)
    AIPW                 the mean over all rows of a_k - a_0, where a_k = m_k(z) + 1[t = k] (y - m_k(z)) / p_k(z)
                         and m_k is the outcome model of the standardisation

p is a multinomial logit of T on Z. Stabilised weights, P(T = t) / p_t(z), would give the same effect and the same
interval: they multiply all rows of a treatment by one number, and `y ~ 1 + D` fits one mean per treatment.

Every interval is effect +- t(0.975, n - q) s with s^2 = sum_i f_i^2 / (n (n - q)). f_i is what row i contributes to the
effect (its influence function), q the number of columns of the outcome model. For the first three this is statsmodels'
robust covariance HC1, which does not need equal variances. Standardisation adds how the mean of M varies from sample
to sample. This is the delta method. It is valid because the effect is a smooth function of means, and needs one fit
where a bootstrap needs hundreds. p counts as known, as in the book's robust interval. This makes the interval of IPW
too wide; that of AIPW is right if both models hold. Intervals are for large samples, dozens of rows per treatment.
Effects are causal only if Z holds all common causes of treatment and outcome. Outcome regression has one effect for all
rows: if the effect differs between rows, it gives a weighted mean that is not the average over the rows.

Sources: Hernan & Robins, "Causal Inference: What If" (2020), chapters 12, 13 and 15. AIPW: Robins, Rotnitzky & Zhao
(1994), JASA 89, 846-866.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from ssc_sweep.config import RunConfig
from ssc_sweep.data.adjustment import adjustment_columns
from ssc_sweep.data.cohort import HIDDEN, Adjustment, Floats, Ints
from ssc_sweep.data.source import load
from ssc_sweep.data.splitting import test_rows
from ssc_sweep.errors import DoesNotFit, UserError

# If the covariates determine the treatment, the likelihood of the logit has no maximum: it flattens out towards
# infinity. Its least curvature, per row and for covariates of variance 1, is then below this: 1e-12 or less in 240
# simulated data sets. In 1,200 with a maximum it was 2e-7 or more.
FLAT = 1e-10
NEWTON_STEPS = 100


@dataclass(frozen=True)
class Estimate:
    """The average effect of `treatment` against treatment 0, with its 95% interval, in the unit of the outcome.

    Attributes:
        rows: number of rows used: those whose treatment is known.
    """

    estimator: str
    treatment: str
    outcome: str
    effect: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class _Effects:
    """The estimates of one estimator for one outcome.

    Attributes:
        effect: of the treatments 1 ... K-1, shape (K-1,).
        influence: contribution of each row to them, shape (n, K-1); its mean over the rows is 0.
        columns: q, number of columns of the outcome model.
    """

    estimator: str
    effect: Floats
    influence: Floats
    columns: int


def estimate_effects(
    covariates: pd.DataFrame,
    t: Ints,
    y: Floats,
    treatments: Sequence[str],
    outcomes: Sequence[str],
    adjustment: Adjustment,
) -> list[Estimate]:
    """Return five estimates for each outcome and each treatment but the first, ordered by outcome, then treatment.

    Gaps, categories and superfluous columns: see `adjustment_columns`.

    Args:
        covariates: n rows of columns measured before the treatment.
        t: treatment codes 0 ... K-1, or -1 where unknown, shape (n,). Unknown rows are left out.
        y: outcomes, none missing, shape (n, d_y).
        treatments: the K names of the treatments.
        outcomes: the d_y names of the outcomes.

    Raises:
        UserError: the adjustment names an unknown column or squares a category; a covariate is neither a number nor a
            category, or is infinite; an outcome is not finite.
        DoesNotFit: fewer than 2 treatments; fewer than 2 known rows of one; fewer rows than columns; a value, a gap
            or several covariates together determine the treatment; modifiers vary too little within a treatment.
    """
    assert t.shape == (len(covariates),) and y.shape == (len(t), len(outcomes)), (covariates.shape, t.shape, y.shape)
    assert covariates.columns.is_unique, "two covariates have one name"
    assert len(t) == 0 or (t.min() >= HIDDEN and t.max() < len(treatments)), "a treatment has no name"
    known = t != HIDDEN
    covariates, t, y = covariates.loc[known], t[known], y[known]
    _check_rows(t, y, treatments, outcomes)
    z, m = adjustment_columns(covariates, t, treatments, adjustment)
    columns = len(treatments) * (1 + m.shape[1]) - m.shape[1] + z.shape[1]
    if len(t) <= columns:
        raise DoesNotFit(
            f"the outcome model has {columns} columns and {len(t)} rows with a known treatment: it needs more rows "
            "than columns. Use fewer covariates, categories or modifiers."
        )
    p, received = _propensities(z, t, treatments), np.eye(len(treatments))[t]
    estimates = []
    for outcome, values in zip(outcomes, y.T, strict=True):
        effects = list(_estimators(values, received, p, z, m, adjustment))
        for k, treatment in enumerate(treatments[1:]):
            for of in effects:
                effect, half = float(of.effect[k]), _half_width(of.influence[:, k], of.columns)
                estimates.append(
                    Estimate(of.estimator, treatment, outcome, effect, effect - half, effect + half, len(t))
                )
    return estimates


def _check_rows(t: Ints, y: Floats, treatments: Sequence[str], outcomes: Sequence[str]) -> None:
    if len(treatments) < 2:
        raise DoesNotFit(f"an effect compares 2 treatments or more: the data has {len(treatments)}.")
    for name, count in zip(treatments, np.bincount(t, minlength=len(treatments)), strict=True):
        if count < 2:
            raise DoesNotFit(
                f"treatment '{name}' has {count} rows with a known treatment: its effect needs 2 or more. "
                "Leave the treatment out, or use more rows."
            )
    for name, bad in zip(outcomes, (~np.isfinite(y)).sum(axis=0), strict=True):
        if bad:
            raise UserError(f"outcome '{name}' is missing or infinite in {bad} rows: leave these rows out.")


def _propensities(z: Floats, t: Ints, treatments: Sequence[str]) -> Floats:
    """Return each row's probability p_t(z) of the treatment that it got, from a multinomial logit, shape (n,)."""
    from statsmodels.discrete.discrete_model import MNLogit  # type: ignore[import-untyped]  # takes a second

    error = DoesNotFit(
        f"the covariates together settle which rows get which of the treatments {', '.join(treatments)}: there is "
        "nobody to compare with, and the propensity model has no fit. Use fewer covariates or categories."
    )
    # Without a maximum the steps overflow. Check the result instead.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            model = MNLogit(t, np.column_stack([np.ones(len(t)), z]))
            fit = model.fit(maxiter=NEWTON_STEPS, disp=False)
            p = np.take_along_axis(fit.predict(), t[:, None], axis=1)[:, 0]
            curvature = np.linalg.eigvalsh(-model.hessian(fit.params.ravel(order="F")) / len(t)).min()
        except np.linalg.LinAlgError:
            raise error from None
    # Written so that NaN fails.
    if not (fit.mle_retvals["converged"] and curvature > FLAT and np.isfinite(p).all()):
        raise error
    return p


def _regress(y: Floats, x: Floats, weights: Floats | float = 1.0) -> tuple[Floats, Floats, Floats]:
    """Return coefficients (q,), influence (n, q) and fitted values (n,) of least squares of y on x (n, q)."""
    from statsmodels.regression.linear_model import WLS  # type: ignore[import-untyped]

    fit = WLS(y, x, weights=weights).fit()
    influence = len(y) * (x * (fit.resid * weights)[:, None]) @ fit.normalized_cov_params
    return fit.params, influence, fit.fittedvalues


def _estimators(
    y: Floats, received: Floats, p: Floats, z: Floats, m: Floats, adjustment: Adjustment
) -> Iterator[_Effects]:
    """Yield the results of the five estimators for one outcome.

    Args:
        y: the outcome, shape (n,).
        received: 1 where row i got treatment k, else 0, shape (n, K).
        p: its probability of that treatment, shape (n,).
        z: adjustment columns, shape (n, d_z).
        m: modifiers, shape (n, d_m).
    """
    d = received[:, 1:]
    treatment = slice(1, received.shape[1])  # the columns of D in every design
    one = np.ones((len(y), 1))
    crude = np.hstack([one, d])
    for estimator, x, weights in (
        ("unadjusted", crude, 1.0),
        ("IPW", crude, 1 / p),
        ("outcome regression", np.hstack([crude, z]), 1.0),
    ):
        effect, influence, _ = _regress(y, x, weights)
        yield _Effects(estimator, effect[treatment], influence[:, treatment], x.shape[1])

    products = (d[:, :, None] * m[:, None, :]).reshape(len(y), -1)
    x = np.hstack([crude, z, products])
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise DoesNotFit(
            f"the modifiers {', '.join(adjustment.modifiers)} vary too little within a treatment to tell how they "
            "change its effect. Use fewer modifiers."
        )
    coefficients, influence, fitted = _regress(y, x)
    slopes = coefficients[x.shape[1] - products.shape[1] :].reshape(d.shape[1], m.shape[1])
    effect, deviation = coefficients[treatment], m @ slopes.T
    yield _Effects("standardisation", effect, influence[:, treatment] + deviation, x.shape[1])

    # The outcome predicted for each row under each treatment, shape (n, K).
    gain = np.hstack([np.zeros_like(one), effect + deviation])
    predicted = (fitted - (gain * received).sum(axis=1))[:, None] + gain
    augmented = predicted + received * (y[:, None] - predicted) / p[:, None]
    difference = augmented[:, 1:] - augmented[:, :1]
    yield _Effects("AIPW", difference.mean(axis=0), difference - difference.mean(axis=0), x.shape[1])


def _half_width(influence: Floats, columns: int) -> float:
    """Return half the width of the 95% interval of an effect with this influence (n,) from a model of q columns."""
    freedom = len(influence) - columns
    error = np.sqrt((influence**2).sum() / (len(influence) * freedom))
    return float(stdtrit(freedom, 0.975) * error)


def effects_csv(config: RunConfig) -> str:
    """Return effects.csv of a study, to set beside the models' own estimates.

    Estimates the effects on all rows of the config's data except test rows, adjusted for its confounders.

    Raises:
        UserError: the data have no confounders, or no estimate for them.
    """
    whole = load(config.dataset).keep("confounders")
    n = len(whole.t)
    cohort = whole.take(np.setdiff1d(np.arange(n), test_rows(n, config.split.test_share)))
    table = pd.DataFrame(cohort.x, columns=cohort.names)
    found = estimate_effects(
        table, cohort.t, cohort.y, cohort.treatments, cohort.outcomes, cohort.adjustment.among(cohort.names)
    )
    return pd.DataFrame([asdict(one) for one in found]).to_csv(index=False)

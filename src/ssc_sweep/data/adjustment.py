"""How covariates enter the models of treatment and outcome: squares, category indicators, gaps, modifiers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.linalg import qr

from ssc_sweep.data.cohort import Adjustment, Floats, Ints
from ssc_sweep.errors import DoesNotFit, UserError

# A column whose component independent of the others is below this share of its size adds only rounding errors.
SAME = 1e-9


def adjustment_columns(
    covariates: pd.DataFrame, t: Ints, treatments: Sequence[str], adjustment: Adjustment
) -> tuple[Floats, Floats]:
    """Return the adjustment columns Z, shape (n, d_z), and the modifiers M, shape (n, d_m).

    Gaps of a number column are filled with its mean, and an indicator of the gaps becomes a column. Gaps of a category
    count as one more value. Z and M are bases of the span of their columns, each with mean 0 and variance 1: constant
    columns, and those that are sums of others, drop out.

    Args:
        covariates: n rows.
        t: treatment codes 0 ... K-1, shape (n,).
        treatments: the K names of the treatments.

    Raises:
        UserError: the adjustment names an unknown column or squares a category; a covariate is neither a number nor a
            category, or is infinite.
        DoesNotFit: a value of a category or of a two-valued column, or a gap, has no row of some treatment, so that
            the propensity model has no fit.
    """
    _check_names(covariates, adjustment)
    columns, modifiers = [np.empty((len(t), 0))], [np.empty((len(t), 0))]
    for name, column in covariates.items():
        category = name in adjustment.categories
        _check_overlap(str(name), column, category, t, treatments)
        if category:
            encoded = pd.get_dummies(column, dummy_na=True, dtype=np.float64).to_numpy()
        else:
            encoded = _number(str(name), column)
        columns.append(encoded)
        if name in adjustment.squared:
            columns.append(encoded[:, :1] ** 2)
        if name in adjustment.modifiers:
            modifiers.append(encoded)
    return _independent(np.hstack(columns)), _independent(np.hstack(modifiers))


def _check_overlap(name: str, column: pd.Series, category: bool, t: Ints, treatments: Sequence[str]) -> None:
    """Raise DoesNotFit if a value of a category or of a two-valued column, or a gap, lacks rows of a treatment."""
    if not category and column.nunique() > 2:
        column = column.isna().map({True: "a gap", False: "a number"})
    codes, values = pd.factorize(column, use_na_sentinel=False)
    counts = np.zeros((len(values), len(treatments)), np.int64)
    np.add.at(counts, (codes, t), 1)
    if (counts == 0).any():
        value, treatment = np.argwhere(counts == 0)[0]
        what = "a gap" if pd.isna(values[value]) else values[value]
        raise DoesNotFit(
            f"covariate '{name}' is {what} in {counts[value].sum()} rows, none of them with treatment "
            f"'{treatments[treatment]}': its effect cannot be told there. Merge values, fill gaps, or leave out the "
            "column or these rows."
        )


def _number(name: str, column: pd.Series) -> Floats:
    """Return the column centred and divided by its range, gaps at the mean 0, and an indicator of its gaps."""
    if not pd.api.types.is_numeric_dtype(column):
        raise UserError(f"covariate '{name}' is no number ({column.dtype}): add it to categories or leave it out.")
    values = column.to_numpy(np.float64, na_value=np.nan)
    if np.isinf(values).any():
        raise UserError(f"covariate '{name}' is infinite in {np.isinf(values).sum()} rows: leave these rows out.")
    gaps = np.isnan(values)
    given = values[~gaps]
    if given.size:
        values = (values - given.mean()) / (np.ptp(given) or 1.0)
    return np.column_stack([np.where(gaps, 0.0, values), gaps])


def _independent(columns: Floats) -> Floats:
    """Return an orthogonal basis of the centred columns, each with mean 0 and variance 1, shape (n, rank).

    A model with an intercept predicts the same from the basis as from the columns, and its fit is well conditioned.
    Constant columns, and those that are sums of others, add nothing to the rank.
    """
    columns = columns[:, np.ptp(columns, axis=0) > 0]
    if columns.shape[1] == 0:
        return columns
    columns = (columns - columns.mean(axis=0)) / np.ptp(columns, axis=0)
    basis, triangle, _ = qr(columns, mode="economic", pivoting=True)
    pivots = np.abs(np.diagonal(triangle))
    return basis[:, pivots > SAME * pivots[0]] * np.sqrt(len(columns))


def _check_names(covariates: pd.DataFrame, adjustment: Adjustment) -> None:
    for field in ("squared", "categories", "modifiers"):
        for name in getattr(adjustment, field):
            if name not in covariates.columns:
                raise UserError(f"{field}: '{name}' is no covariate. Choices: {', '.join(map(str, covariates))}.")
    for name in adjustment.squared:
        if name in adjustment.categories:
            raise UserError(f"covariate '{name}' is in squared and in categories: a category has no square. Keep one.")

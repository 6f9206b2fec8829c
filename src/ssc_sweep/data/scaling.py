"""Fill gaps with the column's mean, then bring every column to mean 0 and standard deviation 1."""

from dataclasses import dataclass

import numpy as np

from ssc_sweep.data.cohort import Cohort, Floats
from ssc_sweep.errors import DoesNotFit


@dataclass(frozen=True)
class Scaler:
    """x -> (x with gaps filled by `mean` - `mean`) / `scale`; both of shape (d_x,), in the units of the columns."""

    mean: Floats
    scale: Floats

    def transform(self, x: Floats) -> Floats:
        return np.asarray((np.where(np.isnan(x), self.mean, x) - self.mean) / self.scale)


def fit(cohort: Cohort) -> Scaler:
    """Take mean and population standard deviation of every column over the rows of `cohort`.

    A column that is constant there keeps its unit (scale 1), as scikit-learn's StandardScaler has it.

    Raises:
        DoesNotFit: a column has no value in any of these rows.
    """
    gaps = np.isnan(cohort.x)
    empty = [name for j, name in enumerate(cohort.roles) if gaps[:, j].all()]
    if empty:
        raise DoesNotFit(
            f"column {empty[0]} of {cohort.name} has no value in the {len(cohort.t)} rows that the scaling is fitted "
            "on: leave it out (covariates) or use more rows (dataset_size)."
        )
    mean = np.nanmean(cohort.x, axis=0)
    # A filled gap lies at the mean: it counts as a row without deviation.
    scale = np.sqrt(np.where(gaps, 0.0, (cohort.x - mean) ** 2).mean(axis=0))
    # The mean of a constant is not exactly the constant: what is left is rounding, not spread.
    constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return Scaler(mean=mean, scale=np.where(constant, 1.0, scale))

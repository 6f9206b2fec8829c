"""Encode columns for a model: standardised numbers, category indicators, gaps filled. Fitted on given rows.

number      (x - mean) / sd, a gap at the mean; a constant column keeps its unit (as in scikit-learn's StandardScaler)
yes/no      0 or 1, a gap at the share of ones
category    one indicator per level; levels that are rare among the fitted rows share one, "other"; a level that the
            fitted rows do not have counts as "other" if there is one, and otherwise has no indicator
gap         if the column asks for it, one more indicator: 1 where the value is missing

With `clip`, numbers are first clipped to the range of the fitted rows, or to a number of their standard deviations.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ssc_sweep.data.cohort import Cohort, Column, Floats, Ints, Kind
from ssc_sweep.errors import DoesNotFit


@dataclass(frozen=True)
class Category:
    """The indicators of a category: code -> indicator, shape (levels,); -1 for a level without one.

    Attributes:
        width: number of indicators.
        unseen: which codes no fitted row has, shape (levels,), bool.
    """

    place: Ints
    width: int
    unseen: np.ndarray


@dataclass(frozen=True)
class Encoder:
    """Fitted columns.

    Attributes:
        columns: those of the cohort.
        mean, scale: of every column, shape (d_x,); 0 and 1 if a column is not standardised.
        fill: value of a gap before standardising, shape (d_x,).
        low, high: bounds to which numbers are clipped, shape (d_x,); infinite if they are not.
        categories: by column index.
        flagged: indices of the columns whose gaps have an indicator.
    """

    columns: tuple[Column, ...]
    mean: Floats
    scale: Floats
    fill: Floats
    low: Floats
    high: Floats
    categories: dict[int, Category]
    flagged: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """Return the names of the encoded columns."""
        names = []
        for j, column in enumerate(self.columns):
            if j in self.categories:
                own = self.categories[j]
                levels: list[list[str]] = [[] for _ in range(own.width)]
                for code, place in enumerate(own.place):
                    if place >= 0:
                        levels[place].append(column.levels[code])
                names += [f"{column.name}={level[0] if len(level) == 1 else 'other'}" for level in levels]
            else:
                names.append(column.name)
        return names + [f"{self.columns[j].name} is missing" for j in self.flagged]

    def transform(self, x: Floats) -> Floats:
        """Encode columns as read, (n, d_x) -> columns as a model sees them, (n, encoded)."""
        gaps = np.isnan(x)
        filled = (np.clip(np.where(gaps, self.fill, x), self.low, self.high) - self.mean) / self.scale
        if not self.categories and not self.flagged:
            return filled
        parts = []
        for j in range(len(self.columns)):
            if j not in self.categories:
                parts.append(filled[:, j : j + 1])
                continue
            own = self.categories[j]
            place = own.place[np.where(gaps[:, j], 0, x[:, j]).astype(np.int64)]
            place = np.where(gaps[:, j], -1, place)
            parts.append((place[:, None] == np.arange(own.width)).astype(np.float64))
        parts.append(gaps[:, list(self.flagged)].astype(np.float64))
        return np.concatenate(parts, axis=1)

    def unseen(self, x: Floats) -> dict[str, int]:
        """Return how many of these rows (n, d_x) have a level that no fitted row has, by column, if any."""
        found = {}
        for j, own in self.categories.items():
            codes = x[~np.isnan(x[:, j]), j].astype(np.int64)
            if count := int(own.unseen[codes].sum()):
                found[self.columns[j].name] = count
        return found


def fit(cohort: Cohort, rare_share: float = 0.0, clip: Literal["range"] | float | None = None) -> Encoder:
    """Fit the encoding of every column to the rows of `cohort`.

    Args:
        rare_share: levels with a smaller share of the rows share one indicator, "other".
        clip: clip numbers to the range of these rows, or to this many of their standard deviations around their mean
            (for a constant column: this many units); None: no clipping.

    Raises:
        DoesNotFit: a column has no value in any of these rows.

    Age has the mean 50, and the standard deviation sqrt(50) with the gap at the mean. The gap becomes 0, and has an
    indicator.

    >>> import pandas as pd
    >>> from ssc_sweep.data.table import cohort_of
    >>> frame = pd.DataFrame({"age": [40, 60, None, 50], "town": ["a", "b", "a", "b"], "t": [0, 1, 0, 1]})
    >>> cohort = cohort_of(frame.assign(y=[1, 2, 3, 4]), "mine", "t", "y")
    >>> encoder = fit(cohort)
    >>> encoder.names
    ['age', 'town=a', 'town=b', 'age is missing']
    >>> encoder.transform(cohort.x).round(2).tolist()
    [[-1.41, 1.0, 0.0, 0.0], [1.41, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]
    """
    x, gaps = cohort.x, np.isnan(cohort.x)
    rows = len(x)
    empty = [cohort.columns[j].name for j in np.flatnonzero(gaps.all(axis=0))]
    if empty:
        raise DoesNotFit(
            f"column {empty[0]} of {cohort.name} has no value in the {rows} rows that its encoding is fitted on: "
            "leave the column out, or use other or more rows (split=shuffled, dataset_size)."
        )
    mean = np.nanmean(x, axis=0)
    # A filled gap is at the mean: it counts as a row without deviation.
    scale = np.sqrt(np.where(gaps, 0.0, (x - mean) ** 2).mean(axis=0))
    # The mean of a constant is not exactly the constant: the difference is rounding, not spread.
    constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    scale = np.where(constant, 1.0, scale)
    number = np.array([column.kind is Kind.NUMBER for column in cohort.columns])
    categories = {
        j: _category(x[~gaps[:, j], j].astype(np.int64), len(column.levels), rare_share * rows)
        for j, column in enumerate(cohort.columns)
        if column.kind is Kind.CATEGORY
    }
    flagged = tuple(j for j, column in enumerate(cohort.columns) if column.indicator and gaps[:, j].any())
    low, high = np.full(len(mean), -np.inf), np.full(len(mean), np.inf)
    if clip == "range":
        low, high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
    elif clip is not None:
        low, high = mean - clip * scale, mean + clip * scale
    return Encoder(
        cohort.columns,
        np.where(number, mean, 0.0),
        np.where(number, scale, 1.0),
        mean,
        np.where(number, low, -np.inf),
        np.where(number, high, np.inf),
        categories,
        flagged,
    )


def _category(codes: Ints, levels: int, fewest: float) -> Category:
    counts = np.bincount(codes, minlength=levels)
    rare = (counts > 0) & (counts < fewest)
    own = (counts > 0) & ~rare
    place = np.full(levels, -1, dtype=np.int64)
    place[own] = np.arange(own.sum())
    width = int(own.sum())
    if rare.any():
        place[~own] = width  # levels that are rare or missing in these rows
        width += 1
    return Category(place, width, counts == 0)

"""Measures of single columns as a model sees them: arrays in, arrays out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssc_sweep.data.cohort import Cohort, Floats, Ints, Kind

BLOCK = 8_000_000  # cells that are processed together, so that a large table needs little extra memory
FAR = 5.0  # training sd; a normal column has one value in two million beyond
# Relative to the size of a column's values: smaller variation is rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class ColumnReach:
    """Validation rows in units of training rows.

    Attributes:
        constant: whether a column is constant in training, shape (d,).
        departs: whether it is, but validation has another value, shape (d,).
        mean, sd: of the training rows, shape (d,); sd is 1 if a column is constant.
        max_z, p99_z, max_z_train: largest and 99th percentile |z|, shape (d,); NaN if a column is constant.
        outside: share of the validation rows below or above all training values, shape (d,).
        smd: standardised mean difference, validation minus training, shape (d,).
        row_z, row_z_train: largest |z| of each row, shapes (m,) and (n,).
        row_outside: whether a validation row has a value outside, shape (m,).
    """

    constant: np.ndarray
    departs: np.ndarray
    mean: Floats
    sd: Floats
    max_z: Floats
    p99_z: Floats
    max_z_train: Floats
    outside: Floats
    smd: Floats
    row_z: Floats
    row_z_train: Floats
    row_outside: np.ndarray

    def z(self, x: Floats) -> Floats:
        """Return the columns that vary in training, in training units."""
        kept = ~self.constant
        return (x[:, kept] - self.mean[kept]) / self.sd[kept]


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices of columns with at most BLOCK cells."""
    width = max(1, BLOCK // max(rows, 1))
    yield from (slice(start, start + width) for start in range(0, columns, width))


def reach(train: Floats, val: Floats) -> ColumnReach:
    """Measure validation rows, shape (m, d), in units of training rows, shape (n, d); no NaN in either."""
    d = train.shape[1]
    of = {name: np.zeros(d) for name in ("mean", "sd", "max_z", "p99_z", "max_z_train", "outside", "smd")}
    constant, departs = np.zeros(d, np.bool_), np.zeros(d, np.bool_)
    row_z, row_z_train = np.zeros(len(val)), np.zeros(len(train))
    row_outside = np.zeros(len(val), np.bool_)
    for at in blocks(len(train) + len(val), d):
        # One column per line: sums along lines are several times faster than across them.
        a, b = (np.ascontiguousarray(side[:, at].T) for side in (train, val))
        low, high, mean, sd = a.min(axis=1), a.max(axis=1), a.mean(axis=1), a.std(axis=1)
        low_val, high_val, mean_val, sd_val = b.min(axis=1), b.max(axis=1), b.mean(axis=1), b.std(axis=1)
        slack = ROUNDING * (1 + np.maximum(np.abs(low), np.abs(high)))
        constant[at] = still = high - low <= slack
        sd = np.where(still, 1.0, sd)
        departs[at] = still & ((low_val < low - slack) | (high_val > high + slack))
        out = (b < (low - slack)[:, None]) | (b > (high + slack)[:, None])
        z, z_train = (np.abs(side - mean[:, None]) / sd[:, None] for side in (b, a))
        z[still], z_train[still] = 0.0, 0.0
        gone = np.where(still, np.nan, 0.0)
        of["mean"][at], of["sd"][at] = mean, sd
        of["max_z"][at], of["max_z_train"][at] = z.max(axis=1) + gone, z_train.max(axis=1) + gone
        of["p99_z"][at] = np.quantile(z, 0.99, axis=1) + gone
        of["outside"][at] = out.mean(axis=1)
        spread = np.sqrt((np.where(still, 0.0, sd) ** 2 + sd_val**2) / 2)
        of["smd"][at] = np.where(spread > slack, (mean_val - mean) / np.where(spread > slack, spread, 1.0), 0.0)
        np.maximum(row_z, z.max(axis=0), out=row_z)
        np.maximum(row_z_train, z_train.max(axis=0), out=row_z_train)
        row_outside |= out.any(axis=0)
    return ColumnReach(constant, departs, **of, row_z=row_z, row_z_train=row_z_train, row_outside=row_outside)


def with_row_number(values: Floats, row: Ints) -> Floats:
    """Return each column's correlation with the row number in the file, (n, d) -> (d,); 0 for a constant."""
    if len(row) == 0:
        return np.zeros(values.shape[1])
    place = np.argsort(np.argsort(row)).astype(np.float64)
    place -= place.mean()
    mean = values.mean(axis=0)
    centred = values - mean
    spread = np.sqrt(np.einsum("ij,ij->j", centred, centred))
    still = spread <= ROUNDING * np.sqrt(len(row)) * (1 + np.abs(mean))
    return np.where(still, 0.0, (place @ centred) / np.where(still, 1.0, spread * np.sqrt(place @ place)))


def sources(cohort: Cohort, encoded: tuple[str, ...]) -> Ints:
    """Return for each encoded column the position in the cohort of its source: levels first, gaps at the end."""
    found: list[int] = []
    place = {column.name: j for j, column in enumerate(cohort.columns)}
    for j, column in enumerate(cohort.columns):
        if column.kind is Kind.CATEGORY:
            while len(found) < len(encoded) and encoded[len(found)].startswith(f"{column.name}="):
                found.append(j)
        else:
            found.append(j)
    found += [place[name.removesuffix(" is missing")] for name in encoded[len(found) :]]
    return np.array(found, dtype=np.int64)


def most(values: Floats, source: Ints, columns: int) -> Floats:
    """Return the encoded value of largest size of each source column, shape (columns,); NaN for none."""
    found = np.full(columns, np.nan)
    order = np.argsort(np.where(np.isnan(values), -1.0, np.abs(values)), kind="stable")
    found[source[order]] = values[order]
    return found

"""Plant faults into the rows of a split, so that it is known what is wrong with them.

A fault is a list of changes of covariates of any data set, made one after another once the training and validation
rows are known:

    {rows: validation, columns: [pica], share: 0.25, value: 2}     a code that no training row has
    {rows: train, columns: [age], value: 40}                       a column that is constant in training alone
    {rows: validation, columns: [wt82], value: permuted}           a column that leaks the outcome in training alone

`conf/fault` has some of them.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ssc_sweep.config import Planted
from ssc_sweep.data.cohort import Cohort, Column, Floats, Ints, Kind
from ssc_sweep.errors import DoesNotFit
from ssc_sweep.schema import did_you_mean
from ssc_sweep.streams import stream


def plant(cohort: Cohort, train: Ints, validation: Ints, changes: Sequence[Planted], seed: int) -> Cohort:
    """Return the cohort with these changes made.

    Rows are drawn without replacement; with the same seed, a larger share contains the rows of a smaller one.

    Args:
        train, validation: positions of the rows that train, and of those that validate or test.
        seed: of the run; draws the rows of a share, and the permutation.

    Raises:
        DoesNotFit: a column is missing, has no code, or is a category that should take a number.
    """
    if not changes:
        return cohort
    x = cohort.x.copy()
    rows_of = {"train": train, "validation": validation, "all": np.concatenate([train, validation])}
    for number, change in enumerate(changes):
        draw = stream(seed, f"planted.{number}")
        rows = rows_of[change.rows]
        if change.share < 1:
            rows = draw.permutation(rows)[: round(change.share * len(rows))]
        other = draw.permutation(rows) if change.value == "permuted" else rows
        before = x.copy()
        for j in _columns(cohort, change, number):
            column = cohort.columns[j]
            values = before[other, j] if change.value == "permuted" else _value(column, change)
            x[rows, j] = np.where(_meant(before[rows, j], column, change), values, before[rows, j])
    return replace(cohort, x=x)


def _columns(cohort: Cohort, change: Planted, number: int) -> list[int]:
    """Return the positions of the columns of a change."""
    where = f"split.planted.{number} of {cohort.name}"
    if change.columns == "coded":
        found = [j for j, column in enumerate(cohort.columns) if column.codes]
        if not found:
            raise DoesNotFit(f"{where}: no column has declared codes. Name columns, or declare them (dataset.codes).")
    else:
        for name in change.columns:
            if name not in cohort.names:
                raise DoesNotFit(f"{where}: there is no column '{name}'. {did_you_mean(name, cohort.names)}")
        found = [cohort.names.index(name) for name in change.columns]
    for column in (cohort.columns[j] for j in found):
        if change.value == "code" and not column.codes:
            raise DoesNotFit(f"{where}: column {column.name} has no declared code. Give a number as value.")
        if column.kind is Kind.CATEGORY and isinstance(change.value, float | int):
            raise DoesNotFit(
                f"{where}: column {column.name} is a category, and {change.value:g} is none of its levels. Allowed "
                "are code | permuted | null."
            )
    return found


def _value(column: Column, change: Planted) -> float:
    if change.value is None:
        return np.nan
    return column.codes[0] if change.value == "code" else float(change.value)


def _meant(cells: Floats, column: Column, change: Planted) -> np.ndarray:
    """Return which of these cells change, shape (n,)."""
    if change.only is None:
        return np.ones(len(cells), dtype=np.bool_)
    return np.isin(cells, column.codes if change.only == "code" else [change.only])

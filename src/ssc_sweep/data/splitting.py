"""From a cohort to the rows that train, the rows that validate, and the treatments that the model may see."""

from dataclasses import dataclass

import numpy as np

from ssc_sweep.config import RunConfig
from ssc_sweep.data.cohort import Cohort, Floats, Ints, Role
from ssc_sweep.data.scaling import fit
from ssc_sweep.errors import DoesNotFit
from ssc_sweep.streams import stream

HIDDEN = -1
# Under `mar` the log-odds of being hidden rise by this much per standard deviation of the first confounder.
MAR_SLOPE = 2.0


@dataclass(frozen=True)
class Rows:
    """Rows ready for a model, in the order of the cohort.

    Attributes:
        row: positions in the cohort as loaded, shape (n,).
        x: covariates, standardised and without gaps, shape (n, d_x).
        t: treatments, shape (n,), codes 0 ... K-1.
        t_seen: the same with HIDDEN where the model must not look, shape (n,).
        y: outcomes in their own unit, shape (n, d_y).
    """

    row: Ints
    x: Floats
    t: Ints
    t_seen: Ints
    y: Floats


@dataclass(frozen=True)
class DataSplit:
    """What one run trains and is measured on. `cohort` says what the columns are."""

    cohort: Cohort
    train: Rows
    val: Rows


def choose_rows(n: int, config: RunConfig) -> tuple[Ints, Ints]:
    """Return (training rows, validation rows) as positions 0 ... n-1.

    A smaller `dataset_size` is drawn at random and keeps the random order of the draw, so that its split is a random
    one whatever `split.order` says: this is how the comparison "50 rows against 783" was made in the first place.

    Raises:
        DoesNotFit: more rows asked for than there are.
    """
    rows, size = np.arange(n), config.dataset_size.rows
    if size is not None:
        if size > n:
            raise DoesNotFit(
                f"dataset_size.rows={size} is larger than the data: {n} rows. Use at most {n}, or dataset_size=full."
            )
        rows = stream(config.seed, "size").permutation(n)[:size]
    if config.split.order == "shuffled":
        rows = stream(config.seed, "split").permutation(rows)
    n_train = len(rows) - round(len(rows) * config.split.validation_share)
    return rows[:n_train], rows[n_train:]


def hide(cohort: Cohort, x: Floats, config: RunConfig) -> Ints:
    """Return the treatments of these training rows with `labels.hidden_share` of them HIDDEN, shape (n,).

    Exactly round(share * n) rows are hidden: those with the largest score, which is logistic noise (mcar), plus
    MAR_SLOPE times the first confounder (mar), so that P(hidden) is a logistic curve in it.
    """
    seen = cohort.t.copy()
    if config.labels.mechanism == "all":
        return seen
    draw = stream(config.seed, "labels")
    score = draw.logistic(size=len(seen))
    if config.labels.mechanism == "mar":
        first = next((j for j, role in enumerate(cohort.roles.values()) if role is Role.CONFOUNDER), None)
        if first is None:
            raise DoesNotFit(f"labels=half_mar needs a confounder to depend on: {cohort.name} has none. Use half_mcar.")
        score = score + MAR_SLOPE * x[:, first]
    seen[np.argsort(score)[len(seen) - round(config.labels.hidden_share * len(seen)) :]] = HIDDEN
    return seen


def split(cohort: Cohort, config: RunConfig) -> DataSplit:
    """Choose, fill, standardise and hide, in this order.

    Raises:
        DoesNotFit: too few rows, a batch larger than the training rows, or a treatment with fewer than 2 visible
            training rows.
    """
    kept = cohort.keep(config.covariates.keep)
    train_rows, val_rows = choose_rows(len(kept.t), config)
    if len(train_rows) < 2 or len(val_rows) < 1:
        raise DoesNotFit(
            f"split.validation_share={config.split.validation_share} of {len(train_rows) + len(val_rows)} rows leaves "
            f"{len(train_rows)} to train and {len(val_rows)} to validate: at least 2 and 1 are needed."
        )
    if config.batch.size > len(train_rows):
        raise DoesNotFit(
            f"batch.size={config.batch.size} is larger than the training rows: {len(train_rows)}. "
            f"Use at most {len(train_rows)}."
        )
    train, val = kept.take(train_rows), kept.take(val_rows)
    scaler = fit(train if config.scaling.fit_on == "train" else kept)
    x_train = scaler.transform(train.x)
    t_seen = hide(train, x_train, config)
    for code, treatment in enumerate(cohort.treatments):
        count = int((t_seen == code).sum())
        if count < 2:
            raise DoesNotFit(
                f"treatment '{treatment}' has {count} visible training rows with seed={config.seed}: at least 2 are "
                "needed. Use more rows (dataset_size), split=shuffled, or hide fewer treatments (labels)."
            )
    return DataSplit(
        cohort=kept,
        train=Rows(train_rows, x_train, train.t, t_seen, train.y),
        val=Rows(val_rows, scaler.transform(val.x), val.t, val.t, val.y),
    )

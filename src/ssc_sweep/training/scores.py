"""Scores: what is measured on rows at the end of a run. Each is declared once, with its name, unit and title.

A new score is a function of `Measured` and a line in SCORES; tables, summary.csv and the report then show it. Your own
score needs no change here: `scores=[my_package.MY_SCORE]`, with admit=my_package, where MY_SCORE is a `Score`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ssc_sweep import admission
from ssc_sweep.data.cohort import HIDDEN, Floats, Ints
from ssc_sweep.errors import UserError, type_and_message
from ssc_sweep.training import metrics

# Levels of the quantiles that bound the 50% and 90% intervals.
LEVELS = (0.05, 0.25, 0.75, 0.95)
# Batch size of `rmse_per_batch`: that of the plan, whatever a run trains with.
BATCH = 10


@dataclass(frozen=True)
class Measured:
    """A run's predictions for rows whose treatment is known, and the truth.

    Attributes:
        y, outcome: true and predicted outcomes, shape (n, d_y), in the outcome's unit.
        t: treatments, shape (n,), codes 0 ... K-1.
        treatment_log_prob: log P(T=k | x, y), shape (n, K).
        density: log p(y | x, t), shape (n,); None if the model has none.
        quantiles: of the outcomes at LEVELS, shape (n, d_y, 4); None if the model has none.
        effects: E[Y | x, k] - E[Y | x, 0] for k = 1 ... K-1, mean over rows, shape (K-1, d_y); None if the model does
            not use the treatment.
        y_train: outcomes of the training rows, shape (n_train, d_y).
        effect: true effect of one step of the treatment on each outcome; None if unknown.
    """

    y: Floats
    outcome: Floats
    t: Ints
    treatment_log_prob: Floats
    density: Floats | None
    quantiles: Floats | None
    effects: Floats | None
    y_train: Floats
    effect: float | None

    def take(self, rows: np.ndarray) -> "Measured":
        """Return only these rows; the effects stay those of all rows."""
        density = None if self.density is None else self.density[rows]
        quantiles = None if self.quantiles is None else self.quantiles[rows]
        return Measured(
            self.y[rows], self.outcome[rows], self.t[rows], self.treatment_log_prob[rows], density, quantiles,
            self.effects, self.y_train, self.effect,
        )  # fmt: skip

    @property
    def floor(self) -> float:
        """Return the RMSE of predicting the training rows' mean."""
        return metrics.mean_predictor_rmse(self.y_train, self.y)


@dataclass(frozen=True)
class Score:
    """A number for a run, computed from its predictions.

    Attributes:
        name: column of summary.csv.
        of: computes it; returns None (or NaN) if there is no such number.
        title: for display.
        unit: "y" stands for the outcome's unit; "" for a pure number.
        better: which way is better; None: neither.
    """

    name: str
    of: Callable[[Measured], float | None]
    title: str
    unit: str = ""
    better: Literal["lower", "higher"] | None = None


def _nll(m: Measured) -> float | None:
    return None if m.density is None else metrics.nll(m.density)


def _covers(low: int, high: int) -> Callable[[Measured], float | None]:
    def share(m: Measured) -> float | None:
        return None if m.quantiles is None else metrics.coverage(m.y, m.quantiles[..., low], m.quantiles[..., high])

    return share


def _effect(m: Measured) -> float | None:
    """Return the effect of the last treatment against the first, mean over outcomes."""
    return None if m.effects is None else float(m.effects[-1].mean())


def _effect_error(m: Measured) -> float | None:
    """Return the largest deviation from the known effects, over treatments and outcomes."""
    if m.effects is None or m.effect is None:
        return None
    true = m.effect * np.arange(1, len(m.effects) + 1)[:, None]
    return float(np.abs(m.effects - true).max())


SCORES: tuple[Score, ...] = (
    Score("rmse", lambda m: metrics.rmse(m.y, m.outcome), "RMSE", "y", "lower"),
    Score(
        "rmse_per_batch",
        lambda m: metrics.rmse_per_batch(m.y, m.outcome, BATCH),
        f"mean RMSE of batches of {BATCH}",
        "y",
        "lower",
    ),
    Score("mean_predictor_rmse", lambda m: m.floor, "RMSE of predicting the mean", "y"),
    Score(
        "skill", lambda m: metrics.skill(metrics.rmse(m.y, m.outcome), m.floor), "skill against the mean", "", "higher"
    ),
    Score("accuracy", lambda m: metrics.accuracy(m.t, m.treatment_log_prob), "treatment accuracy", "", "higher"),
    Score(
        "majority_share", lambda m: metrics.majority_share(m.t, m.treatment_log_prob.shape[1]), "share of the majority"
    ),
    Score("auroc", lambda m: metrics.auroc(m.t, m.treatment_log_prob), "treatment AUROC", "", "higher"),
    Score("log_loss", lambda m: metrics.log_loss(m.t, m.treatment_log_prob), "treatment log loss", "nats", "lower"),
    Score("brier", lambda m: metrics.brier(m.t, m.treatment_log_prob), "treatment Brier score", "", "lower"),
    Score("nll", _nll, "outcome NLL", "nats", "lower"),
    Score("coverage_50", _covers(1, 2), "coverage of 50% intervals"),
    Score("coverage_90", _covers(0, 3), "coverage of 90% intervals"),
    Score("effect", _effect, "effect of treatment", "y"),
    Score("effect_error", _effect_error, "error of the effect", "y", "lower"),
)
NAMES = tuple(score.name for score in SCORES)
# Columns of summary.csv from metrics.json besides the scores. A run may lack a score: it diverged, its model has no
# such number, or its version did not compute it.
TEXTS = ("status", "model", "unit")
NUMBERS = ("rows_train", "rows_val", "covariates", "batch", "steps", "parameters", "seconds", "stack")
MAY_LACK = ("rows_val_known", "rows_test", "rows_without_outcome", "train_rmse", "p_fail")
# These, other keys of metrics.json, and other columns of summary.csv: no score of your own may have such a name.
RESERVED = (
    *TEXTS, *NUMBERS, *MAY_LACK, "val_rows", "first_bad", "rows_test_known", "unseen_levels", "device", "unused",
    "probes", "own_scores", "failed_scores", "p_fail_reasons", "fails", "arm", "seed", "overrides", "folder",
    "left_out", "first_bad_step", "first_bad_tensor", "code",
)  # fmt: skip
# These depend on the rows alone, not on the model.
OF_THE_ROWS = ("mean_predictor_rmse", "majority_share")


def measure(found: Measured, scores: Sequence[Score] = SCORES) -> dict[str, float | None]:
    """Return every score on the rows whose treatment is known; None if there is no finite number."""
    known = found.take(found.t != HIDDEN)
    if not len(known.t):
        return {score.name: None for score in scores}
    with np.errstate(over="ignore", invalid="ignore"):
        values = {score.name: score.of(known) for score in scores}
    return {name: None if value is None or not math.isfinite(value) else float(value) for name, value in values.items()}


def measure_own(found: Measured, scores: Sequence[Score]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return (the user's own scores, errors by name): a score that raises loses its number, not the run."""
    values: dict[str, float | None] = {}
    failed: dict[str, str] = {}
    for score in scores:
        try:
            values |= measure(found, [score])
        except admission.USERS_FAULTS as error:
            values[score.name], failed[score.name] = None, type_and_message(error)
    return values, failed


def of_your_own(names: Sequence[str]) -> tuple[Score, ...]:
    """Return the user's own scores that a config names.

    Raises:
        UserError: one is not admitted, is no Score, or has a name that is taken.
    """
    found: list[Score] = []
    for name in names:
        score = admission.find("scores", name, None)
        if not isinstance(score, Score):
            raise UserError(f"scores={name} is no score: allowed is a ssc_sweep.training.scores.Score.")
        taken = score.name in (*NAMES, *RESERVED, *(other.name for other in found)) or score.name.startswith("test_")
        if not score.name.isidentifier() or taken:
            raise UserError(f"scores={name}: its name {score.name!r} is taken or is no identifier. Choose another.")
        found.append(score)
    return tuple(found)

"""What a stack predicts for rows it is measured on. Draws nothing from a training stream, changes nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ssc_sweep.data.cohort import Floats, Ints
from ssc_sweep.models.contract import Batch, Model
from ssc_sweep.training.metrics import accuracy, nll, rmse

# Rows of each run that are measured at once, so that activations stay small. Not a function of R: where a prediction
# averages samples, each piece draws them from the start of the run's stream.
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Predictions:
    """For each run and row: mean outcome (R, n, d_y) at the row's own treatment, log P(T=k | x, y) (R, n, K)."""

    outcome: Floats
    treatment_log_prob: Floats

    def scores(self, run: int, y: Floats, t: Ints) -> dict[str, float]:
        """RMSE and treatment accuracy of one run on rows (n, d_y), (n,)."""
        return {
            "rmse": rmse(y, self.outcome[run]),
            "accuracy": accuracy(t, self.treatment_log_prob[run]),
        }


def _pieces(rows: Batch) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
    return zip(*(tensor.split(ROWS_AT_ONCE, 1) for tensor in (rows.x, rows.t, rows.y)), strict=True)


def _numpy(parts: Sequence[Tensor]) -> Floats:
    return torch.cat(list(parts), dim=1).double().cpu().numpy()


@torch.no_grad()
def predict(model: Model, rows: Batch) -> Predictions:
    """Predict for all rows, whose treatments are all visible, some at a time."""
    outcome, treatment = zip(*(model.predict(*piece) for piece in _pieces(rows)), strict=True)
    return Predictions(_numpy(outcome), _numpy(treatment))


@torch.no_grad()
def outcome_nll(model: Model, rows: Batch) -> list[float] | None:
    """Negative log-likelihood of the rows' outcomes given x and t, one number a run; None without a density."""
    found = [model.outcome_log_prob(x, t, y) for x, t, y in _pieces(rows)]
    known = [part for part in found if part is not None]
    return [nll(mine) for mine in _numpy(known)] if known else None


@torch.no_grad()
def seen_rmse(model: Model, rows: Batch) -> list[float]:
    """RMSE of each run on those of the rows whose treatment it may see."""
    outcome = _numpy([model.outcome_mean(x, t.clamp(min=0)) for x, t, _ in _pieces(rows)])
    seen, y = (rows.t >= 0).cpu().numpy(), rows.y.double().cpu().numpy()
    return [rmse(true[mine], mean[mine]) for true, mean, mine in zip(y, outcome, seen, strict=True)]


def validation(predictions: Predictions, rows: Batch, limit: float) -> dict[str, Floats]:
    """Scores by name, one number a run (R,): val_rmse, val_accuracy, val_clamped.

    Args:
        predictions: for `rows`.
        limit: predictions are clamped to +- this, in the unit of the outcome; val_clamped is their share.
    """
    y, t = rows.y.double().cpu().numpy(), rows.t.cpu().numpy()
    scores = [predictions.scores(run, y[run], t[run]) for run in range(len(y))]
    found = {f"val_{name}": np.array([score[name] for score in scores]) for name in scores[0]}
    return found | {"val_clamped": (np.abs(predictions.outcome) >= limit).mean(axis=(1, 2))}

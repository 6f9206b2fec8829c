"""What a stack predicts for rows it is measured on. Draws nothing from a training stream, changes nothing."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ssc_sweep.data.cohort import Floats, Ints
from ssc_sweep.models.contract import Batch, Model
from ssc_sweep.training.metrics import accuracy, rmse

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


def _numpy(parts: list[Tensor]) -> Floats:
    return torch.cat(parts, dim=1).double().cpu().numpy()


@torch.no_grad()
def predict(model: Model, rows: Batch) -> Predictions:
    """Predict for all rows, some at a time."""
    outcome, treatment = [], []
    pieces = (rows.x.split(ROWS_AT_ONCE, 1), rows.t.split(ROWS_AT_ONCE, 1), rows.y.split(ROWS_AT_ONCE, 1))
    for x, t, y in zip(*pieces, strict=True):
        outcome.append(model.outcome_mean(x, t))
        treatment.append(model.treatment_log_prob(x, y))
    return Predictions(_numpy(outcome), _numpy(treatment))

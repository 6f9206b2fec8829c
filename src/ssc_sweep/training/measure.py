"""Predict with a stack for the rows it is measured on. Draws nothing from a training stream, changes nothing."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from ssc_sweep.data.cohort import HIDDEN, Floats
from ssc_sweep.models.contract import Batch, Predictor
from ssc_sweep.training.metrics import accuracy, rmse
from ssc_sweep.training.scores import LEVELS

# Rows of each run that are measured at once, to keep activations small. Must not depend on R: if a prediction averages
# samples, each piece draws them from the start of the run's stream.
ROWS_AT_ONCE = 256


@contextmanager
def measuring(model: Predictor) -> Iterator[None]:
    """Enter eval mode without gradients; then restore the modes and the global generator of the model's device.

    Modules that draw while they predict draw the same numbers each time.
    """
    # Each module's own mode: a user may have frozen a part of a model in eval mode.
    modes = [(module, module.training) for module in model.modules()]
    first = next(chain(model.parameters(), model.buffers()), None)  # a model lies on one device
    devices = [first.device] if first is not None and first.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        # torch.manual_seed would note the call stack for each kind of device, which takes longer than a step.
        torch.default_generator.manual_seed(0)
        for device in devices:
            torch.cuda.default_generators[device.index].manual_seed(0)
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode


@dataclass(frozen=True)
class Predictions:
    """For each run and row: mean outcome (R, n, d_y) at the row's own treatment, log P(T=k | x, y) (R, n, K)."""

    outcome: Floats
    treatment_log_prob: Floats


@dataclass(frozen=True)
class Answers:
    """All that a stack predicts for rows. A row without a known treatment is predicted at treatment 0, but not scored.

    Attributes:
        density: log p(y | x, t), (R, n); None without a density.
        quantiles: of the outcomes at LEVELS, (R, n, d_y, 4); None without quantiles.
        effects: E[Y | x, k] - E[Y | x, 0], mean over rows, (R, K-1, d_y); None if the treatment is not used.
    """

    predictions: Predictions
    density: Floats | None
    quantiles: Floats | None
    effects: Floats | None


def _pieces(rows: Batch) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
    t = rows.t.clamp(min=0)
    return zip(*(tensor.split(ROWS_AT_ONCE, 1) for tensor in (rows.x, t, rows.y)), strict=True)


def _numpy(parts: Sequence[Tensor]) -> Floats:
    return torch.cat(list(parts), dim=1).double().cpu().numpy()


def _where_known(parts: Sequence[Tensor | None]) -> Floats | None:
    known = [part for part in parts if part is not None]
    return _numpy(known) if known else None


def predict(model: Predictor, rows: Batch) -> Predictions:
    """Predict for all rows, in pieces."""
    with measuring(model):
        outcome, treatment = zip(*(model.predict(*piece) for piece in _pieces(rows)), strict=True)
        return Predictions(_numpy(outcome), _numpy(treatment))


def ask(model: Predictor, rows: Batch, predictions: Predictions | None = None) -> Answers:
    """Return everything that scores need; give `predictions` for the same rows if already made."""
    found = predict(model, rows) if predictions is None else predictions
    with measuring(model):
        levels = torch.tensor(LEVELS, dtype=torch.float64)
        density = _where_known([model.outcome_log_prob(*piece) for piece in _pieces(rows)])
        quantiles = _where_known([model.outcome_quantiles(x, t, levels) for x, t, _ in _pieces(rows)])
        effects = _effects(model, rows) if model.uses_treatment else None
    return Answers(found, density, quantiles, effects)


def _effects(model: Predictor, rows: Batch) -> Floats:
    totals = np.zeros((model.runs, model.sizes.treatments, model.sizes.d_y))
    for x, t, _ in _pieces(rows):
        for k in range(model.sizes.treatments):
            means = model.outcome_mean(x, torch.full_like(t, k)).double().cpu().numpy()
            # Run by run: a sum over several runs has another order than a sum over one.
            totals[:, k] += np.stack([mine.sum(axis=0) for mine in means])
    return (totals[:, 1:] - totals[:, :1]) / rows.t.shape[1]


def seen_rmse(model: Predictor, rows: Batch) -> list[float]:
    """Return the RMSE of each run on the rows whose treatment it may see."""
    with measuring(model):
        outcome = _numpy([model.outcome_mean(x, t) for x, t, _ in _pieces(rows)])
    seen = (rows.t != HIDDEN).cpu().numpy()
    return [
        rmse(y.double().cpu().numpy()[mine], mean[mine]) for y, mean, mine in zip(rows.y, outcome, seen, strict=True)
    ]


def validation(predictions: Predictions, rows: Batch, limit: float) -> dict[str, Floats]:
    """Return scores by name, one per run (R,): val_rmse, val_accuracy, val_clamped. NaN without a known treatment.

    Args:
        predictions: for `rows`.
        limit: predictions are clamped to +- this, in the outcome's unit; val_clamped is the share at the clamp.
    """
    y, t = rows.y.double().cpu().numpy(), rows.t.cpu().numpy()
    runs = range(len(y))
    known = [t[run] != HIDDEN for run in runs]
    outcome, log_prob = predictions.outcome, predictions.treatment_log_prob
    some = [mine.any() for mine in known]
    return {
        "val_rmse": np.array([rmse(y[r][known[r]], outcome[r][known[r]]) if some[r] else np.nan for r in runs]),
        "val_accuracy": np.array(
            [accuracy(t[r][known[r]], log_prob[r][known[r]]) if some[r] else np.nan for r in runs]
        ),
        "val_clamped": (np.abs(outcome) >= limit).mean(axis=(1, 2)),
    }

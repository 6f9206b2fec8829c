"""The one training loop. Models supply objectives; a stack of any size, R = 1 included, goes through here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssc_sweep.models.contract import Model
from ssc_sweep.training.measure import Predictions, predict
from ssc_sweep.training.optimizer import Optimizer
from ssc_sweep.training.probes import History
from ssc_sweep.training.stack import Batches, StackRows


@dataclass(frozen=True)
class Schedule:
    """How long and in what portions: see the config of the same names."""

    epochs: int
    batch_size: int
    drop_last: bool
    clip_norm: float | None
    probes: bool


def gradient_norm(gradients: Sequence[Tensor], runs: int) -> Tensor:
    """Euclidean norm over all parameters of each run: gradients (R * members, ...) -> (R,)."""
    norms = [torch.linalg.vector_norm(g.view(runs, -1), dim=1) for g in gradients]
    return torch.linalg.vector_norm(torch.stack(norms), dim=0)


def train(
    model: Model,
    rows: StackRows,
    make_optimizer: Callable[[list[nn.Parameter]], Optimizer],
    schedule: Schedule,
    after_epoch: Callable[[], None],
) -> tuple[History, Predictions]:
    """Train all runs of a stack and return their history and their final predictions for the validation rows.

    A run that turns NaN goes on beside the others, which it cannot touch; its history ends at its last good step.
    The loop ends early only when every run has turned bad.
    """
    batches = Batches(rows.train, model.seeds, schedule.batch_size, schedule.drop_last)
    val_y, val_t = rows.val.y.double().cpu().numpy(), rows.val.t.cpu().numpy()
    limit = float("inf") if schedule.clip_norm is None else schedule.clip_norm
    history = History(model.runs, limit)
    model.start(rows.train)
    objectives = model.objectives()
    optimizers = [make_optimizer(objective.parameters) for objective in objectives]
    predictions = None
    for epoch in range(1, schedule.epochs + 1):
        for batch in batches.epoch():
            model.before_step(batch)
            for objective, optimizer in zip(objectives, optimizers, strict=True):
                loss = objective.loss(batch)
                gradients = torch.autograd.grad(loss.total.sum(), objective.parameters)
                norm = gradient_norm(gradients, model.runs)
                history.record(objective.name, loss, norm)
                optimizer.step(gradients, (norm / limit).clamp(min=1))
            model.after_step()
        history.close_epoch(epoch)
        after_epoch()
        if history.all_bad:
            break
        if schedule.probes or epoch == schedule.epochs:
            predictions = predict(model, rows.val)
            history.measured(predictions, val_y, val_t)
    return history, predictions if predictions is not None else predict(model, rows.val)

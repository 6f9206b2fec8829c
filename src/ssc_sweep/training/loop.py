"""The one training loop. Models supply objectives; a stack of any size, R = 1 included, goes through here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssc_sweep.models.contract import Batch, Model, Objective
from ssc_sweep.training.measure import Predictions, outcome_nll, predict, seen_rmse, validation
from ssc_sweep.training.optimizer import Optimizer
from ssc_sweep.training.probes import History
from ssc_sweep.training.stack import Batches, StackRows, draw_rows, extremes


@dataclass(frozen=True)
class Schedule:
    """How long and in what portions: see the config of the same names."""

    epochs: int
    batch_size: int
    drop_last: bool
    clip_norm: float | None
    probes: bool


# While a run trains it is measured on few validation rows, drawn once for it: this many after each of the first steps,
# and this many between epochs. On all of them it would cost more than a third of the training.
STEP_ROWS, EPOCH_ROWS = 16, 64


@dataclass(frozen=True)
class Trained:
    """What training a stack left behind: histories, final predictions for all validation rows, and final scores.

    Attributes:
        train_rmse: RMSE on the training rows whose treatment the run has seen, one a run.
        nll: negative log-likelihood of the validation outcomes, one a run; None where the model has no density.
    """

    history: History
    predictions: Predictions
    train_rmse: list[float]
    nll: list[float] | None


def gradient_norms(gradients: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of each parameter's gradient in each run: P tensors (R, size) -> (P, R)."""
    return torch.stack([torch.linalg.vector_norm(gradient, dim=1) for gradient in gradients])


def descend(objective: Objective, optimizer: Optimizer, batch: Batch, history: History) -> None:
    """One step of every run down the gradient of its own loss.

    The gradients die with this call: those of the next step are then written to the same memory, which the processor
    still has at hand.
    """
    loss = objective.loss(batch)
    found = torch.autograd.grad(loss.total, objective.parameters, torch.ones_like(loss.total))
    gradients = [gradient.view(history.runs, -1) for gradient in found]
    norms = gradient_norms(gradients)
    history.record(objective.name, loss, norms)
    optimizer.step(gradients, (torch.linalg.vector_norm(norms, dim=0) / history.limit).clamp(min=1))


def to_the_end(epoch: int, rmse: list[float | None]) -> bool:  # noqa: ARG001
    """Train every epoch."""
    return True


@contextmanager
def subnormals_are_zero() -> Iterator[None]:
    """Let numbers closer to 0 than the smallest normal one (1e-38 in single precision) count as 0.

    The moments that Adam keeps of a unit that died shrink by a tenth a step, and processors are slow with what they
    become. Threads take this over from the one that starts them: enter before the first tensor is made.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def train(
    model: Model,
    rows: StackRows,
    make_optimizer: Callable[[list[nn.Parameter]], Optimizer],
    schedule: Schedule,
    after_epoch: Callable[[], None],
    go_on: Callable[[int, list[float | None]], bool] = to_the_end,
) -> Trained:
    """Train all runs of a stack.

    A run that turns NaN goes on beside the others, which it cannot touch; its history ends at its last good step.
    The loop ends early when every run has turned bad, or when `go_on`, told the epoch and each run's RMSE on the rows
    measured between epochs (None for a bad run), says so; the history then knows where it was stopped.
    """
    batches = Batches(rows.train, model.seeds, schedule.batch_size, schedule.drop_last)
    few, some = (draw_rows(rows.val, model.seeds, size) for size in (STEP_ROWS, EPOCH_ROWS))
    sample = draw_rows(rows.train, model.seeds, EPOCH_ROWS)
    corners = extremes(rows.train), extremes(rows.val)
    limit = float("inf") if schedule.clip_norm is None else schedule.clip_norm
    model.start(rows.train)
    objectives = model.objectives()
    names = {id(parameter): name.split(".")[0] for name, parameter in model.named_parameters()}
    history = History(model.runs, limit, {o.name: [names[id(p)] for p in o.parameters] for o in objectives})
    optimizers = [make_optimizer(objective.parameters) for objective in objectives]
    for epoch in range(1, schedule.epochs + 1):
        for batch in batches.epoch():
            history.begin_step()
            model.before_step(batch)
            for objective, optimizer in zip(objectives, optimizers, strict=True):
                descend(objective, optimizer, batch, history)
            model.after_step()
            if schedule.probes and (history.wants_probes or batch.last):
                with torch.no_grad():
                    history.probe(model.probe(sample if batch.last else batch, *corners))
                if history.wants_probes:
                    history.probe(validation(predict(model, few), few, model.outcome_limit))
        history.close_epoch(epoch)
        after_epoch()
        if history.all_bad:
            break
        if schedule.probes and epoch < schedule.epochs:
            history.measured(validation(predict(model, some), some, model.outcome_limit), final=False)
            if not go_on(epoch, history.newest("val_rmse")):
                history.stopped = epoch
                break
    predictions = predict(model, rows.val)
    history.measured(validation(predictions, rows.val, model.outcome_limit), final=True)
    return Trained(history, predictions, seen_rmse(model, rows.train), outcome_nll(model, rows.val))

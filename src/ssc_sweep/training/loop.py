"""The one training loop. Models supply objectives; stacks of any size, R = 1 included, are trained here."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ssc_sweep.errors import IN_STEP
from ssc_sweep.models.contract import Batch, Learner, Objective, Predictor, Solver
from ssc_sweep.training.history import History
from ssc_sweep.training.measure import Answers, ask, measuring, predict, seen_rmse, validation
from ssc_sweep.training.optimizer import Optimizer
from ssc_sweep.training.stack import Batches, StackRows, draw_rows, extremes


@dataclass(frozen=True)
class Schedule:
    """How long to train and in what batches: see the config keys of the same names."""

    epochs: int
    batch_size: int
    drop_last: bool
    clip_norm: float | None
    probes: bool


# While a run trains it is measured on few validation rows, drawn once for it: this many after each of the first steps,
# and this many between epochs. Measuring on all rows would take more than a third of the training time.
STEP_ROWS, EPOCH_ROWS = 16, 64


@dataclass(frozen=True)
class Trained:
    """The result of training a stack.

    Attributes:
        val, test: the models' answers for their validation and test rows; test is None without test rows.
        train_rmse: RMSE on the training rows whose treatment the run has seen, one per run.
        unused: names of parameters that had no gradient in any step.
    """

    history: History
    val: Answers
    test: Answers | None
    train_rmse: list[float]
    unused: tuple[str, ...]


def gradient_norms(gradients: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean norm of each parameter's gradient in each run: P tensors (R, size) -> (R, P)."""
    # Keep a run's norms contiguous: sums along the first axis have another order for a single run.
    return torch.stack([torch.linalg.vector_norm(gradient, dim=1) for gradient in gradients], dim=1)


def descend(objective: Objective, optimizer: Optimizer, batch: Batch, history: History) -> None:
    """Update every run by the gradient of its own loss, as often as the objective asks; record the last step.

    Gradients are freed after each step, so the next ones are written to the same memory, which is still in the cache.
    """
    for _ in range(objective.steps):
        loss = objective.loss(batch)
        # Their sum has the gradient of each run's own loss. With grad_outputs torch would import sympy, half a second.
        found = torch.autograd.grad(loss.total.sum(), objective.parameters, allow_unused=True)
        unused = {i for i, gradient in enumerate(found) if gradient is None}
        gradients = [
            # The optimiser's kernels require contiguous memory, which the gradient of a sum is not.
            (torch.zeros_like(parameter) if gradient is None else gradient).contiguous().view(history.runs, -1)
            for gradient, parameter in zip(found, objective.parameters, strict=True)
        ]
        norms = gradient_norms(gradients)
        optimizer.step(gradients, (torch.linalg.vector_norm(norms, dim=1) / history.limit).clamp(min=1))
        del found, gradients
    history.without_gradient(objective.name, unused)
    history.record(objective.name, loss, norms)


def to_the_end(epoch: int, rmse: list[float | None]) -> bool:  # noqa: ARG001
    """Never stop early."""
    return True


@contextmanager
def noting_step(history: History) -> Iterator[None]:
    """Add the step to an exception raised within: a traceback names lines of code, not steps."""
    try:
        yield
    finally:
        error = sys.exception()
        if error is not None:
            error.add_note(f"{IN_STEP}{history.step}")


@contextmanager
def subnormals_are_zero() -> Iterator[None]:
    """Flush subnormal numbers (below 1e-38 in single precision) to 0.

    Adam's moments of a dead unit shrink by a tenth per step until they are subnormal, which processors handle slowly.
    Threads inherit this setting from the thread that starts them: enter before the first tensor is made.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def train(
    model: Predictor,
    rows: StackRows,
    make_optimizer: Callable[..., Optimizer],
    schedule: Schedule,
    after_epoch: Callable[[], None],
    go_on: Callable[[int, list[float | None]], bool] = to_the_end,
    begun: Callable[[History], None] = lambda _: None,
) -> Trained:
    """Train all runs of a stack: a Learner step by step, a Solver in one go.

    Args:
        after_epoch: called after every epoch.
        begun: called with the history of a Learner when its first step begins.
        go_on: called with the epoch and each run's RMSE on the rows measured between epochs (None for a bad run);
            False stops the training there, which the history records.
    """
    limit = float("inf") if schedule.clip_norm is None else schedule.clip_norm
    if isinstance(model, Solver):
        history = History(model.runs, limit, {})
        model.solve(rows.train)
        for _ in range(schedule.epochs):
            after_epoch()
        unused: tuple[str, ...] = ()
    else:
        assert isinstance(model, Learner)
        history, unused = _learn(model, rows, make_optimizer, schedule, limit, after_epoch, go_on, begun)
    predictions = predict(model, rows.val)
    if isinstance(model, Solver):
        history.solved(_probed(model, rows) if schedule.probes else {})
    history.measured(validation(predictions, rows.val, model.outcome_limit), final=True)
    test = None if rows.test is None else ask(model, rows.test)
    return Trained(history, ask(model, rows.val, predictions), test, seen_rmse(model, rows.train), unused)


def _probed(model: Predictor, rows: StackRows) -> dict[str, Tensor]:
    with measuring(model):
        sample = draw_rows(rows.train, model.seeds, EPOCH_ROWS)
        return model.probe(sample, extremes(rows.train), extremes(rows.val))


def _learn(
    model: Learner,
    rows: StackRows,
    make_optimizer: Callable[..., Optimizer],
    schedule: Schedule,
    limit: float,
    after_epoch: Callable[[], None],
    go_on: Callable[[int, list[float | None]], bool],
    begun: Callable[[History], None],
) -> tuple[History, tuple[str, ...]]:
    """Train batch by batch.

    A run that becomes NaN continues beside the others, without affecting them; its history ends at its last good step.
    The loop ends early if every run is bad, or if `go_on` returns False.
    """
    batches = Batches(rows.train, model.seeds, schedule.batch_size, schedule.drop_last)
    few, some = (draw_rows(rows.val, model.seeds, size) for size in (STEP_ROWS, EPOCH_ROWS))
    sample = draw_rows(rows.train, model.seeds, EPOCH_ROWS)
    corners = extremes(rows.train), extremes(rows.val)
    model.start(rows.train)
    objectives = model.objectives()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    modules = {o.name: [names[id(p)].split(".")[0] for p in o.parameters] for o in objectives}
    history = History(model.runs, limit, modules)
    begun(history)
    optimizers = [
        make_optimizer(o.parameters) if o.lr is None else make_optimizer(o.parameters, lr=[o.lr] * model.runs)
        for o in objectives
    ]
    for epoch in range(1, schedule.epochs + 1):
        with noting_step(history):
            for batch in batches.epoch():
                history.begin_step()
                model.before_step(batch)
                for objective, optimizer in zip(objectives, optimizers, strict=True):
                    descend(objective, optimizer, batch, history)
                model.after_step()
                if schedule.probes and (history.wants_probes or batch.last):
                    with measuring(model):
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
    unused = tuple(names[id(o.parameters[i])] for o in objectives for i in sorted(history.unused[o.name]))
    return history, unused

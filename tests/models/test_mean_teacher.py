"""The teacher and the loss of mean_teacher against steps computed by hand, and what hidden treatments may do."""

import copy
import math

import numpy as np
import pytest
import torch

from ssc_sweep.config import StatsMode
from ssc_sweep.models.contract import Batch, Sizes
from ssc_sweep.models.mean_teacher import MeanTeacher
from tests.models.by_hand import plain

MODE = StatsMode(mode="ema", momentum=0.05)


def build(noise: float = 0.0, weight: float = 1.0, scale_y: bool = False, running: bool = False) -> MeanTeacher:
    model = MeanTeacher(Sizes(3, 1, 2), [0, 1], [MODE, MODE], 8, 0.99, weight, 40, noise, scale_y, running)
    return model.to(torch.float64)


def rows(hidden: bool = False) -> Batch:
    draw = np.random.default_rng(0)
    t = np.array([[0, 1, 1, 0, 1]] * 2)
    if hidden:
        t[:, 1::2] = -1
    x, y = (torch.from_numpy(draw.standard_normal((2, 5, d))) for d in (3, 1))
    return Batch(x, torch.from_numpy(t), y, any_hidden=hidden)


def test_the_teacher_starts_as_the_student_and_follows_it() -> None:
    model = build()
    for teacher, student in zip(model.teacher.parameters(), model.student.parameters(), strict=True):
        assert torch.equal(teacher, student) and not teacher.requires_grad
    old = [parameter.clone() for parameter in model.teacher.parameters()]
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter += torch.arange(parameter.numel(), dtype=torch.float64).view_as(parameter)
    for _ in range(2):
        model.after_step()
    # Two steps at 0.99: 0.9801 of the old teacher, 0.0199 of a student that stood still.
    for before, teacher, student in zip(old, model.teacher.parameters(), model.student.parameters(), strict=True):
        torch.testing.assert_close(teacher, 0.9801 * before + 0.0199 * student)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("step", [0, 10, 40, 90])
def test_the_loss_by_hand(step: int, hidden: bool) -> None:
    model, batch = build(weight=3.0), rows(hidden)
    model.start(batch)
    with torch.no_grad():
        for parameter in model.teacher.parameters():
            parameter *= 0.5
    model.step = step
    total = model.loss(batch).total
    for run in range(2):
        x, t, y = batch.x[run], batch.t[run], batch.y[run]
        seen = t >= 0
        onehot = torch.eye(2, dtype=torch.float64)[t.clamp(min=0)]
        squared = (plain(model.outcome, run, torch.cat([x, onehot], 1)) - y).square()[:, 0]
        student = plain(model.student, run, torch.cat([x, y], 1)).softmax(1)
        teacher = plain(model.teacher, run, torch.cat([x, y], 1)).softmax(1)
        ce = -student[torch.arange(5), t.clamp(min=0)].log()
        gap = (student - teacher).square().sum(1).mean()
        rise = 3.0 * math.exp(-5 * (1 - min(step / 40, 1)) ** 2)
        expected = squared[seen].mean() + ce[seen].mean() + rise * gap
        torch.testing.assert_close(total[run], expected)


def test_noise_is_a_tenth_of_the_spread_of_each_column_and_ends_with_training() -> None:
    model = build(noise=0.1)
    x = torch.zeros(2, 4000, 3, dtype=torch.float64)
    y = 50 * torch.from_numpy(np.random.default_rng(1).standard_normal((2, 4000, 1)))
    model.start(Batch(x, torch.zeros(2, 4000, dtype=torch.int64), y, any_hidden=False))
    noisy, other = model._noisy(x, y)
    assert not torch.equal(noisy, other)
    torch.testing.assert_close(
        noisy[..., :3].std(dim=1), torch.full((2, 3), 0.1, dtype=torch.float64), rtol=0.05, atol=0
    )
    assert (noisy[..., 3:] - y).std(dim=1).numpy() == pytest.approx(5.0, rel=0.07)
    assert torch.equal(model.treatment_log_prob(x, y), model.treatment_log_prob(x, y))


def test_the_outcome_may_be_standardised() -> None:
    model, batch = build(scale_y=True), rows()
    shifted = Batch(batch.x, batch.t, 1000 + 50 * batch.y, any_hidden=False)
    model.start(shifted)
    torch.testing.assert_close(
        model.y_standard.normalise(shifted.y).mean(dim=1), torch.zeros(2, 1, dtype=torch.float64)
    )
    reference = copy.deepcopy(model)
    reference.y_standard.fit(batch.y, applied=True)
    inside = reference.y_standard.normalise(reference.outcome_mean(batch.x, batch.t))
    torch.testing.assert_close(model.y_standard.normalise(model.outcome_mean(batch.x, batch.t)), inside)


def test_running_statistics_are_those_of_the_batches() -> None:
    model, batch = build(running=True), rows()
    model.start(batch)
    model.before_step(batch)
    assert model.x_stats is not None
    torch.testing.assert_close(model.x_stats.shift, batch.x.mean(dim=1, keepdim=True))
    torch.testing.assert_close(model._x(batch.x).mean(dim=1), torch.zeros(2, 3, dtype=torch.float64))

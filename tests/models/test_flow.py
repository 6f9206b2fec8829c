"""What flow promises: covariates that it has not seen, hidden treatments, early stopping, noise that is not normal."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from ssc_sweep.config import StatsMode
from ssc_sweep.data.cohort import HIDDEN
from ssc_sweep.models.contract import Batch, Sizes
from ssc_sweep.models.flow import Flow
from ssc_sweep.training.loop import Schedule, train
from ssc_sweep.training.optimizer import Adam
from ssc_sweep.training.stack import StackRows

MODE = StatsMode(mode="ema", momentum=0.05)


def batch(x: np.ndarray, t: np.ndarray, y: np.ndarray) -> Batch:
    """Rows of one run: (n, d_x), (n,), (n,)."""
    tensors = [torch.from_numpy(np.asarray(each)).unsqueeze(0) for each in (x, t, y[:, None])]
    row = torch.arange(len(t)).unsqueeze(0)
    return Batch(*tensors, any_hidden=bool((t == HIDDEN).any()), row=row)


def build(d_x: int, gamma: float = 1.0, noise: float = 1.0, held_out: float = 0.2, reach: float = 0.5) -> Flow:
    return Flow(Sizes(d_x, 1, 2), [0], [MODE], 16, 8, gamma, noise, held_out, reach).double()


def learn(model: Flow, rows: Batch, epochs: int = 10, lr: float = 3e-3) -> Flow:
    """Train it, and measure nothing."""
    optimizer = partial(Adam, lr=[lr], weight_decay=[0.0], beta1=0.9, beta2=0.999, eps=1e-8)
    train(model, StackRows(rows, rows), optimizer, Schedule(epochs, 25, False, 1.0, probes=False), lambda: None)
    return model.eval()


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(x, t): four normal columns; the treatment depends on the first."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, 4))
    return x, (draw.logistic(size=n) < x[:, 0]).astype(np.int64)


def straight(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return 2 * x[:, 0] - x[:, 1] + 3 * t


def mean_of(model: Flow, x: np.ndarray, t: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model.outcome_mean(torch.from_numpy(x).unsqueeze(0), torch.from_numpy(t).unsqueeze(0))[0, :, 0].numpy()


def nll(model: Flow, rows: Batch) -> float:
    with torch.no_grad():
        return -model.outcome_log_prob(rows.x, rows.t, rows.y).mean().item()


@pytest.fixture(scope="module")
def trained() -> Flow:
    """Learnt from 300 rows; column 2 is constant, column 3 is 0 or 1."""
    x, t = drawn(300)
    x[:, 2], x[:, 3] = 7.0, x[:, 3] > 1
    y = straight(x, t) + 2 * x[:, 3] + np.random.default_rng(1).standard_normal(300)
    return learn(build(4), batch(x, t, y))


def test_a_column_that_is_constant_while_training_says_nothing(trained: Flow) -> None:
    x, t = drawn(50, seed=5)
    x[:, 3] = 0
    predicted = []
    for value in (7.0, 7.1, 1e9):
        x[:, 2] = value
        predicted.append(mean_of(trained, x, t))
    np.testing.assert_array_equal(predicted[0], predicted[1])
    np.testing.assert_array_equal(predicted[0], predicted[2])


def test_covariates_by_hand(trained: Flow) -> None:
    reach = trained.reach
    low, high, mean, sd = (each[0, 0, 3].item() for each in (reach.low, reach.high, reach.mean, reach.sd))
    assert (low, high) == (0, 1)
    values = np.array([0.0, 1.0, 1.25, 1.5, 2.0, -0.5, 1e9])
    x = np.zeros((len(values), 4))
    x[:, 3] = values
    phi = reach(torch.from_numpy(x).unsqueeze(0))[0, :, 3]
    # d / reach is 0, 0, 0.5, 1, 2, 1: fades 1, 1, 1.5625, 4, 25, 4.
    expected = (values - mean) / sd / np.array([1, 1, 1.5625, 4, 25, 4, math.inf])
    np.testing.assert_allclose(phi, expected, atol=1e-9)


def test_a_value_far_from_all_that_was_seen_is_taken_for_the_mean(trained: Flow) -> None:
    x, t = drawn(50, seed=5)
    x[:, 3] = trained.reach.mean[0, 0, 3].item()
    at_mean = mean_of(trained, x, t)
    for far in (1e6, -1e6):
        x[:, 3] = far
        np.testing.assert_allclose(mean_of(trained, x, t), at_mean, atol=1e-6)
    x[:, 3] = 2  # a code that no training row has, where 1 adds 2
    assert abs(mean_of(trained, x, t) - at_mean).max() < 0.5


def test_it_starts_as_the_linear_fit_and_finds_a_linear_leak() -> None:
    x, t = drawn(200)
    rows = batch(x, t, 50 + straight(x, t))
    model = build(4)
    model.start(rows)
    inside, t_new = np.clip(drawn(100, seed=9)[0], x.min(axis=0), x.max(axis=0)), drawn(100, seed=9)[1]
    np.testing.assert_allclose(mean_of(model, inside, t_new), 50 + straight(inside, t_new), atol=1e-3)
    learn(model, rows)
    np.testing.assert_allclose(mean_of(model, inside, t_new), 50 + straight(inside, t_new), atol=1e-2)


def test_the_loss_by_hand() -> None:
    x, t = drawn(40)
    y, hidden = straight(x, t) + np.random.default_rng(1).standard_normal(40), np.arange(40) % 2 == 0
    rows = batch(x, np.where(hidden, HIDDEN, t), y)
    model = build(4, gamma=0.5, noise=0.0)
    model.start(rows)
    with torch.no_grad():
        for parameter in model.outcome.parameters():
            parameter += 0.1
        loss = model.loss(rows)
        phi = model.reach(rows.x)
        log_p = model._log_p(model.treatment, phi)[0]
        every = [model.outcome.log_prob(model.u[:, :, k], model._context(phi, rows.t * 0 + k))[0] for k in (0, 1)]
    known = torch.from_numpy(t)
    labelled = torch.stack(every)[known, torch.arange(40)] + log_p[torch.arange(40), known]
    mixture = ((log_p[:, 0] + every[0]).exp() + (log_p[:, 1] + every[1]).exp()).log()
    gain = torch.where(torch.from_numpy(hidden), 0.5 * mixture, labelled)
    learns = model.learns[0]
    assert learns.sum() == 32
    torch.testing.assert_close(loss.total[0], -gain[learns].mean())


def test_a_row_that_is_held_out_moves_no_weight() -> None:
    x, t = drawn(40)
    rows = batch(x, t, straight(x, t) + np.random.default_rng(1).standard_normal(40))
    model = build(4, noise=0.0)
    model.start(rows)
    before = model.loss(rows).total
    model.u = model.u + 5 * (~model.learns)[..., None, None]
    assert torch.equal(model.loss(rows).total, before)
    model.u = model.u + 5 * model.learns[..., None, None]
    assert not torch.equal(model.loss(rows).total, before)


def test_a_rate_that_ruins_the_networks_leaves_the_start() -> None:
    x, t = drawn(100)
    rows = batch(x, t, straight(x, t) + np.random.default_rng(1).standard_normal(100))
    start = build(4)
    start.start(rows)
    ruined = learn(build(4), rows, epochs=3, lr=1e3)
    assert ruined.epoch == 3 and (ruined.kept_epoch == 0).all()
    np.testing.assert_array_equal(mean_of(ruined, x, t), mean_of(start, x, t))
    with torch.no_grad():
        far = (ruined.outcome.net.layers[-1].weight - start.outcome.net.layers[-1].weight).abs().max().item()
    assert far > 100


def test_one_row_of_each_treatment_always_learns() -> None:
    for seed in range(20):
        model = Flow(Sizes(4, 1, 2), [seed], [MODE], 8, 8, 1.0, 1.0, 0.9, 0.5).double()
        x, _ = drawn(30)
        t = (np.arange(30) >= 28).astype(np.int64)
        model.start(batch(x, t, x[:, 0]))
        assert model.learns.sum() == 3
        assert set(t[model.learns[0].numpy()]) == {0, 1}


def two_peaks(n: int, seed: int) -> Batch:
    """Errors of sd 1 around a straight line, in two peaks of sd 0.3 whose distance grows with the second column."""
    x, t = drawn(n, seed)
    draw = np.random.default_rng(seed + 100)
    side = np.where(draw.random(n) < 0.5, -1, 1) * (1 + 0.5 * np.tanh(x[:, 1]))
    return batch(x, t, straight(x, t) + side + 0.3 * draw.standard_normal(n))


def test_noise_that_is_not_normal_is_found() -> None:
    rows, new = two_peaks(1500, 0), two_peaks(1000, 1)
    model = learn(build(4), rows, epochs=15)
    errors = new.y[0, :, 0] - torch.from_numpy(straight(new.x[0].numpy(), new.t[0].numpy()))
    normal = errors.std().log().item() + 0.5 * math.log(2 * math.pi * math.e)
    assert nll(model, new) < normal - 0.3
    levels = torch.tensor([0.05, 0.25, 0.75, 0.95])
    with torch.no_grad():
        bounds = model.outcome_quantiles(new.x, new.t, levels)[0, :, 0]
    above = new.y[0] >= bounds
    inside = [(above[:, i] & ~above[:, j]).double().mean() for i, j in ((0, 3), (1, 2))]
    assert inside == pytest.approx([0.9, 0.5], abs=0.04)


def test_the_scale_follows_the_covariates_on_both_sides() -> None:
    def rows(n: int, seed: int) -> Batch:
        x, t = drawn(n, seed)
        return batch(x, t, straight(x, t) + np.exp(x[:, 2]) * np.random.default_rng(seed).standard_normal(n))

    model, new = learn(build(4), rows(1500, 0), epochs=15), rows(50, 1)
    new.x[..., :2] = 0
    new.x[..., 2] = torch.linspace(-1.5, 1.5, 50)
    with torch.no_grad():
        bounds = model.outcome_quantiles(new.x, new.t, torch.tensor([0.25, 0.75]))[0, :, 0]
    spread = (bounds[:, 1] - bounds[:, 0]) / (2 * 0.6745)
    assert 0.1 < spread[0] < 0.5 and 2.5 < spread[-1] < 7


def test_hidden_treatments_are_better_used_than_dropped() -> None:
    """60 of 600 treatments are known, and 12 slopes take more than 60 rows to learn. Means over four draws."""
    found = []
    for seed in range(4):
        draw = np.random.default_rng(seed)
        x = draw.standard_normal((1600, 12))
        t = (draw.logistic(size=1600) < x[:, 0]).astype(np.int64)
        y = x.sum(axis=1) + 3 * t + 2 * draw.standard_normal(1600)
        seen = np.where(np.arange(600) < 60, t[:600], HIDDEN)
        new = batch(x[600:], t[600:], y[600:])
        both = [learn(build(12, gamma=gamma), batch(x[:600], seen, y[:600]), epochs=4) for gamma in (1.0, 0.0)]
        errors = [np.sqrt(np.mean((mean_of(one, x[600:], t[600:]) - y[600:]) ** 2)) for one in both]
        found.append([*errors, *(nll(one, new) for one in both)])
    rmse_used, rmse_dropped, nll_used, nll_dropped = np.mean(found, axis=0)
    assert rmse_used < 0.95 * rmse_dropped
    assert nll_used < nll_dropped - 0.05


def test_an_outlier_does_not_cost_the_square_of_its_distance(trained: Flow) -> None:
    x, t = (each[:1] for each in drawn(1, seed=5))
    x[:, 2], x[:, 3] = 7.0, 0

    def at(y: float) -> Tensor:
        rows = batch(x, t, np.array([y]))
        with torch.no_grad():
            return trained.outcome_log_prob(rows.x, rows.t, rows.y)

    assert at(1e4).item() > -150
    assert at(1e4).item() < at(1e2).item() < at(10.0).item()


def test_a_run_starts_the_same_beside_another_with_the_same_rows() -> None:
    x, t = drawn(80)
    rows = batch(x, t, straight(x, t) + np.random.default_rng(1).standard_normal(80))
    assert rows.row is not None
    shared = [each.expand(2, *each.shape[1:]) for each in (rows.x, rows.t, rows.y, rows.row)]
    both = Flow(Sizes(4, 1, 2), [0, 1], [MODE] * 2, 16, 8, 1.0, 1.0, 0.2, 0.5).double()
    both.start(Batch(*shared[:3], any_hidden=False, row=shared[3]))
    alone = Flow(Sizes(4, 1, 2), [1], [MODE], 16, 8, 1.0, 1.0, 0.2, 0.5).double()
    alone.start(rows)
    for name, value in alone.run_state(0).items():
        np.testing.assert_array_equal(both.run_state(1)[name], value, err_msg=name)
    assert not np.array_equal(both.run_state(0)["chance"], both.run_state(1)["chance"])

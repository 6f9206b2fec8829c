"""linear and mean against solutions worked by hand."""

import math

import numpy as np
import pytest
import torch

from ssc_sweep.config import StatsMode
from ssc_sweep.models.contract import Batch, Sizes
from ssc_sweep.models.linear import Linear, solve_outcome, solve_treatment
from ssc_sweep.models.mean import Mean

MODE = StatsMode(mode="ema", momentum=0.05)
X = np.array([[-1.0], [0.0], [1.0], [2.0]])
Y = np.array([1.0, 2.0, 2.0, 5.0])


def test_least_squares_by_hand() -> None:
    # Mean of x 0.5, of y 2.5; Sxy = 6, Sxx = 5: b = 1.2, a = 1.9. Residuals .3, .1, -1.1, .7: RSS 1.8, n - 2 = 2.
    b, a, sd = solve_outcome(X, Y, 0.0)
    assert (b[0], a, sd) == pytest.approx((1.2, 1.9, math.sqrt(0.9)))


def test_ridge_by_hand() -> None:
    # b = 6 / (5 + 5) = 0.6, a = 2.5 - 0.6 * 0.5. Hat values 1/4 + (x - 0.5)^2 / 10; leave-one-out errors e / (1 - h).
    b, a, sd = solve_outcome(X, Y, 5.0)
    assert (b[0], a) == pytest.approx((0.6, 2.2))
    errors = (Y - a - b[0] * X[:, 0]) / (1 - 0.25 - (X[:, 0] - 0.5) ** 2 / 10)
    assert sd == pytest.approx(math.sqrt((errors**2).mean()))


def test_the_chosen_penalty_has_the_least_leave_one_out_error() -> None:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((30, 20))
    y = x[:, 0] + draw.standard_normal(30)
    errors = [solve_outcome(x, y, l2)[2] for l2 in np.logspace(-6, 4, 21)]
    assert solve_outcome(x, y, None)[2] == pytest.approx(min(errors))
    assert np.argmin(errors) not in (0, 20)


def test_the_treatment_does_not_depend_on_the_unit_of_the_outcome() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((60, 2)), draw.standard_normal((60, 1))
    t = (x[:, 0] + y[:, 0] + 0.5 * draw.standard_normal(60) > 0).astype(np.int64)
    found = []
    for unit in (1.0, 1000.0):
        model = Linear(Sizes(2, 1, 2), [0], [MODE], None, 1.0).double()
        rows = [torch.from_numpy(values).unsqueeze(0) for values in (x, t, unit * y)]
        model.solve(Batch(*rows, any_hidden=False))
        found.append(model.treatment_log_prob(rows[0], rows[2]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
    w, c = solve_treatment(np.concatenate([x, y / y.std()], axis=1), t, 2, 1.0)
    logit = np.concatenate([x, y / y.std()], axis=1) @ w[:, 1] + c[1]
    np.testing.assert_allclose(found[0][0, :, 1].exp().numpy(), 1 / (1 + np.exp(-logit)), rtol=1e-5)


def test_its_intervals_cover_what_they_promise() -> None:
    draw = np.random.default_rng(0)
    x, t = draw.standard_normal((4000, 3)), draw.integers(2, size=4000)
    y = x[:, :1] + 2 * t[:, None] + (1 + t[:, None]) * draw.standard_normal((4000, 1))  # sd 1 and 2
    rows = [torch.from_numpy(values).unsqueeze(0) for values in (x, t, y)]
    model = Linear(Sizes(3, 1, 2), [0], [MODE], None, 1.0).double()
    model.solve(Batch(*rows, any_hidden=False))
    quantiles = model.outcome_quantiles(rows[0], rows[1], torch.tensor([0.05, 0.95]))[0, :, 0].numpy()
    for k in (0, 1):
        inside = (quantiles[t == k, 0] < y[t == k, 0]) & (y[t == k, 0] < quantiles[t == k, 1])
        assert inside.mean() == pytest.approx(0.9, abs=0.015)
    assert model.sd[0, :, 0].numpy() == pytest.approx([1, 2], rel=0.04)


def test_the_mean_by_hand() -> None:
    model = Mean(Sizes(1, 1, 2), [0], [MODE]).double()
    t = torch.tensor([[0, 1, 1, -1]])
    model.solve(Batch(torch.from_numpy(X).unsqueeze(0), t, torch.from_numpy(Y).view(1, 4, 1), any_hidden=True))
    x, y = torch.zeros(1, 2, 1, dtype=torch.float64), torch.zeros(1, 2, 1, dtype=torch.float64)
    assert model.outcome_mean(x, torch.tensor([[0, 1]])).flatten().tolist() == [2.5, 2.5]
    assert model.treatment_log_prob(x, y).exp()[0, 0].tolist() == pytest.approx([1 / 3, 2 / 3])
    sd = math.sqrt((1.5**2 + 0.5**2 + 0.5**2 + 2.5**2) / 4)
    expected = -0.5 * (2.5 / sd) ** 2 - math.log(sd) - 0.5 * math.log(2 * math.pi)
    assert model.outcome_log_prob(x, t[:, :2], y)[0, 0].item() == pytest.approx(expected)

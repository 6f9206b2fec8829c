"""The spline against a worked example, autograd, numerical integrals and zuko; its density against integrals."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from zuko.transforms import MonotonicRQSTransform

from ssc_sweep.models.spline import Conditional, Knots, forward, inverse, knots, mean, number

BINS, BOUND = 8, 4.0


def drawn(*shape: int, size: float = 2.0) -> Knots:
    return knots(size * torch.from_numpy(np.random.default_rng(0).standard_normal((*shape, number(BINS)))), BINS, BOUND)


def points(*shape: int) -> Tensor:
    """Within the knots and far beyond."""
    return 3 * torch.from_numpy(np.random.default_rng(1).standard_normal(shape))


def by_hand() -> Knots:
    return Knots(*(torch.tensor(each, dtype=torch.float64) for each in ([-1, 0, 1], [-1, 0.5, 1], [1, 2, 0.5])))


@pytest.mark.parametrize(
    ("u", "value", "slope"),
    [
        # First bin, t = 1/2: s = 1.5, q = 1.5; T = -1 + 1.5 (0.375 + 0.25) / 1.5, T' = 2.25 (0.5 + 0.75 + 0.25) / 2.25.
        (-0.5, -0.375, 1.5),
        # Second bin, t = 1/2: s = 0.5, q = 0.5 + 1.5 / 4; T = 0.5 + 0.5 (0.125 + 0.5) / 0.875.
        (0.5, 0.5 + 0.3125 / 0.875, 0.25 * 0.875 / 0.875**2),
        (0.0, 0.5, 2.0),
        # Beyond the last knot: 1 + log(1 + 0.5 * 2), 0.5 / 2; beyond the first: -1 - log(1 + 1 * 3), 1 / 4.
        (3.0, 1 + math.log(2), 0.25),
        (-4.0, -1 - math.log(4), 0.25),
    ],
)
def test_a_spline_by_hand(u: float, value: float, slope: float) -> None:
    got, log_slope = forward(torch.tensor(u, dtype=torch.float64), by_hand())
    assert (got.item(), log_slope.exp().item()) == pytest.approx((value, slope))
    assert inverse(torch.tensor(value, dtype=torch.float64), by_hand()).item() == pytest.approx(u)


def test_zeros_are_the_identity() -> None:
    u = torch.linspace(-4, 4, 101, dtype=torch.float64)
    z, log_slope = forward(u, knots(torch.zeros(number(BINS), dtype=torch.float64), BINS, BOUND))
    torch.testing.assert_close(z, u)
    torch.testing.assert_close(log_slope, torch.zeros_like(u))


def test_the_inverse_is_one_and_the_slope_is_that_of_autograd() -> None:
    u, spline = points(50, 40).requires_grad_(), drawn(50, 40)
    z, log_slope = forward(u, spline)
    (slope,) = torch.autograd.grad(z.sum(), u)
    torch.testing.assert_close(slope.log(), log_slope)
    torch.testing.assert_close(inverse(z, spline), u)
    assert (u.abs() > BOUND).any()


def test_zuko_has_the_same_between_the_knots() -> None:
    raw, u = torch.from_numpy(np.random.default_rng(0).standard_normal((30, number(BINS)))), points(30).clamp(-4, 4)
    widths, heights, slopes = raw.split([BINS, BINS, BINS + 1], dim=-1)
    slopes = torch.cat([torch.zeros(30, 1), slopes[:, 1:-1], torch.zeros(30, 1)], dim=-1)  # zuko's last slopes are 1
    z, log_slope = forward(u, knots(torch.cat([widths, heights, slopes], dim=-1), BINS, BOUND))
    theirs = MonotonicRQSTransform(widths, heights, slopes[:, 1:-1], bound=BOUND).call_and_ladj(u)
    torch.testing.assert_close((z, log_slope), theirs)


def test_the_density_of_a_spline_integrates_to_one_and_has_this_mean() -> None:
    one = Knots(*(each[0] for each in drawn(1, size=1.0)))
    # The tails are those of exp of a normal number: the grid has to be wide, and may be coarse there.
    u = torch.sinh(torch.linspace(-14, 14, 400001, dtype=torch.float64))
    z, log_slope = forward(u, one)
    density = (log_slope - 0.5 * z.square()).exp() / math.sqrt(2 * math.pi)
    assert torch.trapezoid(density, u).item() == pytest.approx(1, abs=1e-6)
    assert torch.trapezoid(u * density, u).item() == pytest.approx(mean(one).item(), abs=1e-5)
    assert abs(mean(one).item()) > 0.1


def conditional(d_y: int) -> tuple[Conditional, Tensor]:
    """A density far from its start, and a context (1, 1, 3)."""
    draws = tuple([np.random.default_rng(seed)] for seed in (0, 1))
    model = Conditional(3, d_y, 8, BINS, draws).double()  # type: ignore[arg-type]
    shake = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=shake, dtype=torch.float64)
    return model, torch.tensor([[[0.3, -1.0, 2.0]]], dtype=torch.float64)


def test_a_density_its_mean_and_its_quantiles_agree() -> None:
    model, context = conditional(1)
    u = torch.sinh(torch.linspace(-12, 12, 200001, dtype=torch.float64))
    with torch.no_grad():
        density = model.log_prob(u.view(1, -1, 1), context.expand(1, len(u), 3))[0].exp()
        quantiles = model.quantiles(context, torch.tensor([0.05, 0.5, 0.95]))[0, 0, 0]
        assert torch.trapezoid(density, u).item() == pytest.approx(1, abs=1e-6)
        assert torch.trapezoid(u * density, u).item() == pytest.approx(model.mean(context).item(), abs=1e-5)
    for quantile, level in zip(quantiles, (0.05, 0.5, 0.95), strict=True):
        below = torch.trapezoid(torch.where(u <= quantile, density, 0), u)
        assert below.item() == pytest.approx(level, abs=1e-4)


def test_two_outcomes_integrate_to_one_and_are_correlated_as_the_copula_says() -> None:
    model, context = conditional(2)
    assert model.tied is not None
    with torch.no_grad():
        model.tied.fill_(0.75)  # second row of L: (0.75, 1) / 1.25 = (0.6, 0.8)
        side = torch.sinh(torch.linspace(-7, 7, 801, dtype=torch.float64))
        grid = torch.cartesian_prod(side, side).unsqueeze(0)
        joint = model.log_prob(grid, context.expand(1, grid.shape[1], 3)).exp().view(801, 801)
        marginals = [torch.trapezoid(joint, side, dim=dim) for dim in (1, 0)]
        means = [torch.trapezoid(side * one, side).item() for one in marginals]
        assert torch.trapezoid(marginals[0], side).item() == pytest.approx(1, abs=1e-3)
        assert means == pytest.approx(model.mean(context)[0, 0].tolist(), abs=5e-3)
        z = torch.tensor([[[0.5, -1.0]]], dtype=torch.float64)
        correlations = torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=torch.float64)
        normal = torch.distributions.MultivariateNormal(torch.zeros_like(z[0, 0]), correlations)
        torch.testing.assert_close(model._copula(z)[0, 0], normal.log_prob(z[0, 0]))

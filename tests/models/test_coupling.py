"""The coupling flow: its log-determinant, its inverse, its mass, and its two ways of evaluation."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ssc_sweep.models.coupling import MIN_SCALE, CouplingFlow

SEEDS = [1, 2]
D_CONTEXT, ROWS = 4, 3


def build(d: int, couplings: int = 6, inert: bool = False, seeds: list[int] = SEEDS) -> CouplingFlow:
    return CouplingFlow(d, D_CONTEXT, couplings, 16, seeds, "flow", inert)


def normal(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("inert", [False, True])
def test_log_determinant_is_that_of_the_jacobian(d: int, inert: bool) -> None:
    flow, y, context = build(d, inert=inert), 2 * normal(2, ROWS, d), normal(2, ROWS, D_CONTEXT)
    _, log_det = flow(y, context)
    jacobian = torch.autograd.functional.jacobian(lambda rows: flow(rows, context)[0], y)
    for run in range(2):
        for row in range(ROWS):
            block = jacobian[run, row, :, run, row]
            torch.testing.assert_close(torch.linalg.slogdet(block).logabsdet, log_det[run, row])
            # No row and no run has a part in another one's z.
            rest = jacobian[run, row].clone()
            rest[:, run, row] = 0
            assert not rest.any()


@torch.no_grad()
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("inert", [False, True])
@pytest.mark.parametrize("couplings", [2, 3, 6])
def test_inverse_undoes_forward(d: int, inert: bool, couplings: int) -> None:
    flow, y, context = build(d, couplings, inert), 2 * normal(2, ROWS, d), normal(2, ROWS, D_CONTEXT)
    z, _ = flow(y, context)
    assert not torch.allclose(z, y)
    torch.testing.assert_close(flow.inverse(z, context), y, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_forward_without_context() -> None:
    flow = CouplingFlow(3, 0, 3, 8, SEEDS, "flow", inert=False)
    y = normal(2, ROWS, 3)
    z, log_det = flow(y, y[..., :0])
    assert log_det.shape == (2, ROWS)
    torch.testing.assert_close(flow.inverse(z, y[..., :0]), y, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_mass_is_one() -> None:
    grid = torch.linspace(-60, 60, 3001, dtype=torch.float64)
    context = normal(2, 1, D_CONTEXT).expand(-1, len(grid), -1)
    density = build(1).density(grid.view(1, -1, 1).expand(2, -1, -1), context)[0].exp()
    torch.testing.assert_close(torch.trapezoid(density, grid), torch.ones(2, dtype=torch.float64))


@torch.no_grad()
@pytest.mark.parametrize("couplings", [2, 5, 6])
def test_all_at_once_equals_one_after_the_other(couplings: int) -> None:
    fused, plain = build(1, couplings), build(1, couplings, inert=True)
    assert fused.together
    assert not plain.together
    y, context = normal(2, ROWS, 1), normal(2, ROWS, D_CONTEXT)
    for got, expected in zip(fused(y, context), plain(y, context), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(fused.inverse(y, context), plain.inverse(y, context), rtol=1e-12, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("d", [1, 3])
def test_a_run_is_the_same_alone(d: int) -> None:
    together, y, context = build(d), normal(2, ROWS, d), normal(2, ROWS, D_CONTEXT)
    for run, seed in enumerate(SEEDS):
        part = slice(run, run + 1)
        alone = build(d, seeds=[seed]).density(y[part], context[part])[0]
        torch.testing.assert_close(together.density(y, context)[0][part], alone, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_scale_and_shift_by_hand() -> None:
    """One live coupling with all weights 0 but the last bias: z = y (sigmoid(u + 2) + 0.001) + 5 tanh(v)."""
    flow = build(1, couplings=2, seeds=[0])
    for parameter in flow.parameters():
        parameter.zero_()
    flow.nets[0].last.bias[0, 0] = torch.tensor([0.5, -2.0])
    z, log_det = flow(torch.full((1, 1, 1), 10.0, dtype=torch.float64), normal(1, 1, D_CONTEXT))
    assert MIN_SCALE == 0.001
    assert z.item() == pytest.approx(10 * 0.501 + 5 * np.tanh(0.5))
    assert log_det.item() == pytest.approx(np.log(0.501))


def test_only_couplings_that_move_something_learn() -> None:
    fused, plain, wide = build(1), build(1, inert=True), build(3, inert=True)
    assert {id(p) for p in fused.learning()} == {id(p) for p in fused.parameters()}
    assert {id(p) for p in wide.learning()} == {id(p) for p in wide.parameters()}
    live = [p for i in (1, 3, 5) for p in plain.nets[i].parameters()]
    assert {id(p) for p in plain.learning()} == {id(p) for p in live}


@torch.no_grad()
def test_a_free_scale_has_no_bound_above() -> None:
    """s = softplus(u + c) + m; with the weights of the last layer at 0 the output is its bias, (v, u)."""
    flow = CouplingFlow(1, D_CONTEXT, 2, 16, SEEDS, "flow", inert=False, min_scale=0.25, scale_law="free")
    flow.nets[0].last.weight.zero_()
    y, context = normal(2, ROWS, 1), normal(2, ROWS, D_CONTEXT)
    for u, softplus in ((0.0, 1.0), (1e6, 1e6 + np.log(np.e - 1)), (1.0, np.log(1 + np.e * (np.e - 1))), (-1e6, 0.0)):
        flow.nets[0].last.bias[:] = torch.tensor([0.0, u])
        z, log_det = flow(y, context)
        torch.testing.assert_close(z, y * (softplus + 0.25))
        torch.testing.assert_close(log_det, torch.full((2, ROWS), np.log(softplus + 0.25), dtype=torch.float64))
        torch.testing.assert_close(flow.inverse(z, context), y)

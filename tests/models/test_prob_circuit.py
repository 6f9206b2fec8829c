"""The circuit: its conditionals against the joint and numerical integration, its likelihood, learning and state."""

import copy
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ssc_sweep.errors import UserError
from ssc_sweep.models.choice import choose
from ssc_sweep.models.prob_circuit import Circuit

Rows = tuple[Tensor, Tensor, Tensor]
# d_x, d_y, K: one column cannot be halved, two once, five twice with parts of unequal size.
SIZES = [(1, 1, 2), (2, 1, 3), (5, 2, 2), (9, 3, 4)]


PLAIN: dict[str, float] = {
    "components": 10, "pairs": 4, "depth": 2, "repetitions": 2, "regions": 10, "leaves": 10, "x_floor": 0.5,
    "y_floor": 0.1,
}  # fmt: skip


def made(d_x: int, d_y: int, treatments: int, seed: int, **changed: float) -> Circuit:
    return Circuit(d_x, d_y, treatments, seed, **PLAIN | changed)  # type: ignore[arg-type]


def fit(circuit: Circuit, x: Tensor, t: Tensor, y: Tensor, epochs: int = 10) -> None:
    """Train as the loop does: Adam, batches of 50."""
    circuit.start(x, t, y)
    draw = np.random.default_rng(circuit.seed)
    optimiser = torch.optim.Adam(circuit.parameters(), lr=0.02)
    with torch.enable_grad():
        for _ in range(epochs):
            for rows in torch.from_numpy(draw.permutation(len(x))).split(50):
                optimiser.zero_grad()
                circuit.loss(x[rows], t[rows], y[rows]).backward()
                optimiser.step()
                circuit.constrain()


def rows_of(d_x: int, d_y: int, treatments: int, n: int = 200, dtype: torch.dtype = torch.float64) -> Rows:
    """Rows in which y depends on x and t, in a unit far from 1: (n, d_x), (n,), (n, d_y)."""
    draw = np.random.default_rng(0)
    x, t = draw.standard_normal((n, d_x)), draw.integers(treatments, size=n)
    y = 70 + 8 * (x[:, :1] + t[:, None] + 0.3 * draw.standard_normal((n, d_y)))
    return torch.from_numpy(x).to(dtype), torch.from_numpy(t), torch.from_numpy(y).to(dtype)


def fitted(
    d_x: int, d_y: int, treatments: int, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Circuit, Rows]:
    circuit = made(d_x, d_y, treatments, seed, components=3, pairs=2, regions=2, leaves=2).to(dtype)
    rows = rows_of(d_x, d_y, treatments, dtype=dtype)
    fit(circuit, *rows, epochs=3)
    return circuit, rows


def joint(circuit: Circuit, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    """log p(x, t, y) row by row from the likelihood alone, y in training sd: (n,)."""
    return torch.stack([-circuit.loss(x[i : i + 1], t[i : i + 1], y[i : i + 1]) for i in range(len(x))])


def grid_of(y: Tensor, spread: float = 12, steps: int = 20001) -> Tensor:
    """Values that hold all mass of one outcome: shape (steps, 1)."""
    centre, sd = y.mean().item(), y.std().item()
    return torch.linspace(centre - spread * sd, centre + spread * sd, steps, dtype=y.dtype).unsqueeze(1)


@torch.no_grad()
@pytest.mark.parametrize("sizes", SIZES)
def test_conditionals_are_those_of_the_joint(sizes: tuple[int, int, int]) -> None:
    """p(y | x, t) and p(t | x, y) by division of likelihoods that spflow evaluates and sums out by itself."""
    circuit, (x, t, y) = fitted(*sizes)
    x, t, y = x[:20], t[:20], y[:20]
    known = torch.stack([joint(circuit, x, torch.full_like(t, k), y) for k in range(sizes[2])], dim=1)
    torch.testing.assert_close(circuit.treatment_log_prob(x, y), known.log_softmax(dim=1), rtol=0, atol=1e-9)
    without_y = joint(circuit, x, t, torch.full_like(y, torch.nan))
    expected = joint(circuit, x, t, y) - without_y - circuit.scale.log().sum()
    torch.testing.assert_close(circuit.outcome_log_prob(x, t, y), expected, rtol=0, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("sizes", [(1, 1, 2), (5, 1, 3)])
def test_density_and_mean_by_numerical_integration(sizes: tuple[int, int, int]) -> None:
    circuit, (x, t, y) = fitted(*sizes)
    grid = grid_of(y)
    for i in range(3):
        same_x, same_t = x[i].expand(len(grid), -1), t[i].expand(len(grid))
        density = circuit.outcome_log_prob(same_x, same_t, grid).exp()
        mass = torch.trapezoid(density, grid[:, 0])
        mean = torch.trapezoid(density * grid[:, 0], grid[:, 0])
        assert mass.item() == pytest.approx(1, abs=1e-6)
        assert mean.item() == pytest.approx(circuit.outcome_mean(x[i : i + 1], t[i : i + 1]).item(), abs=1e-6)


@torch.no_grad()
def test_mean_of_each_outcome_by_numerical_integration_over_the_other() -> None:
    circuit, (x, t, y) = fitted(2, 2, 2)
    grids = [grid_of(y[:, j], steps=601)[:, 0] for j in range(2)]
    both = torch.cartesian_prod(*grids)
    density = circuit.outcome_log_prob(x[0].expand(len(both), -1), t[0].expand(len(both)), both).exp()
    density = density.view(601, 601)
    marginals = [torch.trapezoid(density, grids[1], dim=1), torch.trapezoid(density, grids[0], dim=0)]
    means = [torch.trapezoid(p * grid, grid).item() for p, grid in zip(marginals, grids, strict=True)]
    assert circuit.outcome_mean(x[:1], t[:1])[0].tolist() == pytest.approx(means, abs=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("sizes", SIZES)
def test_bayes_rule(sizes: tuple[int, int, int]) -> None:
    """p(t | x, y) = p(t | x) p(y | x, t) / p(y | x), with p(t | x) from likelihoods without y."""
    circuit, (x, t, y) = fitted(*sizes)
    x, t, y = x[:10], t[:10], y[:10]
    codes = [torch.full_like(t, k) for k in range(sizes[2])]
    no_y = torch.full_like(y, torch.nan)
    prior = torch.stack([joint(circuit, x, code, no_y) for code in codes], dim=1).log_softmax(dim=1)
    likelihood = torch.stack([circuit.outcome_log_prob(x, code, y) for code in codes], dim=1)
    found = circuit.treatment_log_prob(x, y)
    torch.testing.assert_close(found, (prior + likelihood).log_softmax(dim=1), rtol=0, atol=1e-9)
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(10, dtype=torch.float64))


@torch.no_grad()
@pytest.mark.parametrize("sizes", SIZES)
def test_a_hidden_treatment_is_the_sum_over_treatments(sizes: tuple[int, int, int]) -> None:
    circuit, (x, t, y) = fitted(*sizes)
    x, t, y = x[:10], t[:10], y[:10]
    by_treatment = torch.stack([joint(circuit, x, torch.full_like(t, k), y) for k in range(sizes[2])])
    hidden = joint(circuit, x, torch.full_like(t, -1), y)
    torch.testing.assert_close(hidden, by_treatment.logsumexp(dim=0), rtol=0, atol=1e-9)
    mixed = torch.where(torch.arange(10) < 5, t, -1)
    expected = torch.where(torch.arange(10) < 5, joint(circuit, x, t, y), hidden)
    torch.testing.assert_close(circuit.loss(x, mixed, y), -expected.mean())


@torch.no_grad()
@pytest.mark.parametrize("sizes", SIZES)
def test_quantiles_invert_the_distribution_function(sizes: tuple[int, int, int]) -> None:
    circuit, (x, t, _) = fitted(*sizes)
    x, t = x[:10], t[:10]
    levels = torch.tensor([0.001, 0.05, 0.5, 0.975], dtype=torch.float64)
    quantiles = circuit.outcome_quantiles(x, t, levels)
    assert quantiles.shape == (10, sizes[1], 4)
    weights = circuit._log_weights(x, t).exp()
    loc, scale = circuit._parts.y.loc[..., 0], circuit._parts.y.scale[..., 0]
    for j in range(sizes[1]):
        z = (quantiles[:, j] - circuit.shift[j]) / circuit.scale[j]
        mass = (weights.unsqueeze(1) * torch.special.ndtr((z.unsqueeze(-1) - loc[j]) / scale[j])).sum(dim=-1)
        torch.testing.assert_close(mass, levels.expand(10, -1), rtol=0, atol=1e-12)


@torch.no_grad()
def test_quantiles_by_numerical_integration() -> None:
    circuit, (x, t, y) = fitted(5, 1, 2)
    grid = grid_of(y)
    density = circuit.outcome_log_prob(x[0].expand(len(grid), -1), t[0].expand(len(grid)), grid).exp()
    for level in (0.1, 0.5, 0.9):
        quantile = circuit.outcome_quantiles(x[:1], t[:1], torch.tensor([level], dtype=torch.float64)).item()
        below = torch.cat([grid[grid[:, 0] < quantile, 0], torch.tensor([quantile], dtype=torch.float64)])
        last = circuit.outcome_log_prob(x[:1], t[:1], torch.tensor([[quantile]], dtype=torch.float64)).exp()
        mass = torch.trapezoid(torch.cat([density[: len(below) - 1], last]), below)
        assert mass.item() == pytest.approx(level, abs=1e-6)


@torch.no_grad()
def test_one_pair_a_treatment_worked_by_hand() -> None:
    """d_x = d_y = 1, C = 2, pairs N(-1, 1) for t = 0 and N(2, 1) for t = 1 for certain, X_1 = N(0, 1), X_2 = N(1, 1).

    At x = 1/2 both X are equal, so g depends on w and V alone: w = (1/2, 1/2), V_1 = (3/4, 1/4), V_2 = (1/4, 3/4).
    Then g is equal for both pairs: p(t | x) = (1/2, 1/2), and at y = 1/2, in the middle of both, p(t | x, y) too.
    At x = 0, X_1 / X_2 = exp(1/2) = e: p(t = 0 | x) = (3/4 e + 1/4) / (e + 1).
    """
    circuit = made(1, 1, 2, seed=0, components=2, pairs=1).double()
    parts = circuit._parts
    parts.x.loc.copy_(torch.tensor([[[0.0], [1.0]]]))
    parts.x.log_scale.zero_()
    parts.y.loc.copy_(torch.tensor([[[-1.0], [2.0]]]))
    parts.y.log_scale.zero_()
    parts.t.logits.copy_(torch.tensor([[[[0.0, -60.0]], [[-60.0, 0.0]]]]))
    circuit.root.logits.zero_()
    parts.ty_circuit.logits.copy_(torch.tensor([[0.75, 0.25], [0.25, 0.75]]).log().view(1, 2, 2, 1))
    x, y = torch.tensor([[0.5], [0.0]], dtype=torch.float64), torch.tensor([[0.5], [0.5]], dtype=torch.float64)
    e = np.exp(0.5)
    first = (0.75 * e + 0.25) / (e + 1)
    expected = torch.tensor([[0.5, 0.5], [first, 1 - first]], dtype=torch.float64)
    torch.testing.assert_close(circuit.treatment_log_prob(x, y).exp(), expected)
    # A treatment seen names its pair; a hidden one leaves both, weighed by p(t | x).
    t = torch.tensor([0, 1])
    torch.testing.assert_close(circuit.outcome_mean(x, t), torch.tensor([[-1.0], [2.0]], dtype=torch.float64))
    hidden = circuit.outcome_mean(x, torch.tensor([-1, -1]))
    torch.testing.assert_close(hidden, torch.tensor([[0.5], [2 - 3 * first]], dtype=torch.float64))


def test_recovers_a_known_effect() -> None:
    """A group moves both t and y; t itself adds 3. 20 further columns are noise. Unadjusted, t seems to add 6."""
    draw = np.random.default_rng(1)
    group = draw.integers(2, size=2000)
    t = (draw.random(2000) < np.where(group == 1, 0.8, 0.2)).astype(np.int64)
    y = 5.0 * group + 3.0 * t + draw.standard_normal(2000)
    x = np.column_stack([2.0 * group - 1, draw.standard_normal((2000, 20))])
    confounded = y[t == 1].mean() - y[t == 0].mean()
    assert confounded > 5.5
    rows = torch.from_numpy(x).float(), torch.from_numpy(t), torch.from_numpy(y).float().unsqueeze(1)
    circuit = made(21, 1, 2, seed=0)
    fit(circuit, *rows, epochs=40)
    ones = torch.ones(2000, dtype=torch.int64)
    with torch.no_grad():
        effect = circuit.outcome_mean(rows[0], ones) - circuit.outcome_mean(rows[0], 1 - ones)
        log_p = circuit.outcome_log_prob(*rows).mean().item()
    assert effect.mean().item() == pytest.approx(3, abs=0.3)
    assert log_p == pytest.approx(-0.5 * np.log(2 * np.pi * np.e), abs=0.15)


def test_learns_from_rows_with_hidden_treatments() -> None:
    x, t, y = rows_of(3, 1, 2, n=600, dtype=torch.float32)
    hidden = torch.where(torch.arange(600) % 2 == 0, -1, t)
    circuit = made(3, 1, 2, seed=0)
    fit(circuit, x, hidden, y, epochs=40)
    with torch.no_grad():
        accuracy = (circuit.treatment_log_prob(x, y).argmax(dim=1) == t).double().mean().item()
        rmse = (circuit.outcome_mean(x, t) - y).square().mean().sqrt().item()
    assert accuracy > 0.75
    assert rmse < 0.5 * y.std().item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_raises_the_likelihood(dtype: torch.dtype) -> None:
    rows = rows_of(5, 1, 2, dtype=dtype)
    circuit = made(5, 1, 2, seed=0).to(dtype)
    circuit.start(*rows)
    before = circuit.loss(*rows).item()
    fit(circuit, *rows)
    assert circuit.loss(*rows).item() < before - 0.5
    assert all(parameter.dtype == dtype for parameter in circuit.parameters())


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [25.0, 1e6])
def test_far_rows_stay_finite(dtype: torch.dtype, far: float) -> None:
    circuit, (x, t, y) = fitted(9, 3, 4, dtype)
    x = torch.where(torch.arange(9) < 5, far, x)
    found = [circuit.outcome_mean(x, t), circuit.treatment_log_prob(x, y), circuit.outcome_log_prob(x, t, y)]
    found += [circuit.outcome_quantiles(x, t, torch.tensor([0.1, 0.9], dtype=dtype)), circuit.loss(x, t, y)]
    assert all(torch.isfinite(values).all() and values.dtype == dtype for values in found)
    # A mean of a mixture cannot leave what its components say.
    loc = circuit.shift + circuit.scale * circuit._parts.y.loc[..., 0].T
    assert (found[0] >= loc.amin(dim=0) - 1e-3).all() and (found[0] <= loc.amax(dim=0) + 1e-3).all()
    assert torch.isfinite(circuit.outcome_log_prob(x, t, y + 1000 * far)).all()


def test_constant_columns() -> None:
    """A covariate and an outcome that never change: floors hold, and the outcome keeps its unit."""
    x, t, y = rows_of(3, 2, 2)
    x[:, 0], y[:, 1] = 0.0, 4.1  # the mean of 200 times 4.1 is not 4.1 to the last digit
    circuit = made(3, 2, 2, seed=0).double()
    fit(circuit, x, t, y)
    with torch.no_grad():
        assert circuit.scale[1] == 1
        assert circuit.outcome_mean(x, t)[:, 1].sub(4.1).abs().max() < 0.1
        assert torch.isfinite(circuit.outcome_log_prob(x, t, y)).all()
        assert circuit._parts.x.scale.min() >= circuit.x_floor * (1 - 1e-12)
        assert circuit._parts.y.scale.min() >= circuit.y_floor * (1 - 1e-12)


def test_a_treatment_without_visible_rows() -> None:
    x, t, y = rows_of(3, 1, 3)
    circuit = made(3, 1, 3, seed=0).double()
    fit(circuit, x, torch.where(t == 2, -1, t), y)
    with torch.no_grad():
        assert torch.isfinite(circuit.outcome_mean(x, torch.full_like(t, 2))).all()


def predictions(circuit: Circuit, x: Tensor, t: Tensor, y: Tensor) -> list[Tensor]:
    with torch.no_grad():
        levels = torch.tensor([0.1, 0.9], dtype=x.dtype)
        return [
            circuit.outcome_mean(x, t),
            circuit.treatment_log_prob(x, y),
            circuit.outcome_log_prob(x, t, y),
            circuit.outcome_quantiles(x, t, levels),
        ]


def test_same_seed_same_result() -> None:
    rows = rows_of(9, 3, 4)
    first, again, other = (predictions(fitted(9, 3, 4, seed=seed)[0], *rows) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(1), np.random.random()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    fitted(5, 1, 2)
    assert (torch.rand(1), np.random.random()) == expected  # noqa: NPY002


def from_state(circuit: Circuit, seed: int, dtype: torch.dtype) -> Circuit:
    fresh = made(9, 3, 4, seed, components=3, pairs=2, regions=2, leaves=2).to(dtype)
    fresh.load_state_dict(copy.deepcopy(circuit.state_dict()))
    return fresh


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize(
    "restore", [from_state, lambda circuit, _seed, _dtype: copy.deepcopy(circuit)], ids=["state", "deepcopy"]
)
def test_state_round_trip(
    restore: Callable[[Circuit, int, torch.dtype], Circuit], seed: int, dtype: torch.dtype
) -> None:
    """The random cuts are part of the state: even an object of another seed predicts the same after loading."""
    circuit, rows = fitted(9, 3, 4, dtype)
    restored = restore(circuit, seed, dtype)
    for before, after in zip(predictions(circuit, *rows), predictions(restored, *rows), strict=True):
        assert torch.equal(before, after)


def test_no_two_entries_of_the_state_share_memory() -> None:
    """safetensors refuses to write such a state."""
    state = fitted(9, 3, 4)[0].state_dict()
    assert len({tensor.untyped_storage().data_ptr() for tensor in state.values()}) == len(state)


def test_prediction_of_many_rows_is_that_of_few() -> None:
    circuit, (x, t, y) = fitted(5, 2, 2)
    many = predictions(circuit, x.repeat(12, 1), t.repeat(12), y.repeat(12, 1))
    for whole, part in zip(many, predictions(circuit, x, t, y), strict=True):
        torch.testing.assert_close(whole[-len(x) :], part)


def test_without_spflow_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spflow", None)
    with pytest.raises(UserError) as raised:
        choose({"_target_": "ssc_sweep.models.prob_circuit.ProbCircuit"})
    assert str(raised.value).endswith("needs the package spflow: pip install 'ssc_sweep[circuit]'.")

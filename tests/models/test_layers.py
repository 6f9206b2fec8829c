"""Each member of a layer equals torch's or nflows' own layer; statistics worked by hand."""

import numpy as np
import pytest
import torch
from nflows.nn import nets
from torch import Tensor, nn

from ssc_sweep.models.layers import MLP, ResidualNet, RunningStats, StackedLinear
from ssc_sweep.streams import stream
from tests.nflows_reference import linear_pieces, residual_net_pieces

MEMBERS, ROWS = 3, 4


def draws(members: int = MEMBERS) -> list[np.random.Generator]:
    return [stream(seed, "layer") for seed in range(members)]


def normal(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))


def test_linear() -> None:
    ours, x = StackedLinear(5, 2, draws()), normal(MEMBERS, ROWS, 5)
    theirs = nn.Linear(5, 2, dtype=torch.float64)
    for member in range(MEMBERS):
        for piece in linear_pieces(ours, theirs):
            piece.copy(member)
        torch.testing.assert_close(ours(x)[member], theirs(x[member]))


def test_linear_without_inputs_gives_its_bias() -> None:
    ours = StackedLinear(0, 2, draws())
    assert torch.equal(ours(normal(MEMBERS, ROWS, 0)), ours.bias.expand(-1, ROWS, -1))


def test_mlp() -> None:
    ours, x = MLP([5, 8, 6, 2], draws()), normal(MEMBERS, ROWS, 5)
    linears = [nn.Linear(a, b, dtype=torch.float64) for a, b in ((5, 8), (8, 6), (6, 2))]
    theirs = nn.Sequential(linears[0], nn.ReLU(), linears[1], nn.ReLU(), linears[2])
    for member in range(MEMBERS):
        for layer, linear in zip(ours.layers, linears, strict=True):
            for piece in linear_pieces(layer, linear):
                piece.copy(member)
        torch.testing.assert_close(ours(x)[member], theirs(x[member]))


@pytest.mark.parametrize("d_context", [0, 3])
def test_residual_net(d_context: int) -> None:
    ours = ResidualNet(2, d_context, 8, 4, draws())
    theirs = nets.ResidualNet(2, 4, 8, context_features=d_context or None).double()
    x, context = normal(MEMBERS, ROWS, 2), normal(MEMBERS, ROWS, d_context)
    with torch.no_grad():
        # Fresh blocks change next to nothing; here they must count.
        for block in ours.blocks:
            block.second.weight *= 300
    for member in range(MEMBERS):
        for piece in residual_net_pieces(ours, theirs):
            piece.copy(member)
        expected = theirs(x[member], context[member] if d_context else None)
        torch.testing.assert_close(ours(x, context)[member], expected)


def test_weights_start_within_their_bounds() -> None:
    net = ResidualNet(3, 6, 100, 4, draws())
    block = net.blocks[0]
    first, gates = slice(100), slice(100, None)
    for weights, bound in (
        (net.context.weight[..., first], 1 / 3),
        (net.context.bias[..., first], 1 / 3),
        (net.input, 1 / 3),
        (net.context.weight[..., gates], 6**-0.5),
        (net.context.bias[..., gates], 6**-0.5),
        (block.first.weight, 0.1),
        (block.first.bias, 0.1),
        (block.second.weight, 1e-3),
        (block.second.bias, 1e-3),
    ):
        assert weights.dtype == torch.float64
        assert 0.9 * bound < weights.abs().max() <= bound
        assert abs(weights.mean()) < 0.1 * bound


def test_a_member_starts_the_same_whoever_stands_beside_it() -> None:
    many, few = MLP([5, 8, 2], draws(3)), MLP([5, 8, 2], draws(2))
    for a, b in zip(many.parameters(), few.parameters(), strict=True):
        assert torch.equal(a[:2], b)
        assert not torch.equal(a[0], a[1])


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1)


def test_running_statistics_by_hand() -> None:
    stats = RunningStats(1, [0.05], [False])
    stats.precompute(column(100, 200))
    stats.update(column(0, 4))
    assert (stats.shift.item(), stats.scale.item()) == (2, 2)
    stats.update(column(10, 14, 10, 14))
    assert stats.shift.item() == pytest.approx(0.95 * 2 + 0.05 * 12)
    assert stats.scale.item() == pytest.approx(2)
    stats.update(column(7, 7))
    assert stats.shift.item() == pytest.approx(0.95 * 2.5 + 0.05 * 7)
    assert stats.scale.item() == pytest.approx(0.95 * 2 + 0.05 * 1e-6)
    assert stats.normalise(column(10)).item() == pytest.approx((10 - 2.725) / 1.90000005)
    assert stats.restore(stats.normalise(column(10))).item() == pytest.approx(10)


def test_precomputed_statistics_never_move() -> None:
    stats = RunningStats(2, [0.05], [True])
    stats.precompute(torch.tensor([[[1.0, 5.0], [3.0, 5.0]]], dtype=torch.float64))
    for _ in range(3):
        stats.update(normal(1, 4, 2))
        assert stats.shift.tolist() == [[[2.0, 5.0]]]
        assert stats.scale.tolist() == [[[1.0, 1e-6]]]


def test_each_run_of_a_stack_keeps_its_own_statistics() -> None:
    batch = torch.cat([column(0, 4), column(10, 14), column(0, 4)])
    stats = RunningStats(1, [0.05, 0.05, 0.5], [False, True, False])
    stats.precompute(torch.cat([column(-1, 1)] * 3))
    stats.update(batch)
    assert stats.shift.flatten().tolist() == [2, 0, 2]
    assert stats.scale.flatten().tolist() == [2, 1, 2]
    stats.update(batch + 20)
    assert stats.shift.flatten().tolist() == pytest.approx([3, 0, 12])


def test_distance_is_the_root_mean_square_over_columns() -> None:
    stats = RunningStats(2, [0.05], [False])
    stats.precompute(torch.tensor([[[0.0, 0.0], [2.0, 20.0]]], dtype=torch.float64))  # shift 1 and 10, scale 1 and 10
    stats.update(torch.tensor([[[3.0, 10.0], [5.0, 70.0]]], dtype=torch.float64))  # shift 4 and 40, scale 1 and 30
    shift, scale = stats.distance()
    assert shift.item() == pytest.approx(3)  # 3 sd off in both columns
    assert scale.item() == pytest.approx(2**0.5)  # 0 and 2 sd off


def test_statistics_start_anew_with_new_training_rows() -> None:
    stats = RunningStats(1, [0.05], [False])
    for rows in (column(0, 4), column(10, 14)):
        stats.precompute(rows)
        stats.update(rows)
        assert stats.shift.item() == rows.mean().item()


def test_a_model_of_single_precision_keeps_its_statistics_in_single_precision() -> None:
    stats = RunningStats(1, [0.05], [False]).to(torch.float32)
    for _ in range(2):
        stats.update(column(0, 4).float())
    assert stats.normalise(column(0, 4).float()).dtype == torch.float32


def test_a_column_that_is_constant_in_training_has_the_scale_one_where_asked() -> None:
    """Two runs, two columns; the second is 5 in all training rows, the first only in the batch."""
    rows = torch.tensor([[[1.0, 5.0], [3.0, 5.0]]] * 2, dtype=torch.float64)
    batch = torch.tensor([[[3.0, 5.0], [3.0, 5.0]]] * 2, dtype=torch.float64)
    for precomputed in (False, True):
        stats = RunningStats(2, [0.05, 0.05], [precomputed] * 2, [True, False])
        stats.precompute(rows)
        assert stats.scale.tolist() == [[[1.0, 1.0]], [[1.0, 1e-6]]]
        stats.update(batch)
        first = 1.0 if precomputed else 1e-6
        assert stats.scale.tolist() == [[[first, 1.0]], [[first, 1e-6]]]
        assert stats.normalise(batch + 2)[0, 0, 1] == 2

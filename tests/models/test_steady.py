"""A number's bits are the same wherever it stands, and a product's whoever stands beside it."""

from collections.abc import Callable
from itertools import product as product_of

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssc_sweep.models.steady import mean_and_sd, product, steady


def normal(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))


# Operations that torch rounds otherwise in a tensor's last numbers, and three that it does not.
BY_NUMBER: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "softplus": nn.functional.softplus,
    "silu": nn.functional.silu,
    "elu": nn.functional.elu,
    "gelu": nn.functional.gelu,
    "mish": nn.functional.mish,
    "power": lambda x: x.abs() ** 1.5,
    "exp": torch.exp,
    "log": lambda x: (x.abs() + 1e-3).log(),
    "tanh": torch.tanh,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", BY_NUMBER)
def test_steady_gives_a_number_the_same_bits_wherever_it_stands(name: str, dtype: torch.dtype) -> None:
    every = 3 * normal(4096).to(dtype)
    expected = steady(BY_NUMBER[name], every)
    torch.testing.assert_close(expected, BY_NUMBER[name](every))
    factor = torch.arange(4096, dtype=dtype) % 7 + 0.5
    leaf = every.clone().requires_grad_()
    (slopes,) = torch.autograd.grad((steady(BY_NUMBER[name], leaf) * factor).sum(), leaf)
    for size in (*range(1, 70), 100, 131, 257, 1000):
        for start in (0, 5, 31, 64, 1000):
            part = slice(start, start + size)
            # As it is; and as the first of two columns, whose numbers do not lie side by side.
            for leaf in (every[part].clone(), torch.stack([every[part]] * 2, dim=-1)):
                leaf.requires_grad_()
                mine = leaf if leaf.ndim == 1 else leaf[:, 0]
                got = steady(BY_NUMBER[name], mine)
                assert got.shape == mine.shape
                (slope,) = torch.autograd.grad((got * factor[part]).sum(), leaf)
                assert torch.equal(got, expected[part])
                assert torch.equal(slope if leaf.ndim == 1 else slope[:, 0], slopes[part])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_product_alone_has_the_bits_it_has_among_others(dtype: torch.dtype) -> None:
    members, sizes = 3, (1, 2, 3, 6, 7, 10, 24, 65)
    for rows, d_in, d_out in product_of(sizes, sizes, sizes):
        wide = normal(members, rows, 2 * d_in).to(dtype)
        for x in (wide[..., :d_in], wide[..., ::2]):
            given = [normal(members, 1, d_out).to(dtype), x, normal(members, d_in, d_out).to(dtype)]
            towards = normal(members, rows, d_out).to(dtype)

            def results(part: slice, given: list[Tensor] = given, towards: Tensor = towards) -> list[Tensor]:
                leaves = [each[part].detach().requires_grad_() for each in given]
                found = product(*leaves)
                return [found.detach(), *torch.autograd.grad(found, leaves, towards[part])]

            together = results(slice(None))
            torch.testing.assert_close(together[0], given[0] + x @ given[2])
            for member in range(members):
                part = slice(member, member + 1)
                for whole, one in zip(together, results(part), strict=True):
                    assert torch.equal(whole[part], one), (rows, d_in, d_out, member)


def test_a_product_alone_without_inputs_is_its_bias() -> None:
    bias = normal(1, 1, 1)
    assert torch.equal(product(bias, normal(1, 1, 0), normal(1, 0, 1)), bias)


def test_mean_and_sd_by_hand_and_the_same_alone() -> None:
    rows = torch.tensor([[[1.0], [3.0]], [[0.0], [8.0]]])
    mean, sd = mean_and_sd(rows, dim=1)
    assert (mean.flatten().tolist(), sd.flatten().tolist()) == ([2, 4], [1, 4])
    for many in (normal(7, 23, 1), normal(7, 23, 3).float(), normal(7, 3, 1).float()):
        for run in range(7):
            for whole, one in zip(mean_and_sd(many, 1), mean_and_sd(many[run : run + 1], 1), strict=True):
                assert torch.equal(whole[run : run + 1], one)

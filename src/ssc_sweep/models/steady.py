"""Operations whose results are the same bits however many runs are stacked and wherever a run is in the stack.

Torch does not guarantee that. Three kinds round differently at the end of a tensor, for a single run, or by position in
memory, and are replaced here: some elementwise functions, products, standard deviations. A fourth is left to the
caller: sums along an axis before that of the runs. Sum (R, P) along P, not (P, R) along P.

All this holds for one thread. With more, torch splits large tensors and products between them.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

# A multiple of the vector length of any processor's kernels: 32 of float32 with AVX-512.
WHOLE = 64

# A matrix whose count of numbers is a multiple of this fills whole 16-byte blocks in either precision.
ALIGNED = 4


def steady(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Return function(values), elementwise, with each number's bits independent of its position.

    Torch uses other instructions for whole vectors of numbers than for the few left over at the end of a tensor.
    torch.sigmoid, softplus, silu, elu, gelu, mish and powers then round differently, in either precision and in the
    gradient too. Here no number is left over: ones are appended and cut off again. Exact operations (+, *, /, sqrt),
    exp, log, tanh and softmax need no care.

    Args:
        values: any shape with at least one axis.
    """
    if values.shape[-1] % WHOLE == 0 and values.stride(-1) == 1:
        return function(values)
    flat = nn.functional.pad(values.contiguous().view(-1), (0, -values.numel() % WHOLE), value=1.0)
    return function(flat)[: values.numel()].view(values.shape)


def product(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """bias + x W for each member: (M, 1 or B, d_out), (M, B, d_in), (M, d_in, d_out) -> (M, B, d_out).

    Three cases would round differently, in the result and the gradient. A lone vector takes another path through the
    library than one in a stack: it gets a product of zeros beside it. A column cut out of a wider matrix is copied. A
    matrix of results or gradients that does not begin at a multiple of 16 bytes, as for every other member if it holds
    an odd number of numbers, is padded with rows or columns of zeros.
    """
    x = x.contiguous()
    _, rows, columns = x.shape
    alone = len(x) == 1 and 1 in (rows, columns, weight.shape[-1])
    more_rows = -rows % ALIGNED if rows * weight.shape[-1] % ALIGNED else 0
    more_columns = -columns % ALIGNED if columns * weight.shape[-1] % ALIGNED else 0
    if not (alone or more_rows or more_columns):
        return torch.baddbmm(bias, x, weight)
    beside, below = int(alone), more_rows if bias.shape[1] > 1 else 0
    return torch.baddbmm(
        nn.functional.pad(bias, (0, 0, 0, below, 0, beside)),
        nn.functional.pad(x, (0, more_columns, 0, more_rows, 0, beside)),
        nn.functional.pad(weight, (0, 0, 0, more_columns, 0, beside)),
    )[: len(x), :rows]


def once(rows: Tensor) -> Tensor:
    """Return rows (R, n, d) that all runs share as (1, n, d), so that what all have alike is computed once."""
    return rows[:1] if rows.stride(0) == 0 else rows


def mean_and_sd(rows: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation along an axis after that of the runs, which is kept with length 1.

    Not torch.std, which computes a single result differently from several, and not torch.var_mean, which takes 15
    times as long along the rows of a stack.
    """
    rows = once(rows)
    mean = rows.mean(dim=dim, keepdim=True)
    return mean, (rows - mean).square().mean(dim=dim, keepdim=True).sqrt()

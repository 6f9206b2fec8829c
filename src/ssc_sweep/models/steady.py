"""Operations whose results do not depend, to the last bit, on how many runs are stacked or where a run stands.

Torch does not promise that. Three kinds round otherwise at the end of a tensor, where a run is alone, or by where in
memory it stands, and are replaced here: some functions of single numbers, products, standard deviations. A fourth is
left to the caller: sums along an axis before that of the runs. Sum (R, P) along P, not (P, R) along P.

All this holds for one thread. With more, torch cuts large tensors and products up between them.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

# A multiple of the numbers that any processor's kernels take at once: 32 of float32 with AVX-512.
WHOLE = 64

# Numbers of a matrix, a multiple of which fills 16 bytes in either precision.
ALIGNED = 4


def steady(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """function(values), which works number by number, with each number's bits independent of where it stands.

    Torch computes whole vectors of numbers with other instructions than the few that are left at the end of a tensor.
    torch.sigmoid, softplus, silu, elu, gelu, mish and powers then round otherwise, in either precision and
    in the gradient too. Here no number is left over: ones are added at the end and cut off again. Exact operations
    (+, *, /, sqrt), exp, log, tanh and softmax need no care.

    Args:
        values: any shape with at least one axis.
    """
    if values.shape[-1] % WHOLE == 0 and values.stride(-1) == 1:
        return function(values)
    flat = nn.functional.pad(values.contiguous().view(-1), (0, -values.numel() % WHOLE), value=1.0)
    return function(flat)[: values.numel()].view(values.shape)


def product(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """bias + x W for each member: (M, 1 or B, d_out), (M, B, d_in), (M, d_in, d_out) -> (M, B, d_out).

    One matrix alone that is a vector goes another way through the library than it does in a stack, and is rounded
    otherwise, and so is its gradient. It gets a product of zeros beside it. A column cut out of a wider matrix is
    rounded otherwise too, and is copied. And so is a matrix of results, or of gradients, that does not begin at a
    multiple of 16 bytes, as those of every other member would where they hold an odd number of numbers: it is made
    larger, by rows or columns of zeros.
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


def mean_and_sd(rows: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation along an axis behind that of the runs, which is kept with length 1.

    Not torch.std, which computes a single result in another way than one of several, and not torch.var_mean, which
    takes 15 times as long along the rows of a stack.
    """
    # Rows that all runs share are looked at once.
    rows = rows[:1] if rows.stride(0) == 0 else rows
    mean = rows.mean(dim=dim, keepdim=True)
    return mean, (rows - mean).square().mean(dim=dim, keepdim=True).sqrt()

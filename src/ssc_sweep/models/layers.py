"""Layers with a leading member axis M: M small networks of equal shape, evaluated with one batched product.

M is the number of runs R, or R times the networks of a kind that a run has; members stand run after run.
Weights start as torch.nn.Linear's do, U(-1/sqrt(d_in), 1/sqrt(d_in)), each member from a generator of its own, so that
a member starts the same whoever stands beside it. They are made in float64; `Model.to` brings them to the precision of
the run, so that a float32 run and a float64 run of one seed start at the same point.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

Draws = Sequence[np.random.Generator]


def uniform(draws: Draws, shape: tuple[int, ...], bound: float) -> nn.Parameter:
    """Return a parameter (M, *shape), member m drawn from U(-bound, bound) by draws[m]."""
    values = np.stack([draw.uniform(-bound, bound, shape) for draw in draws])
    return nn.Parameter(torch.from_numpy(values))


class Linear(nn.Module):
    """(M, B, d_in) -> (M, B, d_out): x W + b for each member."""

    def __init__(self, d_in: int, d_out: int, draws: Draws, bound: float | None = None) -> None:
        super().__init__()
        bound = (1 / max(d_in, 1)) ** 0.5 if bound is None else bound
        self.weight = uniform(draws, (d_in, d_out), bound)
        self.bias = uniform(draws, (1, d_out), bound)

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class MLP(nn.Module):
    """Linear layers of the given widths with ReLU between them: (M, B, widths[0]) -> (M, B, widths[-1])."""

    def __init__(self, widths: Sequence[int], draws: Draws) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(d_in, d_out, draws) for d_in, d_out in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


class ResidualBlock(nn.Module):
    """h + g * W2 relu(W1 relu(h)), gated by g = sigmoid(V context) where there is a context.

    W2 starts in U(-1e-3, 1e-3): a fresh block is close to the identity (nflows' ResidualBlock).
    """

    def __init__(self, width: int, d_context: int, draws: Draws) -> None:
        super().__init__()
        self.first = Linear(width, width, draws)
        self.second = Linear(width, width, draws, bound=1e-3)
        self.gate = Linear(d_context, width, draws) if d_context else None

    def forward(self, h: Tensor, context: Tensor | None) -> Tensor:
        update = self.second(torch.relu(self.first(torch.relu(h))))
        if self.gate is None:
            return h + update
        return torch.addcmul(h, update, torch.sigmoid(self.gate(context)))


class ResidualNet(nn.Module):
    """Linear, two residual blocks, linear: (M, B, d_in) and context (M, B, d_context) -> (M, B, d_out).

    The context is appended to the input and gates the blocks (nflows' ResidualNet). Either may be None.
    """

    def __init__(self, d_in: int, d_context: int, width: int, d_out: int, draws: Draws) -> None:
        super().__init__()
        self.first = Linear(d_in + d_context, width, draws)
        self.blocks = nn.ModuleList(ResidualBlock(width, d_context, draws) for _ in range(2))
        self.last = Linear(width, d_out, draws)

    def forward(self, x: Tensor | None, context: Tensor | None) -> Tensor:
        given = [part for part in (x, context) if part is not None]
        h = self.first(given[0] if len(given) == 1 else torch.cat(given, dim=-1))
        for block in self.blocks:
            h = block(h, context)
        return self.last(h)


class RunningStats(nn.Module):
    """Shift and scale of d columns for each run: the mean and population standard deviation (floor 1e-6).

    s <- s + m (batch - s) with m = `momentum`; the first batch replaces s. A run whose statistics are precomputed
    takes them once from all training rows and has m = 0 ever after.

    Shapes: shift, scale (R, 1, d). Momentum (R,); `precomputed` (R,) bools.
    """

    FLOOR = 1e-6
    shift: Tensor
    scale: Tensor
    momentum: Tensor

    def __init__(self, d: int, momentum: Sequence[float], precomputed: Sequence[bool]) -> None:
        super().__init__()
        runs = len(momentum)
        self.register_buffer("shift", torch.zeros(runs, 1, d, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(runs, 1, d, dtype=torch.float64))
        running = [0.0 if fixed else m for m, fixed in zip(momentum, precomputed, strict=True)]
        self.register_buffer("momentum", torch.tensor(running, dtype=torch.float64).view(runs, 1, 1), persistent=False)
        self.fresh = True
        self.whole = self.shift, self.scale

    def precompute(self, rows: Tensor) -> None:
        """Take the statistics from all rows (R, n, d); a running average starts anew at its first batch."""
        self.whole = self.of(rows)
        self.shift.copy_(self.whole[0])
        self.scale.copy_(self.whole[1])
        self.fresh = True

    def update(self, batch: Tensor) -> None:
        """Move the running statistics towards those of the batch (R, B, d)."""
        weight = (self.momentum > 0).to(self.momentum) if self.fresh else self.momentum
        shift, scale = self.of(batch)
        self.shift.lerp_(shift, weight)
        self.scale.lerp_(scale, weight)
        self.fresh = False

    def of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return (shift, scale) of these rows, each (R, 1, d)."""
        variance, mean = torch.var_mean(rows, dim=1, correction=0, keepdim=True)
        return mean, variance.sqrt().clamp(min=self.FLOOR)

    def distance(self) -> tuple[Tensor, Tensor]:
        """How far (shift, scale) lie from those of all training rows, in these rows' standard deviations: (R,) each.

        The root of the mean square over columns.
        """
        shift, scale = self.whole
        gaps = torch.stack([(self.shift - shift) / scale, (self.scale - scale) / scale])
        off_shift, off_scale = gaps.square().mean(dim=(2, 3)).sqrt()
        return off_shift, off_scale

    def normalise(self, rows: Tensor) -> Tensor:
        """(rows - shift) / scale."""
        return (rows - self.shift) / self.scale

    def restore(self, rows: Tensor) -> Tensor:
        """Inverse of `normalise`."""
        return rows * self.scale + self.shift
